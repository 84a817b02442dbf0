//! Structures of EROFS on disk, as `fs/erofs/erofs_fs.h` of Linux defines them.
//!
//! Only what a [`Tree`](crate::tree::Tree) needs: extended inodes, files of one
//! chunk on another device, inline tails, plain directories.

use crate::tarball::Timestamp;
use crate::unpack::entry::{Device, Metadata};

/// Size of a block in bytes: that of a tar block, so that files can stay where
/// they are in a tar stream.
pub(super) const BLOCK: u64 = BLOCK_LENGTH as u64;
pub(super) const BLOCK_BITS: u8 = 9;
/// The sizes of structures, as lengths of arrays.
const BLOCK_LENGTH: usize = 1 << BLOCK_BITS;
pub(super) const SUPERBLOCK_LENGTH: usize = 128;
const DEVICE_SLOT_LENGTH: usize = 128;
const INODE_LENGTH: usize = 64;
const CHUNK_INDEX_LENGTH: usize = 8;
/// Where the superblock is.
pub(super) const SUPERBLOCK_OFFSET: u64 = 1024;
pub(super) const SUPERBLOCK_SIZE: u64 = SUPERBLOCK_LENGTH as u64;
pub(super) const DEVICE_SLOT_SIZE: u64 = DEVICE_SLOT_LENGTH as u64;
/// Where the table of devices is, in units of its slots.
const DEVICE_TABLE: u16 = 9;
const _: () =
    assert!(DEVICE_TABLE as u64 * DEVICE_SLOT_SIZE == SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE);
/// Inodes are addressed in units of this many bytes.
pub(super) const SLOT: u64 = 32;
pub(super) const INODE_SIZE: u64 = INODE_LENGTH as u64;
pub(super) const DIRENT_SIZE: usize = 12;
pub(super) const CHUNK_INDEX_SIZE: u64 = CHUNK_INDEX_LENGTH as u64;
/// Most bits of a chunk's size.
pub(super) const CHUNK_BITS_MAX: u32 = 31 + BLOCK_BITS as u32;

const MAGIC: u32 = 0xE0F5_E1E2;
/// Times are of the last modification.
const COMPAT_MTIME: u32 = 0x2;
const INCOMPAT_CHUNKED_FILE: u32 = 0x4;
const INCOMPAT_DEVICE_TABLE: u32 = 0x8;
const CHUNK_FORMAT_INDEXES: u16 = 0x20;
/// Prefixes of attribute names, and the numbers that stand for them.
const XATTR_PREFIXES: [(&[u8], u8); 2] = [(b"user.", 1), (b"security.", 6)];
const XATTR_HEADER_SIZE: usize = 12;
/// Most bytes that the size in an inode can express; layers have fewer.
const XATTRS_MAX: usize = 4 * (u16::MAX as usize - 1);

/// How the content of an inode is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataLayout {
    FlatPlain = 0,
    FlatInline = 2,
    ChunkBased = 4,
}

/// What a directory entry says about its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileType {
    Regular = 1,
    Directory = 2,
    CharacterDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Symlink = 7,
}

impl FileType {
    fn mode_bits(self) -> u16 {
        match self {
            Self::Regular => 0o100_000,
            Self::Directory => 0o040_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Symlink => 0o120_000,
        }
    }
}

/// Little-endian fields at fixed offsets of a structure.
struct Fields<const N: usize>([u8; N]);

impl<const N: usize> Fields<N> {
    fn new() -> Self {
        Self([0; N])
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// The numbers of a superblock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Superblock {
    pub(super) root: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
    pub(super) devices: u16,
    pub(super) uuid: [u8; 16],
}

impl Superblock {
    pub(super) fn to_bytes(self) -> [u8; SUPERBLOCK_LENGTH] {
        let mut fields = Fields::new();
        fields.put(0, &MAGIC.to_le_bytes());
        fields.put(8, &COMPAT_MTIME.to_le_bytes());
        fields.put(12, &[BLOCK_BITS]);
        fields.put(14, &self.root.to_le_bytes());
        fields.put(16, &self.inodes.to_le_bytes());
        fields.put(36, &self.blocks.to_le_bytes());
        fields.put(48, &self.uuid);
        fields.put(64, b"lambent");
        let features = INCOMPAT_CHUNKED_FILE | INCOMPAT_DEVICE_TABLE;
        fields.put(80, &features.to_le_bytes());
        fields.put(86, &self.devices.to_le_bytes());
        fields.put(88, &DEVICE_TABLE.to_le_bytes());
        fields.0
    }
}

/// One device of the table: a layer's tar stream.
pub(super) fn device_slot(tag: &str, blocks: u32) -> [u8; DEVICE_SLOT_LENGTH] {
    let mut fields = Fields::new();
    let tag = tag.as_bytes();
    fields.put(0, &tag[..tag.len().min(64)]);
    fields.put(64, &blocks.to_le_bytes());
    fields.0
}

/// An inode without what follows it.
#[derive(Debug)]
pub(super) struct Inode<'a> {
    pub(super) kind: FileType,
    pub(super) layout: DataLayout,
    pub(super) metadata: &'a Metadata,
    pub(super) size: u64,
    /// First block of plain data, or the format of chunks.
    pub(super) address: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    pub(super) xattr_units: u16,
}

impl Inode<'_> {
    pub(super) fn to_bytes(&self) -> [u8; INODE_LENGTH] {
        let mut fields = Fields::new();
        let format = 1_u16 | (self.layout as u16) << 1;
        let mode = self.kind.mode_bits() | (self.metadata.mode & 0o7777) as u16;
        let Timestamp {
            seconds,
            nanoseconds,
        } = self.metadata.mtime;
        fields.put(0, &format.to_le_bytes());
        fields.put(2, &self.xattr_units.to_le_bytes());
        fields.put(4, &mode.to_le_bytes());
        fields.put(8, &self.size.to_le_bytes());
        fields.put(16, &self.address.to_le_bytes());
        fields.put(20, &self.number.to_le_bytes());
        fields.put(24, &self.metadata.uid.to_le_bytes());
        fields.put(28, &self.metadata.gid.to_le_bytes());
        fields.put(32, &seconds.to_le_bytes());
        fields.put(40, &nanoseconds.to_le_bytes());
        fields.put(44, &self.links.to_le_bytes());
        fields.0
    }
}

/// The address of an inode whose file is in chunks of `1 << bits` bytes.
pub(super) fn chunk_format(bits: u32) -> u32 {
    u32::from(CHUNK_FORMAT_INDEXES) | bits.saturating_sub(BLOCK_BITS.into())
}

/// The address of a device's inode, as Linux encodes its number.
pub(super) fn device_number(device: Device) -> u32 {
    (device.minor & 0xff) | device.major << 8 | (device.minor & !0xff) << 12
}

/// A chunk of zeros, which is stored nowhere.
pub(super) const HOLE: [u8; CHUNK_INDEX_LENGTH] = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// Where a chunk is: on a device, counted from 1, at a block of it.
pub(super) fn chunk_index(device: u16, block: u32) -> [u8; CHUNK_INDEX_LENGTH] {
    let mut fields = Fields::new();
    fields.put(2, &device.to_le_bytes());
    fields.put(4, &block.to_le_bytes());
    fields.0
}

/// The extended attributes that stand behind an inode, and what its header says
/// about their size; both empty for none.
pub(super) fn xattrs(metadata: &Metadata) -> (Vec<u8>, u16) {
    let mut body = Vec::new();
    for (name, value) in metadata.xattrs.iter() {
        let split = |&(prefix, index): &(&[u8], u8)| Some((name.strip_prefix(prefix)?, index));
        let Some((name, prefix)) = XATTR_PREFIXES.iter().find_map(split) else {
            continue;
        };
        let (Ok(name_length), Ok(value_length)) =
            (u8::try_from(name.len()), u16::try_from(value.len()))
        else {
            continue;
        };
        if body.len() + 8 + name.len() + value.len() > XATTRS_MAX {
            continue;
        }
        body.extend_from_slice(&[name_length, prefix]);
        body.extend_from_slice(&value_length.to_le_bytes());
        body.extend_from_slice(name);
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    if body.is_empty() {
        return (body, 0);
    }
    let units = u16::try_from(body.len() / 4 + 1).unwrap_or(u16::MAX);
    let mut whole = vec![0; XATTR_HEADER_SIZE];
    whole.append(&mut body);
    (whole, units)
}

/// A name in a directory before the addresses of inodes are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a, T> {
    pub(super) name: &'a [u8],
    pub(super) target: T,
}

/// Sizes of the blocks that these names take, of which only the last may be
/// less than a block.
pub(super) fn directory_size<T>(names: &[Name<'_, T>]) -> u64 {
    let blocks = directory_blocks(names);
    let last = blocks.last().map_or(0, |block| block_size(block));
    (blocks.len() as u64 - 1) * BLOCK + last as u64
}

/// The content of a directory. `names` are sorted by bytes, with `.` and `..`.
pub(super) fn directory<T: Copy>(
    names: &[Name<'_, T>],
    resolve: impl Fn(T) -> (u64, FileType),
) -> Vec<u8> {
    let mut out = Vec::new();
    for block in directory_blocks(names) {
        out.resize(out.len().next_multiple_of(BLOCK_LENGTH), 0);
        let mut name_offset = block.len() * DIRENT_SIZE;
        for entry in block {
            let (inode, kind) = resolve(entry.target);
            out.extend_from_slice(&inode.to_le_bytes());
            // Within a block.
            let offset = u16::try_from(name_offset).unwrap_or(u16::MAX);
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&[kind as u8, 0]);
            name_offset += entry.name.len();
        }
        for entry in block {
            out.extend_from_slice(entry.name);
        }
    }
    out
}

fn block_size<T>(names: &[Name<'_, T>]) -> usize {
    names
        .iter()
        .map(|entry| DIRENT_SIZE + entry.name.len())
        .sum()
}

fn directory_blocks<'a, 'n, T>(names: &'a [Name<'n, T>]) -> Vec<&'a [Name<'n, T>]> {
    let mut blocks = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (index, entry) in names.iter().enumerate() {
        let needed = DIRENT_SIZE + entry.name.len();
        if used + needed > BLOCK_LENGTH {
            blocks.push(&names[start..index]);
            (start, used) = (index, 0);
        }
        used += needed;
    }
    blocks.push(&names[start..]);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_linuxs() {
        for (major, minor, expected) in [(1, 3, 0x103), (8, 0, 0x800), (259, 300, 0x11_032c)] {
            let device = Device {
                is_block: true,
                major,
                minor,
            };
            assert_eq!(device_number(device), expected, "{major}:{minor}");
        }
    }

    #[test]
    fn directories_split_between_names() {
        let long = [b'x'; 255];
        let names: Vec<_> = (0..3)
            .map(|target| Name {
                name: &long[..],
                target,
            })
            .collect();
        // Two do not fit into one block.
        assert_eq!(directory_size(&names), 2 * BLOCK + 255 + 12);
        let bytes = directory(&names, |target| (target, FileType::Regular));
        assert_eq!(bytes.len() as u64, directory_size(&names));
        assert_eq!(bytes[BLOCK_LENGTH], 1, "the second block has the second");
    }
}
