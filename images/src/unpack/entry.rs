//! What a tar member means for the tree: a pure function from header to
//! [`Action`]. Nothing here looks at a file system.

use std::ops::Deref;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::name::LayerPath;
use crate::error::{Error, Result, quoted};
use crate::tarball::{Member, MemberKind, Timestamp};

/// Prefix of the names that hide something in lower layers.
const WHITEOUT: &[u8] = b".wh.";
/// Prefix of names that only AUFS used, except for the opaque marker.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Most bytes of names and values of one object's extended attributes. ext4 takes
/// less, an index as EROFS more.
pub(crate) const XATTRS_MAX: usize = 32 * 1024;
/// `chown` takes this for "leave as it is".
const NO_ID: u64 = u32::MAX as u64;

/// Owner, permissions and so on of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    /// Only such attributes as may be set.
    pub(crate) xattrs: Xattrs,
}

impl Metadata {
    /// What a directory gets that the layer only implies.
    pub(crate) fn implied_directory() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: Xattrs::default(),
        }
    }
}

/// Names and values of extended attributes.
type XattrList = Vec<(Vec<u8>, Vec<u8>)>;

/// Extended attributes. Few files have any, so those without take one word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "XattrList", into = "XattrList")]
pub(crate) struct Xattrs(Option<Box<XattrList>>);

impl From<XattrList> for Xattrs {
    fn from(list: XattrList) -> Self {
        Self((!list.is_empty()).then(|| Box::new(list)))
    }
}

impl From<Xattrs> for XattrList {
    fn from(xattrs: Xattrs) -> Self {
        xattrs.0.map(|list| *list).unwrap_or_default()
    }
}

impl Deref for Xattrs {
    type Target = [(Vec<u8>, Vec<u8>)];

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

/// What to do with the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Directory(LayerPath, Metadata),
    /// A regular file; its content follows.
    File(LayerPath, Metadata),
    Symlink(LayerPath, Vec<u8>, Metadata),
    /// A further name, the first, for the file that has the second.
    Hardlink(LayerPath, LayerPath),
    Fifo(LayerPath, Metadata),
    Device(LayerPath, Device, Metadata),
    /// Hide this path of the layers below.
    Whiteout(LayerPath),
    /// Hide everything that the layers below have in this directory.
    Opaque(LayerPath),
    Skip(Skipped),
}

/// A device node. It is kept, as in other tools, and cannot be used: root file
/// systems are mounted without devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) is_block: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Device {
    pub(crate) fn file_type(self) -> FileType {
        if self.is_block {
            FileType::BlockDevice
        } else {
            FileType::CharacterDevice
        }
    }
}

/// Why a member is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Skipped {
    /// A character device 0:0, which overlayfs takes for a deletion.
    ZeroDevice,
    /// Bookkeeping of AUFS, which no reader of layers extracts.
    AufsMetadata,
}

/// An action, and how many extended attributes were dropped for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) action: Action,
    pub(crate) dropped_xattrs: usize,
}

/// Decides what a member does to the tree of its layer.
pub(crate) fn decide(member: Member) -> Result<Decision> {
    let path = LayerPath::new(&member.path)?;
    let nothing_dropped = |action| Decision {
        action,
        dropped_xattrs: 0,
    };
    if let Some(action) = whiteout(&path)? {
        return Ok(nothing_dropped(action));
    }
    if path.is_root() && member.kind != MemberKind::Directory {
        return Err(Error::invalid(format!(
            "entry {} would replace the root directory",
            quoted(&member.path)
        )));
    }
    if member.kind == MemberKind::CharacterDevice && member.device == (0, 0) {
        return Ok(nothing_dropped(Action::Skip(Skipped::ZeroDevice)));
    }
    if member.kind == MemberKind::Hardlink {
        return hardlink(path, &member).map(nothing_dropped);
    }
    let total = member.xattrs.len();
    let takes_xattrs = matches!(member.kind, MemberKind::Regular | MemberKind::Directory);
    let mut room = if takes_xattrs { XATTRS_MAX } else { 0 };
    let metadata = Metadata {
        mode: member.mode & 0o7777,
        uid: owner("user", member.uid, &path)?,
        gid: owner("group", member.gid, &path)?,
        mtime: member.mtime,
        xattrs: member
            .xattrs
            .into_iter()
            .filter(|(name, value)| may_set(name, value) && take(&mut room, name, value))
            .collect::<XattrList>()
            .into(),
    };
    let dropped_xattrs = total - metadata.xattrs.len();
    let action = match member.kind {
        MemberKind::Directory => Action::Directory(path, metadata),
        MemberKind::Symlink => {
            if member.link.is_empty() {
                return Err(Error::invalid(format!("symlink {path} has no target")));
            }
            if member.link.len() > 4095 {
                return Err(Error::limit(format!(
                    "symlink {path} has a target of more than 4095 bytes"
                )));
            }
            Action::Symlink(path, member.link, metadata)
        }
        MemberKind::Fifo => Action::Fifo(path, metadata),
        MemberKind::CharacterDevice | MemberKind::BlockDevice => {
            let device = device(member.kind, member.device, &path)?;
            Action::Device(path, device, metadata)
        }
        MemberKind::Regular | MemberKind::Hardlink => Action::File(path, metadata),
    };
    Ok(Decision {
        action,
        dropped_xattrs,
    })
}

/// The action of a name that begins with `.wh.`, whatever type the member has.
fn whiteout(path: &LayerPath) -> Result<Option<Action>> {
    if !path.components().any(|part| part.starts_with(WHITEOUT)) {
        return Ok(None);
    }
    let Some((parent, name)) = path.split() else {
        return Ok(None);
    };
    if parent.components().any(|part| part.starts_with(WHITEOUT)) {
        return Err(Error::invalid(format!("entry {path} is below a whiteout")));
    }
    if name == OPAQUE {
        return Ok(Some(Action::Opaque(parent)));
    }
    if name.starts_with(WHITEOUT_META) {
        return Ok(Some(Action::Skip(Skipped::AufsMetadata)));
    }
    let Some(hidden) = name.strip_prefix(WHITEOUT) else {
        return Ok(None);
    };
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(Error::invalid(format!(
            "whiteout {path} hides nothing that can be named"
        )));
    }
    Ok(Some(Action::Whiteout(parent.join(hidden)?)))
}

fn hardlink(path: LayerPath, member: &Member) -> Result<Action> {
    let target = LayerPath::new(&member.link)?;
    if target.is_root() || target == path {
        return Err(Error::invalid(format!(
            "hard link {path} has the target {}, which is no other file",
            quoted(&member.link)
        )));
    }
    Ok(Action::Hardlink(path, target))
}

/// Linux has 12 bits for a major and 20 for a minor number.
fn device(kind: MemberKind, (major, minor): (u64, u64), path: &LayerPath) -> Result<Device> {
    let within = |number: u64, bits: u32| u32::try_from(number).ok().filter(|n| n >> bits == 0);
    let (Some(major), Some(minor)) = (within(major, 12), within(minor, 20)) else {
        return Err(Error::invalid(format!(
            "device {path} has the number {major}:{minor}, which is out of range"
        )));
    };
    Ok(Device {
        is_block: kind == MemberKind::BlockDevice,
        major,
        minor,
    })
}

fn owner(what: &str, id: u64, path: &LayerPath) -> Result<u32> {
    u32::try_from(id)
        .ok()
        .filter(|&id| u64::from(id) != NO_ID)
        .ok_or_else(|| {
            Error::invalid(format!(
                "entry {path} has the {what} id {id}, which is out of range"
            ))
        })
}

/// True if an attribute fits into what is left.
fn take(room: &mut usize, name: &[u8], value: &[u8]) -> bool {
    match room.checked_sub(name.len() + value.len()) {
        Some(left) => *room = left,
        None => return false,
    }
    true
}

/// Attributes that travel with a file or directory; Linux allows those of users
/// nowhere else. Labels of this host's security modules and
/// above all overlayfs's own attributes are not a layer's to set. Capabilities
/// have no effect where setuid programs have none.
fn may_set(name: &[u8], value: &[u8]) -> bool {
    // Linux takes no name that is the name space alone.
    let users = name
        .strip_prefix(b"user.")
        .is_some_and(|name| !name.is_empty())
        && !name.starts_with(b"user.overlay.");
    users || (name == b"security.capability" && is_capability(value))
}

/// The form that Linux calls revision 2, of 20 bytes; revision 3 names a user of
/// some other host's name space.
fn is_capability(value: &[u8]) -> bool {
    value.len() == 20 && value[3] == 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn member(path: &str, kind: MemberKind) -> Member {
        Member {
            path: path.as_bytes().to_vec(),
            link: b"target".to_vec(),
            kind,
            size: 0,
            mode: 0o4755,
            uid: 1,
            gid: 2,
            mtime: Timestamp::default(),
            sparse: None,
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn whiteouts_go_by_name_only() {
        for kind in [
            MemberKind::Regular,
            MemberKind::Symlink,
            MemberKind::CharacterDevice,
            MemberKind::Hardlink,
        ] {
            for (name, expected) in [
                (".wh.a", Action::Whiteout(path("a"))),
                ("d/.wh.a", Action::Whiteout(path("d/a"))),
                ("dne/../.wh.etc", Action::Whiteout(path("etc"))),
                (".wh..wh..opq", Action::Opaque(path(""))),
                ("d/.wh..wh..opq", Action::Opaque(path("d"))),
                (".wh..wh.aufs", Action::Skip(Skipped::AufsMetadata)),
                (".wh..wh.plnk/x", Action::Skip(Skipped::AufsMetadata)),
            ] {
                let result = decide(member(name, kind));
                if name == ".wh..wh.plnk/x" {
                    // Below a whiteout name: refused like any other.
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Invalid);
                } else {
                    assert_eq!(result.unwrap().action, expected, "{name}");
                }
            }
        }
        for name in [
            ".wh.",
            ".wh..",
            ".wh...",
            "etc/.wh..",
            "etc/.wh...",
            ".wh.etc/file",
        ] {
            let error = decide(member(name, MemberKind::Regular)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
        }
        let outside = decide(member("../.wh.canary", MemberKind::Regular)).unwrap_err();
        assert_eq!(outside.kind(), ErrorKind::UnsafePath);
    }

    #[test]
    fn the_root_stays_a_directory() {
        for name in ["", ".", "./", "/", "/.", "a/.."] {
            for kind in [
                MemberKind::Regular,
                MemberKind::Symlink,
                MemberKind::Hardlink,
                MemberKind::Fifo,
            ] {
                assert!(decide(member(name, kind)).is_err(), "{name:?} {kind:?}");
            }
            let action = decide(member(name, MemberKind::Directory)).unwrap().action;
            assert!(matches!(action, Action::Directory(path, _) if path.is_root()));
        }
    }

    #[test]
    fn only_harmless_attributes_are_kept() {
        let mut file = member("f", MemberKind::Regular);
        for name in [
            "user.x",
            "user.overlay.opaque",
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "security.capability",
            "security.selinux",
            "system.posix_acl_access",
        ] {
            file.xattrs.push((name.as_bytes().to_vec(), b"y".to_vec()));
        }
        let capability = [&[1, 0, 0, 2][..], &[0; 16]].concat();
        file.xattrs
            .push((b"security.capability".to_vec(), capability));
        let decision = decide(file).unwrap();
        let Action::File(_, metadata) = decision.action else {
            panic!()
        };
        let kept: Vec<_> = metadata.xattrs.iter().map(|(name, _)| name).collect();
        assert_eq!(kept, [&b"user.x"[..], b"security.capability"]);
        assert_eq!(decision.dropped_xattrs, 6);
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o4755, 1, 2));
    }

    #[test]
    fn only_files_and_directories_have_attributes_and_not_too_many() {
        for (kind, sizes, dropped) in [
            (MemberKind::Regular, &[10, 20][..], 0),
            (MemberKind::Directory, &[XATTRS_MAX - 6], 0),
            (MemberKind::Directory, &[XATTRS_MAX - 5], 1),
            (MemberKind::Regular, &[20_000, 20_000, 10_000], 1),
            (MemberKind::Symlink, &[1], 1),
            (MemberKind::Fifo, &[1], 1),
            (MemberKind::BlockDevice, &[1, 2], 2),
        ] {
            let mut member = member("f", kind);
            for (name, &size) in (b'a'..).zip(sizes) {
                let name = [b"user.", &[name][..]].concat();
                member.xattrs.push((name, vec![0; size]));
            }
            assert_eq!(decide(member).unwrap().dropped_xattrs, dropped, "{kind:?}");
        }
    }

    #[test]
    fn owners_that_mean_no_change_are_refused() {
        for (uid, good) in [
            (0, true),
            (65534, true),
            (1 << 31, true),
            (NO_ID - 1, true),
            (NO_ID, false),
            (NO_ID + 1, false),
        ] {
            let mut file = member("f", MemberKind::Regular);
            file.uid = uid;
            assert_eq!(decide(file).is_ok(), good, "{uid}");
        }
    }

    #[test]
    fn device_numbers_are_checked() {
        for (number, good) in [
            ((1, 1), true),
            ((4095, 1_048_575), true),
            ((4096, 0), false),
            ((0, 1_048_576), false),
            ((1 << 40, 1), false),
        ] {
            let mut device = member("dev/mem", MemberKind::BlockDevice);
            device.device = number;
            assert_eq!(decide(device).is_ok(), good, "{number:?}");
        }
        // What overlayfs takes for a deletion never gets to be one.
        let zero = decide(member("dev/zero", MemberKind::CharacterDevice)).unwrap();
        assert_eq!(zero.action, Action::Skip(Skipped::ZeroDevice));
    }

    #[test]
    fn links_need_a_target() {
        let mut link = member("l", MemberKind::Symlink);
        link.link.clear();
        assert!(decide(link).is_err());
        let mut link = member("target", MemberKind::Hardlink);
        link.link = b"./target".to_vec();
        assert!(decide(link).is_err());
        let mut link = member("l", MemberKind::Hardlink);
        link.link = b"../../etc/passwd".to_vec();
        assert_eq!(decide(link).unwrap_err().kind(), ErrorKind::UnsafePath);
    }
}
