//! [`Owners`]: to whom the files of unpacked layers can belong.
//!
//! Root may give a file to anybody. Root of a user namespace may give it only to
//! the ids that the namespace has, of which there may be a single one, and sets
//! overlayfs's attributes in their unprivileged form (`user.overlay.`, with the
//! mount option `userxattr`). It is a property of the process, found out once,
//! before anything is unpacked or mounted.

use std::ops::Range;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Permission bits of the owner.
const OWNER_BITS: u32 = 0o700;

/// To whom files can belong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Owners {
    /// To anybody: this process is the host's root, or makes nothing that depends
    /// on it.
    #[default]
    Any,
    /// To the ids of a user namespace. What belongs to another one becomes root's:
    /// a function is neither, so its rights are the same.
    Mapped {
        /// The users that there are.
        users: Vec<Range<u32>>,
        /// The groups that there are.
        groups: Vec<Range<u32>>,
    },
    /// To one id only, which the function has too. Each file's owner then gets the
    /// rights that this user and group have in the image, so that what may not be
    /// read there may not be read here.
    One {
        /// Who the function is.
        user: u32,
        /// Its group.
        group: u32,
    },
}

/// Which of them: what is unpacked for one is of no use to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OwnersKind {
    #[default]
    Any,
    Mapped,
    One,
}

impl OwnersKind {
    /// For records, which say it only of the others.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes the field like that"
    )]
    pub(crate) fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

static OWNERS: OnceLock<Owners> = OnceLock::new();

/// Says it for this process. Later calls, and calls after the first layer, change
/// nothing.
pub fn set_owners(owners: Owners) {
    let _said_already = OWNERS.set(owners);
}

/// What was said, or [`Owners::Any`].
pub(crate) fn owners() -> &'static Owners {
    OWNERS.get_or_init(Owners::default)
}

impl Owners {
    /// False in a user namespace.
    pub(crate) fn are_all(&self) -> bool {
        *self == Self::Any
    }

    /// Which of them it is.
    pub(crate) fn kind(&self) -> OwnersKind {
        match self {
            Self::Any => OwnersKind::Any,
            Self::Mapped { .. } => OwnersKind::Mapped,
            Self::One { .. } => OwnersKind::One,
        }
    }

    /// The owner that something of this owner gets.
    pub(crate) fn owner(&self, uid: u32, gid: u32) -> (u32, u32) {
        let kept = |ranges: &[Range<u32>], id: u32| {
            let known = ranges.iter().any(|range| range.contains(&id));
            if known { id } else { 0 }
        };
        match self {
            Self::Any => (uid, gid),
            Self::Mapped { users, groups } => (kept(users, uid), kept(groups, gid)),
            Self::One { .. } => (0, 0),
        }
    }

    /// The mode that something of this owner and mode gets.
    pub(crate) fn mode(&self, mode: u32, uid: u32, gid: u32) -> u32 {
        let Self::One { user, group } = self else {
            return mode;
        };
        let rights = if uid == *user {
            return mode;
        } else if gid == *group {
            mode >> 3
        } else {
            mode
        };
        mode & !OWNER_BITS | (rights & 0o7) << 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_such_owner_is_roots() {
        let mapped = Owners::Mapped {
            users: vec![0..1, 1..65_536],
            groups: vec![0..500, 500..1_000],
        };
        for (owner, expected) in [
            ((0, 0), (0, 0)),
            ((993, 990), (993, 990)),
            ((65_535, 1_000), (65_535, 0)),
            ((1_000_000, 5), (0, 5)),
        ] {
            assert_eq!(mapped.owner(owner.0, owner.1), expected);
            assert_eq!(Owners::Any.owner(owner.0, owner.1), owner);
        }
        assert_eq!(mapped.mode(0o640, 0, 0), 0o640);
    }

    #[test]
    fn a_sole_owner_has_the_functions_rights() {
        let one = Owners::One {
            user: 993,
            group: 990,
        };
        // (mode in the image, owner there, mode here)
        for (mode, owner, expected) in [
            (0o644, (0, 0), 0o444),
            (0o600, (0, 0), 0o000),
            (0o700, (0, 0), 0o000),
            (0o755, (0, 0), 0o555),
            (0o750, (0, 990), 0o550),
            (0o700, (993, 0), 0o700),
            // Even where others may do more than the owner.
            (0o477, (993, 990), 0o477),
            (0o4711, (0, 0), 0o4111),
            (0o1777, (5, 5), 0o1777),
        ] {
            assert_eq!(one.owner(owner.0, owner.1), (0, 0));
            let found = one.mode(mode, owner.0, owner.1);
            assert_eq!(found, expected, "{mode:o} of {owner:?}: {found:o}");
        }
    }
}
