//! Between this command's terminal and a new one for a shell.
//!
//! The shell gets a pseudoterminal of its own: with the host's it could type into the
//! terminal that outlives it. Every key goes there as it is, so that ctrl-C is a signal
//! to what runs in the shell and not to this command.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Gid, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::streams::{again, carry};
use crate::model::{GROUP_ID, USER_ID};
use crate::sandbox::Streams;

/// This command's terminal while it is somebody else's.
pub(super) struct Terminal {
    _raw: Raw,
    resizing: JoinHandle<()>,
    carried: oneshot::Receiver<()>,
}

impl Terminal {
    /// Makes a terminal of the size of this one, and begins to carry. `pressed` is told of
    /// each key that interrupts what runs in the shell, once it has been passed on.
    pub(super) fn open(pressed: mpsc::UnboundedSender<()>) -> io::Result<(Self, Streams)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&ours)?;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
        // So that it can be opened again by name, as `/dev/stderr`. Only root may.
        let (user, group) = (Uid::from_raw(USER_ID), Gid::from_raw(GROUP_ID));
        let _refused = rustix::fs::fchown(&theirs, Some(user), Some(group));
        let ours = Arc::new(ours);
        resize(&ours);
        let mut resized = signal(SignalKind::window_change())?;
        let raw = Raw::begin()?;
        let carried = carry("shell-output", again(&ours)?, io::stdout())?;
        let keys = Keys {
            terminal: again(&ours)?,
            pressed,
        };
        let _unwaited = carry("shell-input", io::stdin(), keys)?;
        let resizing = tokio::spawn(async move {
            while resized.recv().await.is_some() {
                resize(&ours);
            }
        });
        let streams = Streams::Shell {
            input: theirs.try_clone()?,
            output: theirs.try_clone()?,
            error: theirs,
        };
        let terminal = Self {
            _raw: raw,
            resizing,
            carried,
        };
        Ok((terminal, streams))
    }

    /// A line in this program's name, wherever the shell's cursor is.
    #[expect(clippy::unused_self, reason = "only a raw terminal needs it")]
    pub(super) fn say(&self, news: &str) {
        let news = news.replace('\n', "\r\n");
        let _closed = write!(io::stderr().lock(), "\r\nlambent: {news}\r\n");
    }

    /// Waits until all that was written is shown, and gives the terminal back.
    pub(super) async fn close(self) {
        self.resizing.abort();
        let _ended = self.carried.await;
    }
}

/// What is typed into a shell's terminal.
struct Keys {
    terminal: File,
    pressed: mpsc::UnboundedSender<()>,
}

impl Keys {
    /// Whether one of these keys interrupts a program: as the terminal is set, and if there
    /// is another one than the shell, at whose prompt it interrupts nothing.
    fn interrupt(&self, keys: &[u8]) -> bool {
        let Ok(modes) = rustix::termios::tcgetattr(&self.terminal) else {
            return false;
        };
        let key = modes.special_codes[SpecialCodeIndex::VINTR];
        let shell = rustix::termios::tcgetsid(&self.terminal).ok();
        modes.local_modes.contains(LocalModes::ISIG)
            && keys.contains(&key)
            && rustix::termios::tcgetpgrp(&self.terminal).ok() != shell
    }
}

impl Write for Keys {
    fn write(&mut self, keys: &[u8]) -> io::Result<usize> {
        let is_interrupt = self.interrupt(keys);
        let written = self.terminal.write(keys)?;
        if is_interrupt {
            // After the signal. Nobody listens any more once the shell has ended.
            let _ended = self.pressed.send(());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.terminal.flush()
    }
}

/// The terminal's own settings, which come back when this is dropped.
struct Raw(Termios);

impl Raw {
    fn begin() -> io::Result<Self> {
        let own = rustix::termios::tcgetattr(io::stdin().as_fd())?;
        let mut raw = own.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &raw)?;
        Ok(Self(own))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone = rustix::termios::tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.0);
    }
}

/// Gives the shell's terminal the size of this one.
fn resize(theirs: &OwnedFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stdin().as_fd()) {
        let _too_late = rustix::termios::tcsetwinsize(theirs, size);
    }
}
