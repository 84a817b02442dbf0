//! Entries of every kind, with sizes and numbers that are likely to matter.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::support::noise;

/// An entry without its name.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Names, and empty files under short names of this number.
    Directory(BTreeMap<Vec<u8>, Entry>, usize),
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    Device(bool, u32, u32),
    /// A further name of a file made before, if there is one.
    Link(usize),
}

pub(crate) fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/') { b'x' } else { byte });
    let length = prop_oneof![6 => 1..12_usize, 1 => 12..254_usize, 1 => 254..=255_usize];
    length
        .prop_flat_map(move |length| vec(byte.clone(), length))
        .prop_filter("no name of a file", |name| {
            name != b"." && name != b".." && !name.starts_with(b".wh.")
        })
}

/// Sizes around those of blocks and pages.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let sizes = [0, 1, 511, 512, 513, 1023, 4095, 4096, 4097, 65_536, 70_001];
    (any::<u64>(), proptest::sample::select(sizes.to_vec())).prop_map(|(seed, n)| noise(seed, n))
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let lengths = [
        1, 2, 100, 400, 447, 448, 449, 511, 512, 513, 1000, 4094, 4095,
    ];
    (1..=255_u8, proptest::sample::select(lengths.to_vec())).prop_map(|(byte, n)| vec![byte; n])
}

/// Names and values up to what ext4 takes within one block, with the other form.
fn xattrs() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = prop_oneof![
        4 => "[a-z]{1,8}",
        1 => "[a-z]{240,250}",
    ]
    .prop_map(|name| format!("user.{name}"))
    .prop_filter("Linux's limit, and overlayfs's own", |name| {
        name.len() <= 255 && !name.starts_with("user.overlay.")
    });
    let value = prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 700..900)];
    let few = btree_map(name, value, 1..4);
    prop_oneof![3 => Just(BTreeMap::new()), 1 => few]
}

fn described(what: What) -> impl Strategy<Value = Entry> {
    let id = || {
        prop_oneof![
            Just(0),
            Just(65_534),
            Just(65_536),
            Just(u32::MAX - 1),
            0..2000_u32
        ]
    };
    // What ext4 can hold.
    let seconds = prop_oneof![
        Just(0),
        Just(-1),
        Just(1 - (1_i64 << 31)),
        Just((1_i64 << 31) - 1),
        Just(1_i64 << 31),
        Just((1_i64 << 33) + 12_345),
        0..2_000_000_000_i64
    ];
    let nanoseconds = prop_oneof![Just(0), Just(999_999_999), 0..1_000_000_000_u32];
    let mode = 0..0o10000_u32;
    (mode, id(), id(), (seconds, nanoseconds), xattrs()).prop_map(
        move |(mode, uid, gid, mtime, xattrs)| Entry {
            // Only files and directories can have attributes of users.
            xattrs: match &what {
                What::Directory(..) | What::File(_) => xattrs,
                _ => BTreeMap::new(),
            },
            mode: match &what {
                What::Symlink(_) => 0o777,
                _ => mode,
            },
            what: what.clone(),
            uid,
            gid,
            mtime,
        },
    )
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let number = || prop_oneof![Just(0), Just(255), Just(256), 0..4096_u32];
    let minor = prop_oneof![number(), Just(1_048_575)];
    let leaf = prop_oneof![
        4 => content().prop_map(What::File),
        2 => target().prop_map(What::Symlink),
        1 => Just(What::Fifo),
        1 => (any::<bool>(), number(), minor).prop_map(|(block, major, minor)| {
            // A character device 0:0 is what overlayfs takes for a whiteout.
            What::Device(block || (major, minor) == (0, 0), major, minor)
        }),
        2 => (0..100_usize).prop_map(What::Link),
    ];
    leaf.prop_flat_map(described)
        .prop_recursive(5, 60, 12, |inner| {
            let crowd = prop_oneof![12 => Just(0_usize), 1 => 40..50_usize, 1 => Just(2000)];
            (btree_map(name(), inner, 0..12), crowd)
                .prop_map(|(entries, crowd)| What::Directory(entries, crowd))
                .prop_flat_map(described)
        })
}
