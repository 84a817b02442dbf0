//! What is started: built once, and kept below the target directory.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::Platform;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};

use super::options::Size;
use crate::fixtures::cache::Cache;
use crate::fixtures::command::run;
use crate::fixtures::stamp::Stamp;
use crate::fixtures::{Error, at, target_directory, workspace};

const PACKAGE: &str = "lambent-e2e-stopwatch";
/// Where custom runtimes have their program.
pub(super) const BOOTSTRAP: &str = "/var/task/bootstrap";
/// The name and tag in all of these images.
pub(super) const TAG: &str = "latest";
/// Lambda's emulator is in the wheel of AWS's SAM CLI.
const EMULATOR_PACKAGE: &str = "aws-sam-cli==1.170.0";
/// Of one file in a large image.
const BLOCK_BYTES: u64 = 256_000_000;

/// Files that are the same for all parts.
#[derive(Debug)]
pub(super) struct Files {
    /// The static program that tells the time.
    pub(super) stopwatch: PathBuf,
    /// It in an image of 10 MB, as an OCI archive.
    pub(super) small: PathBuf,
    /// The same as Docker's archive, for podman.
    pub(super) docker: PathBuf,
    /// It in a large image; what "large" means is in the remarks.
    pub(super) large: PathBuf,
    pub(super) large_gb: u64,
    /// Lambda's emulator, or why there is none.
    pub(super) emulator: Result<PathBuf, String>,
}

impl Files {
    /// Builds what is not there yet.
    ///
    /// # Errors
    /// Something cannot be built. That the emulator cannot be fetched is no error.
    pub(super) fn build(cache: &Cache, size: Size) -> Result<Self, Error> {
        let stamp = Stamp::new()
            .path(&workspace().join("e2e/stopwatch"))?
            .path(&workspace().join("Cargo.lock"))?;
        let stopwatch = cache.step("stopwatch", &stamp, build_stopwatch)?;
        let block = random_block(cache)?;
        let build = |name: &str, blocks: u64, entries: u64| {
            let stamp = stamp.clone().value(format!("{name} {blocks} {entries}"));
            cache.step(name, &stamp, |file| {
                let image = image(&stopwatch, &block, blocks, entries);
                image.write_oci_archive(file, TAG).map(drop)?;
                Ok(())
            })
        };
        let small = build("stopwatch-small.tar", 0, 2_000)?;
        let docker = cache.step("stopwatch.docker.tar", &stamp, |file| {
            let image = image(&stopwatch, &block, 0, 2_000);
            image
                .write_docker_archive(file, "localhost/stopwatch:latest")
                .map(drop)?;
            Ok(())
        })?;
        let (large, large_gb) = match size {
            Size::Tiny => (small.clone(), 0),
            Size::Usual => (build("stopwatch-1gb.tar", 4, 20_000)?, 1),
            Size::Large => (build("stopwatch-10gb.tar", 39, 20_000)?, 10),
        };
        Ok(Self {
            stopwatch,
            small,
            docker,
            large,
            large_gb,
            emulator: emulator(cache).map_err(|error| error.to_string()),
        })
    }

    /// How `lambent` is told about an archive of these.
    pub(super) fn reference(archive: &Path) -> String {
        format!("oci-archive:{}:{TAG}", archive.display())
    }
}

fn build_stopwatch(path: &Path) -> Result<(), Error> {
    run(
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(workspace())
            .args(["rustc", "--locked", "--release", "-p", PACKAGE, "--"])
            .args(["-C", "target-feature=+crt-static"]),
    )?;
    let built = target_directory().join("release").join(PACKAGE);
    fs::copy(&built, path).map_err(at(&built))?;
    Ok(())
}

/// The program, small files of 5 KB, and large ones that are all the same file.
fn image(stopwatch: &Path, block: &Path, blocks: u64, entries: u64) -> ImageBuilder {
    let mut layer = LayerBuilder::new().compression(Compression::None);
    for directory in [
        "/dev",
        "/proc",
        "/sys",
        "/tmp",
        "/etc",
        "/var",
        "/var/task",
        "/opt",
    ] {
        layer = layer.directory(directory, 0o755);
    }
    for entry in 0..entries {
        let name = format!("/opt/lib/{}/{entry}.py", entry / 100);
        layer = layer.file(name, 0o644, entry.to_string().repeat(1_200));
    }
    for number in 0..blocks {
        layer = layer.file_from(format!("/opt/model/{number}"), 0o644, block);
    }
    ImageBuilder::new(Platform::host())
        .entrypoint([BOOTSTRAP])
        .working_dir("/var/task")
        .layer(layer)
        .layer(
            LayerBuilder::new()
                .compression(Compression::None)
                .file_from(BOOTSTRAP, 0o755, stopwatch),
        )
}

/// A file that does not compress.
fn random_block(cache: &Cache) -> Result<PathBuf, Error> {
    let stamp = Stamp::new().value(BLOCK_BYTES.to_string());
    cache.step("random-block", &stamp, |path| {
        let source = Path::new("/dev/urandom");
        let random = File::open(source).map_err(at(source))?;
        let mut file = File::create(path).map_err(at(path))?;
        io::copy(&mut io::Read::take(random, BLOCK_BYTES), &mut file).map_err(at(path))?;
        Ok(())
    })
}

/// Fetches Lambda's emulator.
fn emulator(cache: &Cache) -> Result<PathBuf, Error> {
    let machine = env::consts::ARCH.replace("aarch64", "arm64");
    let member = format!("samcli/local/rapid/aws-lambda-rie-{machine}");
    let stamp = Stamp::new().value(EMULATOR_PACKAGE).value(&member);
    cache.step("aws-lambda-rie", &stamp, |path| {
        let wheel = path.with_extension("wheel");
        run(Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--only-binary=:all:", EMULATOR_PACKAGE, "--dest"])
            .arg(&wheel))?;
        let code = "import glob, sys, zipfile\n\
                    wheel = glob.glob(sys.argv[1] + '/*.whl')[0]\n\
                    open(sys.argv[3], 'wb').write(zipfile.ZipFile(wheel).read(sys.argv[2]))";
        run(Command::new("python3")
            .args(["-c", code])
            .arg(&wheel)
            .arg(&member)
            .arg(path))?;
        run(Command::new("chmod").arg("755").arg(path))?;
        crate::fixtures::cache::remove(&wheel)
    })
}
