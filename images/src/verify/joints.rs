//! Checks of joints: what layers that are directories show only together.

use super::FindingKind;
use super::streams::{Damage, damaged_record};
use super::tree;
use crate::error::{Error, Result};
use crate::rootfs::built::{self, BuiltForm};
use crate::store::chain::Chain;
use crate::store::layout::Layout;
use crate::store::record::{self, JointRecord};
use crate::store::staging::Staging;
use crate::{Digest, ErrorKind, Interrupt};

/// Makes the joint again and compares it with the one of the store; of the layers
/// that its record names if no image has it.
pub(super) fn joint(
    layout: &Layout,
    chain: &Digest,
    layers: Option<&[Digest]>,
    interrupt: &Interrupt,
) -> Result<Option<Damage>> {
    let Some(record) = record::read::<JointRecord>(&layout.joint_record(chain)) else {
        return Ok(Some(damaged_record()));
    };
    let found = Chain::new(layers.unwrap_or(&record.layers));
    if found.digest() != chain {
        let what = "its record names other layers".to_owned();
        return Ok(Some((FindingKind::Record, what)));
    }
    let staging = Staging::new(layout)?;
    let place = staging.path().join("joint");
    let (directory, again) = match built::joint(&found, layout, &[], &place, interrupt) {
        Ok(built) => match built.form {
            BuiltForm::Joint { directory, record } => (directory, record),
            BuiltForm::Erofs { .. } => return Ok(None),
        },
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Interrupted) => {
            return Err(Error::within(error, "checking what joins layers"));
        }
        // A layer is damaged, which is a finding of its own, or gone, and then no
        // image needs this.
        Err(_) => return Ok(None),
    };
    if again != record {
        let what = "its record states other layers, sizes or warnings".to_owned();
        return Ok(Some((FindingKind::Record, what)));
    }
    let Some(expected) = directory else {
        return Ok(None);
    };
    let difference = tree::difference(&layout.joint(chain), &expected, interrupt)?;
    Ok(difference.map(|what| (FindingKind::Root, what)))
}
