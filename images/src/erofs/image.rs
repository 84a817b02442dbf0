//! Lays a tree out as an EROFS image whose files stay in the layers' tar streams.
//!
//! ```text
//! 0      superblock at 1024, one device slot for each layer
//! ...    inodes in the order of a walk, each with its attributes and then its
//!        chunk, or its content if that fits into the same block
//! ...    larger directories and symlinks, and ends of files that a stream lacks a
//!        part of the block of (see `tail`), in whole blocks
//! ```

use std::borrow::Cow;
use std::io::{self, Write};

use super::chunks::Chunks;
use super::format::{
    BLOCK, CHUNK_INDEX_SIZE, DEVICE_SLOT_SIZE, DataLayout, FileType, INODE_SIZE, Inode, Name, SLOT,
    SUPERBLOCK_LENGTH, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock, device_number, device_slot,
    directory, directory_size, xattrs,
};
use super::ordered::Ordered;
use super::tail::Tail;
use crate::Digest;
use crate::error::{Error, IoContext, Result};
use crate::tree::{Content, FileData, NodeId, Tree};

/// The image's length is a multiple of this, so that no page of it ends early.
const PAGE: u64 = 4096;

/// A layer's tar stream as a device of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) diff_id: Digest,
    /// Bytes of the stream.
    pub(crate) size: u64,
    /// Its end, if that is within a block.
    pub(crate) tail: Option<Tail>,
}

/// Writes the metadata image of `tree`, to be mounted together with `devices`, and
/// returns its digest.
///
/// `device_of` gives the device, counted from 1, of each layer, counted from 1.
pub(crate) fn write(
    tree: &Tree,
    devices: &[Device],
    device_of: &[u16],
    out: impl Write,
) -> Result<Digest> {
    let mut planner = Planner::new(tree, devices, device_of);
    planner.walk()?;
    planner.place()?;
    // The same image has the same name on every machine: it is made of all the rest,
    // which is made twice, since to keep it would take the memory of a whole image.
    let unnamed = planner.write(None, io::sink())?;
    planner.write(Some(unnamed), out)
}

/// One inode on its way into the image.
#[derive(Debug)]
struct Item {
    node: NodeId,
    parent: u32,
    links: u32,
    position: u64,
}

/// Content of an inode that is not inline.
#[derive(Debug, Clone, Copy)]
struct Plain {
    item: usize,
    size: u64,
    /// Its first block.
    block: u32,
}

#[derive(Debug)]
struct Planner<'a> {
    tree: &'a Tree,
    devices: &'a [Device],
    device_of: &'a [u16],
    items: Vec<Item>,
    /// The item of each node, for nodes with several names.
    item_of: Vec<Option<u32>>,
    /// In the order of their items, and of their blocks.
    plain: Vec<Plain>,
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
            plain: Vec::new(),
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
            let index = u32::try_from(self.items.len())
                .map_err(|_| Error::limit("the image has more than 2^32 files"))?;
            self.item_of[node.index()] = Some(index);
            let is_directory = file_type(self.tree, node) == FileType::Directory;
            self.items.push(Item {
                node,
                parent,
                links: if is_directory { 2 } else { 1 },
                position: 0,
            });
            if is_directory && index > 0 {
                self.items[parent as usize].links += 1;
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
        for (item, size) in plain {
            self.plain.push(Plain {
                item,
                size,
                block: u32::try_from(block).map_err(|_| too_large())?,
            });
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
        for (name, target) in [(&b"."[..], index), (b"..", item.parent as usize)] {
            let at = names.partition_point(|entry| entry.name < name);
            names.insert(at, Name { name, target });
        }
        names
    }

    /// Writes the image, with a superblock if it has a name, and returns its digest.
    fn write(&self, name: Option<Digest>, out: impl Write) -> Result<Digest> {
        let mut out = Ordered::new(out);
        if let Some(name) = name {
            out.put(SUPERBLOCK_OFFSET, &self.superblock(&name)?)
                .doing(writing)?;
        }
        for (slot, device) in self.devices.iter().enumerate() {
            let offset = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE + slot as u64 * DEVICE_SLOT_SIZE;
            let slot = device_slot(&device.diff_id.hex(), blocks(device.size)?);
            out.put(offset, &slot).doing(writing)?;
        }
        let mut plain = self.plain.iter().peekable();
        for index in 0..self.items.len() {
            let plain = plain.next_if(|plain| plain.item == index);
            self.write_item(index, plain, &mut out)?;
        }
        for plain in &self.plain {
            let offset = u64::from(plain.block) * BLOCK;
            let node = self.tree.node(self.items[plain.item].node);
            match &node.content {
                Content::File(FileData::Tar { layer, extents }) => {
                    let chunks = Chunks::of(extents, self.device(*layer)?.1)?;
                    out.put(offset, chunks.aside(extents)?)
                }
                content => out.put(offset, &self.bytes(plain.item, content)),
            }
            .doing(writing)?;
        }
        out.finish(self.end.next_multiple_of(PAGE)).doing(writing)
    }

    /// Writes an inode and what is behind it.
    fn write_item(
        &self,
        index: usize,
        plain: Option<&Plain>,
        out: &mut Ordered<impl Write>,
    ) -> Result<()> {
        let item = &self.items[index];
        let node = self.tree.node(item.node);
        let (attributes, xattr_units) = xattrs(&node.metadata);
        let mut behind: Cow<'_, [u8]> = Cow::Borrowed(&[]);
        let (mut layout, mut size, mut address) = (DataLayout::FlatPlain, 0, 0);
        let mut place = item.position + INODE_SIZE + attributes.len() as u64;
        match &node.content {
            Content::File(FileData::Tar { layer, extents }) if extents.size > 0 => {
                layout = DataLayout::ChunkBased;
                size = extents.size;
                let (number, device) = self.device(*layer)?;
                let chunks = Chunks::of(extents, device)?;
                address = chunks.format();
                behind = chunks
                    .to_bytes(extents, number, plain.map(|plain| plain.block))?
                    .into();
                place = place.next_multiple_of(CHUNK_INDEX_SIZE);
            }
            Content::Device(device) => address = device_number(*device),
            content => {
                if let Some(plain) = plain {
                    (size, address) = (plain.size, plain.block);
                } else {
                    behind = self.bytes(index, content);
                    size = behind.len() as u64;
                    if size > 0 {
                        layout = DataLayout::FlatInline;
                    }
                }
            }
        }
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
        out.put(item.position, &inode.to_bytes()).doing(writing)?;
        out.put(item.position + INODE_SIZE, &attributes)
            .doing(writing)?;
        out.put(place, &behind).doing(writing)
    }

    /// What the image itself has of an item.
    fn bytes<'c>(&self, index: usize, content: &'c Content) -> Cow<'c, [u8]> {
        match content {
            Content::Directory(_) => {
                let names = self.names(index);
                Cow::Owned(directory(&names, |target| self.inode(target)))
            }
            Content::Symlink(bytes) | Content::File(FileData::Inline(bytes)) => {
                Cow::Borrowed(bytes)
            }
            Content::File(FileData::Tar { .. }) | Content::Fifo | Content::Device(_) => {
                Cow::Borrowed(&[])
            }
        }
    }

    fn superblock(&self, name: &Digest) -> Result<[u8; SUPERBLOCK_LENGTH]> {
        let mut superblock = Superblock {
            root: u16::try_from(self.inode(0).0).map_err(|_| too_large())?,
            inodes: self.items.len() as u64,
            blocks: blocks(self.end)?,
            devices: u16::try_from(self.devices.len()).map_err(|_| too_large())?,
            uuid: [0; 16],
        };
        superblock
            .uuid
            .copy_from_slice(&name.hex().as_bytes()[..16]);
        Ok(superblock.to_bytes())
    }

    fn inode(&self, index: usize) -> (u64, FileType) {
        let item = &self.items[index];
        (item.position / SLOT, file_type(self.tree, item.node))
    }
}

fn blocks(bytes: u64) -> Result<u32> {
    u32::try_from(bytes.div_ceil(BLOCK)).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::limit("the image's directory tree is too large")
}

fn writing() -> String {
    "writing the EROFS image".to_owned()
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
