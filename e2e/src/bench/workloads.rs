//! The images that are imported. Each is built once and kept below the target
//! directory; that takes minutes for the large ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::Platform;
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use tar::{EntryType, Header};

use super::blobs::{self, Facts, Layer, TarSink};
use super::content::{Content, Random};
use super::python;
use crate::fixtures::cache::Cache;
use crate::fixtures::command::run;
use crate::fixtures::stamp::Stamp;
use crate::fixtures::{Error, at};

/// Raised when a workload becomes another one.
const VERSION: &str = "1";
/// gzip level of generated layers: what a build in a hurry uses.
const FAST: u32 = 1;

/// One image to import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// Python with the usual numeric packages.
    Python,
    /// As large as Lambda lets an image be, one layer of 6 GB among others.
    Large,
    /// 100,000 files of some KB.
    Small,
    /// Takes seconds, so that every change runs the bench once.
    Smoke,
}

/// A built workload.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) facts: Facts,
    pub(super) image: Files,
    /// The same image with another last layer of 1 MB.
    pub(super) changed: Option<Files>,
}

/// One image: as OCI layout, and as the tar file of that layout.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) layout: PathBuf,
    pub(super) archive: PathBuf,
}

impl Files {
    pub(super) fn new(directory: &Path, name: &str) -> Self {
        Self {
            layout: directory.join(name),
            archive: directory.join(format!("{name}.tar")),
        }
    }
}

impl Workload {
    pub(super) const LISTED: [Self; 3] = [Self::Python, Self::Small, Self::Large];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Large => "large",
            Self::Small => "small",
            Self::Smoke => "smoke",
        }
    }

    /// How often each import is measured.
    pub(super) const fn rounds(self) -> usize {
        match self {
            Self::Python | Self::Small => 3,
            Self::Large | Self::Smoke => 1,
        }
    }

    /// Free space to build and run it, in bytes.
    pub(super) const fn space(self) -> u64 {
        match self {
            Self::Python | Self::Small => 8 << 30,
            Self::Large => 45 << 30,
            Self::Smoke => 1 << 30,
        }
    }

    /// Builds it unless it is there.
    pub(super) fn build(self, cache: &Cache) -> Result<Built, Error> {
        let stamp = Stamp::new()
            .value(VERSION)
            .value(self.name())
            .value(python::PACKAGES.join(" "));
        let directory = cache.image(self.name(), &stamp, |directory| {
            let files = Files::new(directory, "image");
            fs::create_dir_all(&files.layout).map_err(at(&files.layout))?;
            let mut layers = self.layers(directory)?;
            layers.push(function(&files.layout, 1)?);
            finish(&files, &layers)?;
            if self != Self::Large {
                let changed = Files::new(directory, "changed");
                run(Command::new("cp")
                    .args(["--archive", "--link"])
                    .args([&files.layout, &changed.layout]))?;
                // Names of the first image that the second one replaces.
                for name in ["index.json", "oci-layout"] {
                    let path = changed.layout.join(name);
                    fs::remove_file(&path).map_err(at(&path))?;
                }
                layers.pop();
                layers.push(function(&changed.layout, 2)?);
                finish(&changed, &layers)?;
            }
            let facts = directory.join("facts.json");
            let text = serde_json::to_vec(&blobs::facts(&files.layout)?)?;
            fs::write(&facts, text).map_err(at(&facts))
        })?;
        let facts = directory.join("facts.json");
        Ok(Built {
            facts: serde_json::from_slice(&fs::read(&facts).map_err(at(&facts))?)?,
            image: Files::new(&directory, "image"),
            changed: (self != Self::Large).then(|| Files::new(&directory, "changed")),
        })
    }

    /// Writes all layers but the last.
    fn layers(self, directory: &Path) -> Result<Vec<Layer>, Error> {
        let layout = directory.join("image");
        match self {
            Self::Python => {
                let trees = python::trees(directory)?;
                let layer = |tree: &PathBuf| LayerBuilder::new().tree("/", tree);
                ImageBuilder::new(Platform::host())
                    .layer(layer(&trees[0]))
                    .layer(layer(&trees[1]))
                    .write_oci_layout(&layout, "latest")?;
                for tree in &trees {
                    fs::remove_dir_all(tree).map_err(at(tree))?;
                }
                blobs::layers(&layout)
            }
            Self::Small | Self::Smoke => {
                let count = if self == Self::Small { 50_000 } else { 1_000 };
                ImageBuilder::new(Platform::host())
                    .layer(small_files("usr/lib/one", count))
                    .layer(small_files("usr/lib/two", count))
                    .write_oci_layout(&layout, "latest")?;
                blobs::layers(&layout)
            }
            // The two threads of a small machine end at about the same time.
            Self::Large => std::thread::scope(|scope| {
                let write = |name, megabytes| {
                    let layout = &layout;
                    scope.spawn(move || {
                        blobs::stream(layout, FAST, |tar| mixed_files(tar, name, megabytes))
                    })
                };
                let threads = [
                    write("opt/model", 6_000),
                    write("opt/data", 2_300),
                    write("opt/lib", 1_690),
                ];
                threads
                    .into_iter()
                    .map(|thread| thread.join().map_err(|_| "a writer panicked")?)
                    .collect()
            }),
        }
    }
}

fn finish(files: &Files, layers: &[Layer]) -> Result<(), Error> {
    blobs::compose(&files.layout, layers)?;
    run(Command::new("tar")
        .arg("--create")
        .arg(format!("--file={}", files.archive.display()))
        .arg(format!("--directory={}", files.layout.display()))
        .args(["oci-layout", "index.json", "blobs"]))
}

/// The layer that changes with every build: a function's own code, 1 MB.
fn function(layout: &Path, version: u64) -> Result<Layer, Error> {
    blobs::stream(layout, FAST, |tar| {
        for file in 0..50 {
            append(
                tar,
                &format!("var/task/{file}.py"),
                version * 1000 + file,
                20_000,
            )?;
        }
        Ok(())
    })
}

/// Files of 100 bytes to 6 KB, 100 in a directory.
fn small_files(top: &str, count: u64) -> LayerBuilder {
    let mut random = Random::new(7);
    (0..count).fold(LayerBuilder::new(), |layer, file| {
        let content = Content::bytes(2 * file, 100 + random.below(6_000));
        let name = format!(
            "{top}/package{}/module{}/{file}.py",
            file / 5_000,
            file / 100
        );
        layer.file(name, 0o644, content)
    })
}

/// Files of 4 KB to 256 MB, `megabytes` MB in all.
fn mixed_files(tar: &mut TarSink<'_>, top: &str, megabytes: u64) -> io::Result<()> {
    let mut random = Random::new(megabytes);
    let mut left = megabytes * 1_000_000;
    let mut file = 0;
    while left > 0 {
        let length = (4_096_u64 << random.below(17)).min(left);
        append(
            tar,
            &format!("{top}/{}/{file}", file / 100),
            megabytes + file,
            length,
        )?;
        left -= length;
        file += 1;
    }
    Ok(())
}

fn append(tar: &mut TarSink<'_>, name: &str, seed: u64, length: u64) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(length);
    tar.append_data(&mut header, name, Content::new(seed, length))
}
