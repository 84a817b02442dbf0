//! The skeleton: what it has, and how it goes over a tree. `rootfs::skeleton` says
//! what it is for.

use super::{Content, FileData, Layering, Tree, own_metadata};
use crate::error::Result;
use crate::unpack::name::LayerPath;

/// Name of the directory; changes whenever its content does.
pub(crate) const VERSION: &str = "v1";
/// Directories that hide the image's own, and their modes.
pub(crate) const HIDDEN: [(&str, u32); 4] = [
    ("dev", 0o755),
    ("proc", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
];
/// All its directories.
pub(crate) const PLACES: [&str; 5] = ["dev", "etc", "proc", "sys", "tmp"];
/// Files in `/etc`, which otherwise is the image's own.
pub(crate) const ETC: [(&str, &str); 3] = [
    ("resolv.conf", "#\n"),
    (
        "hosts",
        "127.0.0.1 localhost\n127.0.0.1 sandbox.localdomain sandbox\n",
    ),
    ("hostname", "localhost\n"),
];

/// Warnings about what an image has in the skeleton's places; `replaced` are
/// those of [`PLACES`] that are no directories.
pub(crate) fn warnings(replaced: &[&str]) -> Vec<String> {
    replaced
        .iter()
        .map(|name| {
            format!("/{name} is not a directory in the image; it is replaced by a directory")
        })
        .collect()
}

impl Tree {
    /// Those of the skeleton's places that are something else in the image.
    pub(crate) fn not_directories(&self) -> Vec<&'static str> {
        let is_other = |name: &&str| {
            self.child(Self::ROOT, name.as_bytes())
                .is_some_and(|entry| !self.is_directory(entry.node))
        };
        PLACES.into_iter().filter(is_other).collect()
    }

    /// Puts the skeleton over all layers.
    pub(crate) fn apply_skeleton(&mut self, layer: u32) -> Result<()> {
        let mut layering = Layering::new(self, layer);
        layering.directory(&LayerPath::default(), own_metadata(0o755))?;
        for (name, mode) in HIDDEN {
            let path = LayerPath::new(name.as_bytes())?;
            layering.whiteout(&path)?;
            layering.directory(&path, own_metadata(mode))?;
        }
        let etc = LayerPath::new(b"etc")?;
        layering.directory(&etc, own_metadata(0o755))?;
        for (name, text) in ETC {
            let data = FileData::Inline(text.as_bytes().into());
            let path = etc.join(name.as_bytes())?;
            layering.leaf(&path, own_metadata(0o644), Content::File(data))?;
        }
        Ok(())
    }
}
