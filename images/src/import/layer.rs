//! One layer: from the source's bytes to its verified content in staging, in the
//! form that the store keeps, and to the blob itself where that is kept.

use std::fs::DirBuilder;
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::check_cancelled;
use super::kept::KeptFile;
use super::partial::Partials;
use super::pipe::Pipe;
use super::plan::{Item, diff_id_mismatch};
use super::stream::{BlobStream, Copy, TarStream};
use crate::error::{ErrorKind, IoContext, Result};
use crate::source::Source;
use crate::store::ingested::{Content, Ingested, Place, StagedIndex};
use crate::store::staging::Staging;
use crate::unpack::decompress::Decoder;
use crate::unpack::limits::Budget;
use crate::unpack::{self, path::open_root};
use crate::{Digest, Form, LayerProgress, Progress};

/// Bytes read from a source at a time.
const BLOB_BUFFER: usize = 128 * 1024;

/// What the parts of an ingestion share.
#[derive(Clone, Copy)]
pub(super) struct Ingestion<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) staging: &'a Staging,
    pub(super) partials: &'a Partials<'a>,
    pub(super) budget: &'a Budget,
    pub(super) progress: &'a dyn Progress,
    pub(super) form: Form,
    /// Whether anything is kept. Else only the index is made, by reading the headers.
    pub(super) keeps: bool,
}

impl Ingestion<'_> {
    /// Reads, verifies and keeps one layer.
    pub(super) fn layer(self, item: &Item) -> Result<Ingested> {
        check_cancelled(self.budget)?;
        let descriptor = &item.descriptor;
        let total = descriptor.size;
        self.progress
            .layer(&item.digest, LayerProgress::Started { total });
        let (mut stream, blob) = self.open(item)?;
        let read = match self.read(&mut stream, item) {
            // A damaged blob shows first as a broken archive; that it is damaged is
            // the better answer, and it takes the digest of all of it to know.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Io
                        | ErrorKind::LimitExceeded
                        | ErrorKind::ImageTooLarge
                        | ErrorKind::Interrupted
                        | ErrorKind::Unreachable
                        | ErrorKind::Denied
                ) || self.budget.is_cancelled() =>
            {
                return Err(error);
            }
            Err(error) => {
                stream.verify()?;
                return Err(error);
            }
            Ok(read) => {
                stream.verify()?;
                read
            }
        };
        let found = read.diff_id.unwrap_or(descriptor.digest);
        if found != item.diff_id {
            return Err(diff_id_mismatch(&item.digest, &item.diff_id, &found));
        }
        self.progress.layer(&item.digest, LayerProgress::Finished);
        Ok(Ingested {
            digest: item.digest,
            diff_id: item.diff_id,
            blob,
            content: read.content,
            size: read.size,
            warnings: read.warnings,
        })
    }

    /// Opens a layer's blob, after what an earlier pull has left of it, and says where
    /// it is kept, if it is.
    fn open<'b>(self, item: &'b Item) -> Result<(BlobStream<'b>, Option<PathBuf>)>
    where
        Self: 'b,
    {
        let descriptor = &item.descriptor;
        let path = item.keeps_blob.then(|| self.staged("blob", &item.digest));
        let partial = if self.source.is_remote() && self.keeps {
            self.partials.take(descriptor)?
        } else {
            None
        };
        let (source, copy) = match (partial, &path) {
            (Some(partial), _) => {
                // The file has two names until the image is stored.
                if let Some(path) = &path {
                    std::fs::hard_link(&partial.path, path).doing(storing)?;
                }
                let rest = self.source.open_from(descriptor, partial.found)?;
                let source: Box<dyn io::Read + Send + 'b> =
                    Box::new(partial.beginning().chain(rest));
                (source, Copy::Partial(partial))
            }
            (None, Some(path)) => {
                let copy = KeptFile::create(path).doing(storing)?;
                (self.source.open(descriptor)?, Copy::Kept(copy))
            }
            (None, None) => (self.source.open(descriptor)?, Copy::None),
        };
        let stream = BlobStream::new(source, copy, descriptor, item.digest, self.progress);
        Ok((stream, path))
    }

    /// Decodes the blob on one thread, and keeps its content on this one.
    fn read(self, blob: &mut BlobStream<'_>, item: &Item) -> Result<Read> {
        let decoder = Decoder::new(BufReader::with_capacity(BLOB_BUFFER, blob)).doing(reading)?;
        let is_plain = decoder.is_plain();
        let wanted = item.wants_content.then_some(self.form);
        let tar_path = self.staged("tar", &item.diff_id);
        let copy = (wanted == Some(Form::Erofs) && self.keeps)
            .then(|| KeptFile::create(&tar_path).doing(storing))
            .transpose()?;
        std::thread::scope(|scope| {
            let pipe = Pipe::spawn(scope, decoder);
            let mut tar = TarStream::new(pipe, !is_plain, copy, self.budget);
            let (content, warnings) = match wanted {
                None => (None, Vec::new()),
                Some(Form::Directory) => {
                    let path = self.staged("layer", &item.diff_id);
                    let failed = || "making a directory for the layer".to_owned();
                    DirBuilder::new().mode(0o700).create(&path).doing(failed)?;
                    let root = open_root(&path).doing(failed)?;
                    let (index, warnings) =
                        unpack::layer(&mut tar, root, self.staging.fd(), self.budget)?;
                    (Some((Place::Directory(path), index)), warnings)
                }
                Some(Form::Erofs) => {
                    let (index, warnings) = unpack::index(&mut tar, self.budget)?;
                    (Some((Place::Tar(tar_path), index)), warnings)
                }
            };
            let (diff_id, size) = tar.finish().doing(reading)?;
            let content = content.map(|(place, index)| {
                let path = self.staged("index", &item.diff_id);
                let index = StagedIndex::new(path, &index)?;
                Ok(Content { place, index })
            });
            let content = content.transpose()?;
            Ok(Read {
                diff_id,
                size,
                content,
                warnings,
            })
        })
    }

    fn staged(self, what: &str, digest: &Digest) -> PathBuf {
        self.staging.path().join(format!("{what}-{}", digest.hex()))
    }
}

/// What was read of a layer.
struct Read {
    diff_id: Option<Digest>,
    size: u64,
    content: Option<Content>,
    warnings: Vec<String>,
}

fn reading() -> String {
    "reading the layer".to_owned()
}

fn storing() -> String {
    "storing the layer".to_owned()
}
