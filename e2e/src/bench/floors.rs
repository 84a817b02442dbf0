//! What no import can beat: the work that is left when everything else is free.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::blobs::{self, Layer};
use super::content::Content;
use crate::fixtures::{Error, at};

/// Bytes at a time.
const BUFFER: usize = 256 * 1024;

/// Inflates all layers and hashes what comes out, on all processors, a layer on
/// one thread as its format demands. Returns seconds.
pub(super) fn inflate(layout: &Path) -> Result<f64, Error> {
    let mut layers = blobs::layers(layout)?;
    layers.sort_by_key(Layer::size);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let layers = Mutex::new(layers);
    let next = || layers.lock().ok()?.pop();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let work = || -> Result<(), Error> {
            let mut buffer = vec![0; BUFFER];
            while let Some(layer) = next() {
                let mut stream = layer.inflate(layout)?;
                let mut hasher = Sha256::new();
                loop {
                    match stream.read(&mut buffer)? {
                        0 => break,
                        read => hasher.update(&buffer[..read]),
                    }
                }
                std::hint::black_box(hasher.finalize());
            }
            Ok(())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a reader panicked")?)
    })?;
    Ok(started.elapsed().as_secs_f64())
}

/// Writes this many bytes to one file and waits for the disk. Returns seconds.
pub(super) fn write(path: &Path, bytes: u64) -> Result<f64, Error> {
    let block = Content::bytes(1, 1 << 20);
    rustix::fs::sync();
    let started = Instant::now();
    let mut file = File::create(path).map_err(at(path))?;
    let mut left = bytes;
    while left > 0 {
        let count = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&block[..count]).map_err(at(path))?;
        left -= count as u64;
    }
    file.sync_data().map_err(at(path))?;
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_file(path).map_err(at(path))?;
    Ok(seconds)
}
