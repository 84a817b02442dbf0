//! The content of a whole tree, in the layers' tar streams.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::tree::{Content, Extents, FileData, NodeId, Tree};
use crate::unpack::tree::Contents;

/// A tree, and the layers' streams, base first.
pub(super) struct Streams<'a> {
    pub(super) tree: &'a Tree,
    pub(super) streams: &'a [File],
}

impl Contents for Streams<'_> {
    fn wants(&self, _node: NodeId) -> bool {
        true
    }

    fn fill(&self, node: NodeId, mut file: &File) -> io::Result<()> {
        match &self.tree.node(node).content {
            Content::File(FileData::Inline(bytes)) => file.write_all(bytes),
            Content::File(FileData::Tar { layer, extents }) => self.copy(*layer, extents, file),
            _ => Err(io::Error::other("only a regular file has content")),
        }
    }
}

impl Streams<'_> {
    fn copy(&self, layer: u32, extents: &Extents, mut file: &File) -> io::Result<()> {
        let mut stream = self
            .streams
            .get(layer as usize - 1)
            .ok_or_else(|| io::Error::other("a file of an unknown layer"))?;
        for (place, piece) in extents.placed() {
            stream.seek(SeekFrom::Start(place))?;
            file.seek(SeekFrom::Start(piece.offset))?;
            let copied = io::copy(&mut stream.take(piece.length), &mut file)?;
            if copied != piece.length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // A hole at the end.
        file.set_len(extents.size)
    }
}
