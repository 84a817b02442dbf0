//! What the guest is told.

use std::fmt::Write;

/// The cgroup hierarchies that the guest mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hierarchies {
    /// v2 alone, as the distributions have it.
    V2,
    /// v1 alone, one hierarchy for each controller.
    V1,
}

impl Hierarchies {
    /// What is added to the kernel's command line for them.
    pub(super) const fn kernel_argument(self) -> &'static str {
        match self {
            Self::V2 => "cgroup_no_v1=all",
            Self::V1 => "",
        }
    }

    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
        }
    }
}

/// Which tests run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task<'a> {
    pub(super) hierarchies: Hierarchies,
    /// nextest's profile.
    pub(super) profile: &'a str,
    /// nextest's filter on top of the profile's own.
    pub(super) only: Option<&'a str>,
    /// How many times as long as usual tests wait.
    pub(super) patience: u32,
}

impl Task<'_> {
    /// Assignments for the guest's shell.
    pub(super) fn script(&self) -> String {
        let mut script = String::new();
        for (name, value) in [
            ("cgroup", self.hierarchies.name()),
            ("profile", self.profile),
            ("only", self.only.unwrap_or("all()")),
            ("patience", &self.patience.to_string()),
        ] {
            // Writing to a string does not fail.
            let _ = writeln!(script, "{name}={}", quoted(value));
        }
        script
    }
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_shell_reads_what_was_written() {
        let only = "test(/it's|\"$HOME\"/) & !test(`id`)\\";
        let task = Task {
            hierarchies: Hierarchies::V1,
            profile: "vm",
            only: Some(only),
            patience: 7,
        };
        let script = task.script() + r#"printf '%s\n' "$cgroup" "$profile" "$only" "$patience""#;
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text, format!("v1\nvm\n{only}\n7\n"));
    }
}
