//! The program under test, in a private root directory.

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::fixtures::Fixture;
use crate::ordinary::{Ids, Ordinary};

/// An installation of its own: nothing that one test imports or leaves is seen
/// by another.
#[derive(Debug)]
pub struct Lambent {
    root: TempDir,
    ordinary: Option<Ordinary>,
    image_form: Option<&'static str>,
    variables: Vec<(&'static str, String)>,
}

/// A finished run of the program.
#[derive(Debug)]
pub struct Run {
    /// Exit status; -1 when it was killed.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Default for Lambent {
    fn default() -> Self {
        Self::new()
    }
}

impl Lambent {
    /// A new installation.
    ///
    /// # Panics
    /// If there is no room for a temporary directory.
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("lambent-e2e-")
            .tempdir()
            .expect("a temporary directory");
        Self {
            root,
            ordinary: None,
            image_form: None,
            variables: vec![],
        }
    }

    /// A new installation of an ordinary user.
    ///
    /// # Panics
    /// If there is no room for it, or this process may not make it.
    pub fn of_ordinary_user(ids: Ids) -> Self {
        let lambent = Self::new();
        let ordinary = Some(Ordinary::new(lambent.root.path(), ids));
        Self {
            ordinary,
            ..lambent
        }
    }

    /// A new installation of an ordinary user, whose programs are started in a cgroup.
    ///
    /// # Panics
    /// If there is no room for it, or this process may not make it.
    pub fn of_ordinary_user_within(ids: Ids, group: &Path) -> Self {
        let lambent = Self::new();
        let ordinary = Some(Ordinary::new(lambent.root.path(), ids).within(group));
        Self {
            ordinary,
            ..lambent
        }
    }

    /// The same, with images kept in this form whatever the host can mount.
    #[must_use]
    pub fn with_image_form(self, form: &'static str) -> Self {
        Self {
            image_form: Some(form),
            ..self
        }
    }

    /// The same, with this variable in the program's environment.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }

    /// The directory that everything of it is in.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where it keeps its state.
    pub fn state(&self) -> PathBuf {
        self.ordinary
            .as_ref()
            .map_or_else(|| self.root().to_owned(), Ordinary::root)
    }

    /// How this installation's user is told about an image.
    pub fn reference(&self, fixture: Fixture) -> String {
        match &self.ordinary {
            None => fixture.reference(),
            Some(user) => fixture.reference_in(&user.fixtures()),
        }
    }

    /// Whether its user has one id for everything.
    pub fn has_one_id(&self) -> bool {
        self.ordinary
            .as_ref()
            .is_some_and(|user| user.ids() == Ids::Single)
    }

    /// The program with these arguments, not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = if let Some(user) = &self.ordinary {
            user.command(arguments)
        } else {
            let mut command = Command::new(program());
            command.env("LAMBENT_ROOT", self.root()).args(arguments);
            command
        };
        command
            .env_remove("AWS_REGION")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(form) = self.image_form {
            command.env("LAMBENT_IMAGE_FORM", form);
        }
        command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.command(arguments)
            .output()
            .expect("lambent runs")
            .into()
    }

    /// `lambent invoke` with JSON output and an event on standard input.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn invoke(&self, image: &str, event: &Value, arguments: &[&str]) -> Run {
        let mut child = self.start_invoke(image, event, arguments);
        drop(child.stdin.take());
        child.wait_with_output().expect("lambent ends").into()
    }

    /// Starts `lambent invoke` as [`Lambent::invoke`] does.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_invoke(&self, image: &str, event: &Value, arguments: &[&str]) -> Child {
        let mut child = self
            .command(["invoke", image, "--output", "json", "--event", "-"])
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("lambent starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may have refused its arguments already.
        let _ = stdin.write_all(event.to_string().as_bytes());
        child
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// The JSON objects on standard output, one a line.
    ///
    /// # Panics
    /// If a line is not JSON.
    pub fn results(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{error} in {line:?}\n{self:?}"))
            })
            .collect()
    }

    /// The only result.
    ///
    /// # Panics
    /// If there is not exactly one.
    pub fn result(&self) -> Value {
        let mut results = self.results();
        assert_eq!(results.len(), 1, "{self:?}");
        results.remove(0)
    }

    /// The payload of the only result, for a run that succeeded.
    ///
    /// # Panics
    /// If it did not.
    pub fn payload(&self) -> Value {
        assert_eq!(self.status, 0, "{self:?}");
        self.result()["payload"].clone()
    }
}

/// Where the program is: `LAMBENT_BIN`, else beside the tests that cargo built.
///
/// # Panics
/// If it is not there.
pub fn program() -> PathBuf {
    let program = env::var_os("LAMBENT_BIN").map_or_else(
        || {
            let own = env::current_exe().expect("a path");
            own.ancestors()
                .nth(2)
                .expect("tests are built into target/PROFILE/deps")
                .join("lambent")
        },
        PathBuf::from,
    );
    assert!(
        program.is_file(),
        "{} is missing: run `make test`",
        program.display()
    );
    program
}

/// Whether this process has the rights that sandboxes need. Tests call it first
/// and end early without; the reason is printed, and `make test` counts on at
/// least some of them having run.
pub fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln_skipped("not root");
    }
    root
}

#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
fn eprintln_skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}
