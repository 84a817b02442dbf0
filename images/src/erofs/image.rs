//! Lays a tree out as an EROFS image whose files stay in the layers' tar streams.
//!
//! ```text
//! 0      superblock at 1024, one device slot for each layer
//! ...    inodes in the order of a walk, each with its attributes and then its
//!        chunk, or its content if that fits into the same block
//! ...    larger directories and symlinks, and ends of files that a stream lacks a
//!        part of the block of (see `tail`), in whole blocks
//! ```

use super::chunks::Chunks;
use super::format::{
    BLOCK, CHUNK_INDEX_SIZE, DEVICE_SLOT_SIZE, DataLayout, FileType, INODE_SIZE, Inode, Name, SLOT,
    SUPERBLOCK_LENGTH, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, device_number, device_slot,
    directory, directory_size, xattrs,
};
use super::tail::Tail;
use crate::Digest;
use crate::error::{Error, Result};
use crate::tree::{Content, FileData, NodeId, Tree};

/// The image's length is a multiple of this, so that no page of it ends early.
const PAGE: usize = 4096;

/// A layer's tar stream as a device of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) diff_id: Digest,
    /// Bytes of the stream.
    pub(crate) size: u64,
    /// Its end, if that is within a block.
    pub(crate) tail: Option<Tail>,
}

/// The metadata image of `tree`, to be mounted together with `devices`.
///
/// `device_of` gives the device, counted from 1, of each layer, counted from 1.
pub(crate) fn build(tree: &Tree, devices: &[Device], device_of: &[u16]) -> Result<Vec<u8>> {
    let mut planner = Planner::new(tree, devices, device_of);
    planner.walk()?;
    planner.place()?;
    planner.write()
}

/// One inode on its way into the image.
#[derive(Debug)]
struct Item {
    node: NodeId,
    parent: usize,
    links: u32,
    position: u64,
    /// First block of content that is not inline.
    block: Option<u64>,
}

#[derive(Debug)]
struct Planner<'a> {
    tree: &'a Tree,
    devices: &'a [Device],
    device_of: &'a [u16],
    items: Vec<Item>,
    /// The item of each node, for nodes with several names.
    item_of: Vec<Option<u32>>,
    inodes_start: u64,
    end: u64,
}

impl<'a> Planner<'a> {
    fn new(tree: &'a Tree, devices: &'a [Device], device_of: &'a [u16]) -> Self {
        let table = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE;
        Self {
            tree,
            devices,
            device_of,
            items: Vec::new(),
            item_of: vec![None; tree.capacity()],
            inodes_start: table + devices.len() as u64 * DEVICE_SLOT_SIZE,
            end: 0,
        }
    }

    /// Collects the inodes that can be reached, and counts their names.
    fn walk(&mut self) -> Result<()> {
        let mut pending = vec![(Tree::ROOT, 0)];
        while let Some((node, parent)) = pending.pop() {
            if let Some(item) = self.item_of[node.index()] {
                self.items[item as usize].links += 1;
                continue;
            }
            let index = self.items.len();
            let number = u32::try_from(index)
                .map_err(|_| Error::limit("the image has more than 2^32 files"))?;
            self.item_of[node.index()] = Some(number);
            let is_directory = file_type(self.tree, node) == FileType::Directory;
            self.items.push(Item {
                node,
                parent,
                links: if is_directory { 2 } else { 1 },
                position: 0,
                block: None,
            });
            if is_directory && index > 0 {
                self.items[parent].links += 1;
            }
            let children: Vec<_> = self.tree.entries(node).map(|(_, child)| child).collect();
            pending.extend(children.into_iter().rev().map(|child| (child, index)));
        }
        Ok(())
    }

    /// Gives every inode its position, and every larger content its block.
    fn place(&mut self) -> Result<()> {
        let mut position = self.inodes_start;
        let mut plain = Vec::new();
        for index in 0..self.items.len() {
            position = position.next_multiple_of(SLOT);
            let node = self.tree.node(self.items[index].node);
            let fixed = INODE_SIZE + xattrs(&node.metadata).0.len() as u64;
            let after = match self.stored(index)? {
                Stored::Chunks { size, aside } => {
                    if aside > 0 {
                        plain.push((index, aside));
                    }
                    fixed.next_multiple_of(CHUNK_INDEX_SIZE) + size
                }
                Stored::Bytes(0) => fixed,
                Stored::Bytes(size) => {
                    if let Some(found) = inline_position(position, fixed, size) {
                        position = found;
                        fixed + size
                    } else {
                        plain.push((index, size));
                        fixed
                    }
                }
            };
            self.items[index].position = position;
            position += after;
        }
        let mut block = position.div_ceil(BLOCK);
        for (index, size) in plain {
            self.items[index].block = Some(block);
            block += size.div_ceil(BLOCK);
        }
        self.end = block * BLOCK;
        Ok(())
    }

    fn stored(&self, index: usize) -> Result<Stored> {
        Ok(match &self.tree.node(self.items[index].node).content {
            Content::Directory(_) => Stored::Bytes(directory_size(&self.names(index))),
            Content::File(FileData::Tar { layer, extents }) if extents.size > 0 => {
                let chunks = Chunks::of(extents, self.device(*layer)?.1)?;
                Stored::Chunks {
                    size: chunks.size(),
                    aside: chunks.aside(extents)?.len() as u64,
                }
            }
            Content::File(FileData::Tar { .. }) | Content::Fifo | Content::Device(_) => {
                Stored::Bytes(0)
            }
            Content::File(FileData::Inline(bytes)) | Content::Symlink(bytes) => {
                Stored::Bytes(bytes.len() as u64)
            }
        })
    }

    /// The device of a layer, and its number.
    fn device(&self, layer: u32) -> Result<(u16, &'a Device)> {
        let number = self.device_of.get((layer as usize).wrapping_sub(1));
        number
            .and_then(|&number| {
                Some((
                    number,
                    self.devices.get(usize::from(number).checked_sub(1)?)?,
                ))
            })
            .ok_or_else(|| Error::invalid("a file of an unknown layer"))
    }

    /// The names in a directory, each with its item.
    fn names(&self, index: usize) -> Vec<Name<'a, usize>> {
        let item = &self.items[index];
        let mut names: Vec<_> = self
            .tree
            .entries(item.node)
            .map(|(name, node)| Name {
                name,
                target: self.item_of[node.index()].unwrap_or_default() as usize,
            })
            .collect();
        for (name, target) in [(&b"."[..], index), (b"..", item.parent)] {
            let at = names.partition_point(|entry| entry.name < name);
            names.insert(at, Name { name, target });
        }
        names
    }

    fn write(&self) -> Result<Vec<u8>> {
        let too_large = || Error::limit("the image's directory tree is too large");
        let length = usize::try_from(self.end).map_err(|_| too_large())?;
        let mut out = vec![0; length.next_multiple_of(PAGE)];
        let blocks = |bytes: u64| u32::try_from(bytes.div_ceil(BLOCK)).map_err(|_| too_large());
        let mut put = |offset: u64, bytes: &[u8]| {
            // Every offset was placed below `end`.
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            out[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        for (slot, device) in self.devices.iter().enumerate() {
            let offset = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE + slot as u64 * DEVICE_SLOT_SIZE;
            put(
                offset,
                &device_slot(&device.diff_id.hex(), blocks(device.size)?),
            );
        }
        for (index, item) in self.items.iter().enumerate() {
            let node = self.tree.node(item.node);
            let (attributes, xattr_units) = xattrs(&node.metadata);
            let mut content = Vec::new();
            let (mut layout, mut size, mut address) = (DataLayout::FlatPlain, 0, 0);
            match &node.content {
                Content::Directory(_) => {
                    content = directory(&self.names(index), |target| self.inode(target));
                }
                Content::Symlink(bytes) | Content::File(FileData::Inline(bytes)) => {
                    content.clone_from(bytes);
                }
                Content::File(FileData::Tar { layer, extents }) if extents.size > 0 => {
                    layout = DataLayout::ChunkBased;
                    size = extents.size;
                    let (number, device) = self.device(*layer)?;
                    let chunks = Chunks::of(extents, device)?;
                    address = chunks.format();
                    let block = item.block.map(u32::try_from).transpose();
                    let block = block.map_err(|_| too_large())?;
                    content = chunks.to_bytes(extents, number, block)?;
                    if let Some(block) = block {
                        put(u64::from(block) * BLOCK, chunks.aside(extents)?);
                    }
                }
                Content::Device(device) => address = device_number(*device),
                Content::File(FileData::Tar { .. }) | Content::Fifo => {}
            }
            let behind = item.position + INODE_SIZE;
            let mut place = behind + attributes.len() as u64;
            if layout == DataLayout::ChunkBased {
                place = place.next_multiple_of(CHUNK_INDEX_SIZE);
            } else {
                size = content.len() as u64;
                if let Some(block) = item.block {
                    address = u32::try_from(block).map_err(|_| too_large())?;
                    place = block * BLOCK;
                } else if size > 0 {
                    layout = DataLayout::FlatInline;
                }
            }
            put(behind, &attributes);
            put(place, &content);
            let inode = Inode {
                kind: file_type(self.tree, item.node),
                layout,
                metadata: &node.metadata,
                size,
                address,
                number: u32::try_from(index + 1).unwrap_or(u32::MAX),
                links: item.links,
                xattr_units,
            };
            put(item.position, &inode.to_bytes());
        }
        let mut superblock = Superblock {
            root: u16::try_from(self.inode(0).0).map_err(|_| too_large())?,
            inodes: self.items.len() as u64,
            blocks: blocks(self.end)?,
            devices: u16::try_from(self.devices.len()).map_err(|_| too_large())?,
            uuid: [0; 16],
        };
        // The same image has the same name on every machine.
        let hash = Digest::of(&out).hex();
        superblock.uuid.copy_from_slice(&hash.as_bytes()[..16]);
        let start = usize::try_from(SUPERBLOCK_OFFSET).map_err(|_| too_large())?;
        out[start..start + SUPERBLOCK_LENGTH].copy_from_slice(&superblock.to_bytes());
        Ok(out)
    }

    fn inode(&self, index: usize) -> (u64, FileType) {
        let item = &self.items[index];
        (item.position / SLOT, file_type(self.tree, item.node))
    }
}

/// The first place from `position` on where `size` bytes behind the `fixed` part
/// of an inode stay within one block, which is what inline content has to do.
fn inline_position(position: u64, fixed: u64, size: u64) -> Option<u64> {
    (0..BLOCK / SLOT)
        .map(|step| position + step * SLOT)
        .find(|candidate| {
            let start = (candidate + fixed) % BLOCK;
            // Linux looks for a symlink in the block that its inode ends in.
            start != 0 && start + size <= BLOCK
        })
}

/// What an inode has behind it.
enum Stored {
    /// Indexes of chunks, and bytes of the last one in blocks of the image.
    Chunks {
        size: u64,
        aside: u64,
    },
    Bytes(u64),
}

fn file_type(tree: &Tree, node: NodeId) -> FileType {
    match tree.node(node).content {
        Content::Directory(_) => FileType::Directory,
        Content::File(_) => FileType::Regular,
        Content::Symlink(_) => FileType::Symlink,
        Content::Fifo => FileType::Fifo,
        Content::Device(device) if device.is_block => FileType::BlockDevice,
        Content::Device(_) => FileType::CharacterDevice,
    }
}
