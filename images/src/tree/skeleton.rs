//! The skeleton in a tree; `rootfs::skeleton` says what it is for.

use super::{Content, FileData, Layering, Tree, own_metadata};
use crate::error::Result;
use crate::rootfs::skeleton::{ETC, HIDDEN, PLACES};
use crate::unpack::entry::Action;
use crate::unpack::name::LayerPath;

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
            layering.act(Action::Whiteout(path.clone()))?;
            layering.directory(&path, own_metadata(mode))?;
        }
        let etc = LayerPath::new(b"etc")?;
        layering.directory(&etc, own_metadata(0o755))?;
        for (name, text) in ETC {
            let data = FileData::Inline(text.as_bytes().to_vec());
            let path = etc.join(name.as_bytes())?;
            layering.leaf(&path, own_metadata(0o644), Content::File(data))?;
        }
        Ok(())
    }
}
