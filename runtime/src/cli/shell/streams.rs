//! Between what this command reads and writes and pipes of a shell, which must not get
//! the host's own files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::thread;

use rustix::pipe::PipeFlags;
use tokio::sync::oneshot;

use crate::sandbox::Streams;

/// Bytes that are carried at once.
const CHUNK: usize = 16 * 1024;

/// The threads that carry what a shell writes.
pub(super) struct Piped {
    carried: [oneshot::Receiver<()>; 2],
}

impl Piped {
    /// Makes the pipes, and begins to carry.
    pub(super) fn open() -> io::Result<(Self, Streams)> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let ((input, typed), (printed, output), (complained, error)) = (pipe()?, pipe()?, pipe()?);
        // The end of what is typed is the end of the pipe.
        let _unwaited = carry("shell-input", io::stdin(), File::from(typed))?;
        let carried = [
            carry("shell-output", File::from(printed), io::stdout())?,
            carry("shell-error", File::from(complained), io::stderr())?,
        ];
        let streams = Streams::Shell {
            input,
            output,
            error,
        };
        Ok((Self { carried }, streams))
    }

    /// Waits until all that the shell has written is written on.
    pub(super) async fn drained(self) {
        for carried in self.carried {
            let _ended = carried.await;
        }
    }
}

/// Carries all of `from` to `to`, as it comes, in a thread that ends with either of them
/// or with the process.
pub(super) fn carry(
    name: &str,
    mut from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let (done, carried) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let mut buffer = vec![0; CHUNK];
            loop {
                match from.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // A pseudoterminal that nobody has open any more is an error.
                    Ok(0) | Err(_) => break,
                    Ok(length) => {
                        let written = to.write_all(&buffer[..length]).and_then(|()| to.flush());
                        if written.is_err() {
                            break;
                        }
                    }
                }
            }
            let _nobody_waits = done.send(());
        })?;
    Ok(carried)
}

/// Another descriptor of the same file.
pub(super) fn again(descriptor: &OwnedFd) -> io::Result<File> {
    Ok(File::from(descriptor.try_clone()?))
}
