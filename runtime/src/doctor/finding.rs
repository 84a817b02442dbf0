//! [`Finding`]: what one check says of a host.

use serde::Serialize;

/// How well a host does one thing that functions need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// As Lambda does.
    Enforced,
    /// It could not be tried, for want of rights.
    Unknown,
    /// Not there; it costs time or room, but no verdict depends on it.
    Missing,
    /// A function may pass here and fail on Lambda, or the other way round.
    Degraded,
    /// Without it no function runs.
    Fatal,
}

impl Status {
    /// The word for it, as in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Degraded => "degraded",
            Self::Fatal => "fatal",
        }
    }
}

/// What is checked. The names are stable: scripts know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    Privileges,
    UserNamespaces,
    FileOwners,
    Kernel,
    Namespaces,
    Mounts,
    Seccomp,
    Cgroups,
    MemoryLimit,
    Swap,
    HostMemory,
    CpuLimit,
    Cpus,
    ProcessLimit,
    Processes,
    Freezer,
    TmpTools,
    TmpSize,
    Store,
    DiskSpace,
    RootFileSystem,
    Environments,
}

impl Check {
    /// What it is called in text.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Privileges => "privileges",
            Self::UserNamespaces => "user namespaces",
            Self::FileOwners => "file owners",
            Self::Kernel => "kernel",
            Self::Namespaces => "namespaces",
            Self::Mounts => "mounts",
            Self::Seccomp => "system-call filter",
            Self::Cgroups => "cgroups",
            Self::MemoryLimit => "memory limit",
            Self::Swap => "no swap",
            Self::HostMemory => "memory",
            Self::CpuLimit => "CPU limit",
            Self::Cpus => "CPUs",
            Self::ProcessLimit => "process limit",
            Self::Processes => "processes",
            Self::Freezer => "freezer",
            Self::TmpTools => "mkfs.ext4",
            Self::TmpSize => "/tmp",
            Self::Store => "store",
            Self::DiskSpace => "disk space",
            Self::RootFileSystem => "root file system",
            Self::Environments => "environments",
        }
    }
}

/// What a check found, what that means and what mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub(crate) id: Check,
    pub(crate) status: Status,
    /// What was seen.
    pub(crate) found: String,
    /// What that means for verdicts; none where all is well.
    pub(crate) meaning: Option<String>,
    /// The command, or the setting, that mends it; none where nothing does.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub(crate) fn enforced(id: Check, found: impl Into<String>) -> Self {
        Self {
            id,
            status: Status::Enforced,
            found: found.into(),
            meaning: None,
            remedy: None,
        }
    }

    /// Nobody knows.
    pub(crate) fn unknown(id: Check) -> Self {
        Self {
            status: Status::Unknown,
            ..Self::enforced(id, "not tried, for want of rights")
        }
    }

    /// Something is not as on Lambda.
    pub(crate) fn gap(
        id: Check,
        status: Status,
        found: impl Into<String>,
        meaning: impl Into<String>,
    ) -> Self {
        Self {
            id,
            status,
            found: found.into(),
            meaning: Some(meaning.into()),
            remedy: None,
        }
    }

    /// With what mends it.
    #[must_use]
    pub(crate) fn mended_by(self, remedy: impl Into<Option<String>>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }

    /// Whether a verdict may differ, or none can be had.
    pub(crate) fn is_unenforced(&self) -> bool {
        self.status >= Status::Degraded
    }

    /// Whether anything is to be said about it.
    pub(crate) fn is_gap(&self) -> bool {
        self.status >= Status::Missing
    }

    /// The finding in one sentence.
    pub(crate) fn short(&self) -> String {
        match &self.meaning {
            Some(meaning) => format!("{}: {meaning}", self.found),
            None => self.found.clone(),
        }
    }
}
