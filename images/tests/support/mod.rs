//! What the integration tests share: stores, snapshots and hostile images.

#![allow(dead_code, reason = "each test crate uses some of these")]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code states its expectations"
)]

pub(crate) mod mounts;
pub(crate) mod tar;
pub(crate) mod tree;
pub(crate) mod user;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{ContentStore, Error, Form, Image, ImageReference, NoProgress, Platform};

/// A temporary directory with a store in it.
pub(crate) struct Scratch {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: ContentStore,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self::of_form(Form::Directory)
    }

    pub(crate) fn of_form(form: Form) -> Self {
        Self::within(tempfile::tempdir_in(directory()).unwrap(), form)
    }

    /// A store in memory, where syncing costs nothing.
    pub(crate) fn in_memory() -> Self {
        Self::in_memory_of(Form::Directory)
    }

    /// The same of any form; an EROFS image there cannot be mounted.
    pub(crate) fn in_memory_of(form: Form) -> Self {
        Self::within(
            tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
            form,
        )
    }

    fn within(dir: tempfile::TempDir, form: Form) -> Self {
        let store = ContentStore::open(&dir.path().join("store")).unwrap();
        let store = store.with_form(form);
        Self { dir, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A second store, of the other form; says so if there cannot be one here.
    pub(crate) fn erofs(&self) -> Option<ContentStore> {
        let store = ContentStore::open(&self.path("erofs-store")).unwrap();
        can_mount_erofs(&store).then_some(store)
    }

    /// Imports a bare path.
    pub(crate) fn import(&self, path: &Path) -> Result<Image, Error> {
        import_path_into(&self.store, path)
    }

    /// Writes an image of these layers and imports it.
    pub(crate) fn import_layers(&self, layers: &[Vec<u8>]) -> Result<Image, Error> {
        let file = self.path("image.tar");
        image(layers).write_oci_archive(&file, "latest").unwrap();
        self.import(&file)
    }

    /// Imports into another store what [`Self::import_layers`] wrote.
    pub(crate) fn import_into(&self, store: &ContentStore) -> Result<Image, Error> {
        import_path_into(store, &self.path("image.tar"))
    }

    /// The directory of a layer, base first.
    pub(crate) fn layer(&self, image: &Image, index: usize) -> PathBuf {
        self.store
            .root()
            .join("layers/sha256")
            .join(image.layers[index].diff_id.hex())
    }

    /// What the store holds, without locks.
    pub(crate) fn content(&self) -> BTreeMap<PathBuf, String> {
        let mut content = snapshot(self.store.root());
        content.retain(|path, _| !path.starts_with("locks"));
        // Times of directories say that something was there for a while.
        for (_, line) in content
            .iter_mut()
            .filter(|(_, line)| line.starts_with("dir"))
        {
            line.truncate(line.find(" mtime").unwrap());
        }
        content
    }
}

/// Imports a bare path.
pub(crate) fn import_path_into(store: &ContentStore, path: &Path) -> Result<Image, Error> {
    let reference = ImageReference::Path {
        path: path.to_owned(),
    };
    store.import(&reference, &Platform::host(), &NoProgress)
}

/// An image of raw layers.
pub(crate) fn image(layers: &[Vec<u8>]) -> ImageBuilder {
    layers.iter().fold(
        ImageBuilder::new(Platform::host()).entrypoint(["/bin/x"]),
        |image, layer| image.layer(LayerBuilder::raw(layer.clone()).compression(Compression::Gzip)),
    )
}

/// A small good image.
pub(crate) fn good() -> ImageBuilder {
    let base = LayerBuilder::new()
        .directory("etc", 0o755)
        .file("etc/os-release", 0o644, "NAME=test\n")
        .file("bin/x", 0o755, "#!/bin/sh\necho hello\n")
        .symlink("bin/y", "x")
        .hardlink("bin/z", "bin/x")
        .file("big", 0o600, vec![7; 300_000]);
    let top = LayerBuilder::new()
        .file("var/task/app.py", 0o644, "print()\n")
        // Into the layer below, so that there is something to join.
        .hardlink("var/task/tool", "bin/x")
        .whiteout("big");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/bin/x"])
        .cmd(["app.handler"])
        .env("PATH", "/bin")
        .working_dir("/var/task")
        .user("nobody")
        .label("a", "b")
        .layer(base)
        .layer(top)
}

/// Everything below `root` that a change could show in: one line each.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut lines = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = path
                .symlink_metadata()
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let kind = meta.file_type();
            let what = if kind.is_dir() {
                pending.push(path.clone());
                "dir".to_owned()
            } else if kind.is_symlink() {
                format!("link {}", path.read_link().unwrap().display())
            } else if kind.is_file() {
                format!(
                    "file {} links {}",
                    lambent_images::Digest::of(std::fs::read(&path).unwrap()),
                    meta.nlink()
                )
            } else {
                format!("special rdev {}", meta.rdev())
            };
            let line = format!(
                "{what} mode {:o} owner {}:{} mtime {}.{}",
                meta.permissions().mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec()
            );
            lines.insert(path.strip_prefix(root).unwrap().to_owned(), line);
        }
    }
    lines
}

/// The most memory that this process had, in KiB.
pub(crate) fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.trim().strip_suffix(" kB"));
    peak.unwrap().parse().unwrap()
}

/// True for root; otherwise says why a test does nothing.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!(
                "skipped {test}: unpacking makes device nodes and changes owners, which needs root"
            );
        }
    }
    root
}

/// Where stores of tests are: in the usual place, or, if EROFS cannot be mounted from
/// files there, beside the build.
fn directory() -> &'static Path {
    static DIRECTORY: std::sync::LazyLock<PathBuf> = std::sync::LazyLock::new(|| {
        let usual = std::env::temp_dir();
        [usual.clone(), env!("CARGO_TARGET_TMPDIR").into()]
            .into_iter()
            .find(|place| {
                let probe = tempfile::tempdir_in(place);
                probe.is_ok_and(|probe| mounts_erofs(probe.path()))
            })
            .unwrap_or(usual)
    });
    &DIRECTORY
}

/// True if a store here has the form EROFS by itself.
fn mounts_erofs(root: &Path) -> bool {
    ContentStore::open(root).unwrap().form() == Form::Erofs
}

/// True if the store's form can be EROFS; otherwise says why tests do less. Where all
/// tests have to run, that is a failure.
pub(crate) fn can_mount_erofs(store: &ContentStore) -> bool {
    let can = mounts_erofs(store.root());
    if !can {
        let why = "skipped the EROFS form: it needs Linux 6.12 and a disk file system";
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let must = std::env::var_os("CI").is_some() && known.contains("\terofs\n");
        assert!(!must, "{why}");
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("{why}");
        }
    }
    can
}

/// Writes a layout whose only layer is a small archive and then `gigabytes` GiB of
/// zeros, as a gzip bomb of a thousandth of that.
pub(crate) fn write_bomb(layout: &Path, gigabytes: usize) {
    use std::io::Write;
    let gzip = |chunk: &[u8], times: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..times {
            encoder.write_all(chunk).unwrap();
        }
        encoder.finish().unwrap()
    };
    let mut blob = gzip(&tar::Tar::new().file("f", "x").end(), 1);
    let zeros = gzip(&vec![0; 1 << 20], 1 << 10);
    for _ in 0..gigabytes {
        blob.extend_from_slice(&zeros);
    }
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    write_layer(layout, &blob, media_type, b"never reached");
}

/// Writes a layout with one layer, which is this blob and claims to unpack to `tar`.
pub(crate) fn write_layer(layout: &Path, blob: &[u8], media_type: &str, tar: &[u8]) {
    write_layer_of(layout, blob, media_type, &lambent_images::Digest::of(tar));
}

/// The same, of a tar stream with this digest.
pub(crate) fn write_layer_of(
    layout: &Path,
    blob: &[u8],
    media_type: &str,
    diff_id: &lambent_images::Digest,
) {
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let write = |bytes: &[u8], media_type: &str| {
        let digest = lambent_images::Digest::of(bytes);
        std::fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let platform = Platform::host();
    let config = serde_json::json!({ "os": platform.os, "architecture": platform.architecture,
        "rootfs": { "type": "layers", "diff_ids": [diff_id] } });
    let config = write(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let layer = write(blob, media_type);
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let manifest = write(
        manifest.to_string().as_bytes(),
        "application/vnd.oci.image.manifest.v1+json",
    );
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
}

/// Bytes that do not compress, the same on every run.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// An image of three layers of some MB and many files; the first two are common
/// to all variants.
pub(crate) fn large(variant: u64) -> ImageBuilder {
    (0..3).fold(ImageBuilder::new(Platform::host()), |image, index| {
        let seed = if index == 2 { 100 + variant } else { index };
        let mut layer =
            LayerBuilder::new().file(format!("noise{seed}"), 0o644, noise(seed, 1 << 21));
        for file in 0..200 {
            layer = layer.file(format!("dir{seed}/{file}"), 0o644, noise(file, 100));
        }
        image.layer(layer)
    })
}
