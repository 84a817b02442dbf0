//! Which program is the shell, and what helps where there is none.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lambent_images::Platform;

use super::super::exit_status::CommandError;
use crate::sandbox::HOST_SHELL;
use crate::service::PreparedImage;
use crate::service_error::ServiceError;
use crate::user_file;
use crate::validate::{PROGRAM_HEAD, Program};

/// Where images have their shells, the most comfortable first; the last one is that of
/// distroless images for debugging.
const SHELLS: [&str; 4] = ["/bin/bash", "/bin/sh", "/usr/bin/sh", "/busybox/sh"];

/// What everybody may read and execute.
const SHARED: u32 = 0o005;

/// What was asked for.
#[derive(Debug)]
pub(in super::super) struct Choice {
    /// Program and arguments; none for a shell of the image.
    pub(in super::super) program: Option<Vec<String>>,
    /// A program of this machine's, which takes its place.
    pub(in super::super) host_shell: Option<PathBuf>,
}

impl Choice {
    /// Looks whether the program of this machine's runs where nothing else is.
    ///
    /// # Errors
    /// It does not; the text says what would.
    pub(in super::super) fn check(self) -> Result<Self, CommandError> {
        let Some(path) = &self.host_shell else {
            return Ok(self);
        };
        let refuse = |reason: String| {
            CommandError::Usage(format!(
                "--host-shell {}: {reason}; take a static one, such as /bin/busybox of Debian's \
                 package busybox-static",
                path.display()
            ))
        };
        let mut head = vec![];
        let path = path
            .canonicalize()
            .map_err(|error| refuse(error.to_string()))?;
        let file = user_file::open(&path).map_err(|error| refuse(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
        let mode = metadata.permissions().mode();
        file.take(PROGRAM_HEAD)
            .read_to_end(&mut head)
            .map_err(|error| refuse(error.to_string()))?;
        if let Some(reason) = not_static(&head, metadata.len(), &Platform::host().architecture) {
            return Err(refuse(reason));
        }
        if mode & SHARED != SHARED {
            return Err(refuse(format!(
                "it has mode {:03o}, and the function's user may not execute it (`chmod a+rx`)",
                mode & 0o777
            )));
        }
        Ok(Self {
            host_shell: Some(path),
            ..self
        })
    }

    /// The program and its arguments.
    ///
    /// # Errors
    /// The image has no shell, and none is brought.
    pub(super) fn arguments(
        &self,
        image: &PreparedImage,
        name: &str,
    ) -> Result<Vec<String>, ServiceError> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        if self.host_shell.is_some() {
            return Ok(vec![HOST_SHELL.to_owned()]);
        }
        match shells(image)?.first() {
            Some(shell) => Ok(vec![(*shell).to_owned()]),
            None => Err(ServiceError::Image(format!("{name}: {}", without_shell()))),
        }
    }
}

/// Why a program that the user named does not run in an image, and what would.
pub(super) fn not_run(
    program: &str,
    reason: &str,
    image: &PreparedImage,
    name: &str,
) -> Result<String, ServiceError> {
    let shells = shells(image)?;
    let help = if shells.is_empty() {
        without_shell()
    } else {
        let shells = shells.join(", ");
        format!("the image has {shells}: --shell alone takes the first")
    };
    Ok(format!(
        "{name}: \"{}\" cannot be run in the environment: {reason}; {help}",
        program.escape_debug()
    ))
}

fn shells(image: &PreparedImage) -> Result<Vec<&'static str>, ServiceError> {
    let mut found = vec![];
    for path in SHELLS {
        if image.has_file(path)? {
            found.push(path);
        }
    }
    Ok(found)
}

fn without_shell() -> String {
    format!(
        "the image has no shell ({}): lend it a static one of this machine with --host-shell \
         /bin/busybox (Debian: apt install busybox-static), which is then at {HOST_SHELL}",
        SHELLS.join(", ")
    )
}

/// Why the file that begins so and has so many bytes needs more than itself to run, if it
/// does.
fn not_static(head: &[u8], size: u64, architecture: &str) -> Option<String> {
    match Program::of(head, size) {
        Program::Elf {
            architecture: Some(own),
            loader: None,
        } if own == architecture => None,
        Program::Elf {
            loader: Some(loader),
            ..
        } => Some(format!(
            "it needs {}, which is this machine's",
            loader.escape_debug()
        )),
        Program::Elf { .. } => Some("it is for another machine".to_owned()),
        Program::Script { interpreter, .. } => {
            Some(format!("it is a script for {}", interpreter.escape_debug()))
        }
        Program::Truncated(end) => Some(format!(
            "it was cut off: it has {size} bytes, and its segments reach to byte {end}"
        )),
        Program::Damaged(reason) => Some(format!("it {reason}")),
        Program::Unknown => Some("it is no program".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_what_needs_nothing_else_is_lent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let choice = |path: &Path| Choice {
            program: None,
            host_shell: Some(path.to_owned()),
        };
        let refused = |path: &Path| choice(path).check().unwrap_err().to_string();
        for (text, part) in [
            ("#!/bin/sh\n", "a script for /bin/sh"),
            ("text", "it is no program"),
            ("", "it is no program"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = refused(&path);
            assert!(error.contains(part) && error.contains("busybox"), "{error}");
        }
        assert!(refused(Path::new("/nowhere")).contains("/nowhere"));
        assert!(refused(directory.path()).contains("directory"));
        let own = std::fs::read("/proc/self/exe").unwrap();
        let size = own.len() as u64;
        let architecture = &Platform::host().architecture;
        // This test is dynamic, as are all of Rust's for glibc.
        let reason = not_static(&own[..4096], size, architecture).unwrap();
        assert!(reason.starts_with("it needs /"), "{reason}");
        let reason = not_static(&own[..4096], 8192, architecture).unwrap();
        assert!(reason.contains("cut off: it has 8192 bytes"), "{reason}");
        let none = Choice {
            program: None,
            host_shell: None,
        };
        assert!(none.check().is_ok());
    }
}
