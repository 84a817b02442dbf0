//! A directory of the user as a zip archive: the same one for the same content,
//! whatever the times of its files.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zip::CompressionMethod;
use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;

use crate::error::{Error, IoContext, Result, quoted_path};

/// Writes everything below `directory` as a zip archive, in the order of names.
///
/// # Errors
///
/// `Invalid` for names that are no UTF-8 and for what is neither a file nor a
/// directory nor a symbolic link.
pub fn zip_directory(directory: &Path, out: impl Write + Seek) -> Result<()> {
    let mut zip = ZipWriter::new(out);
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let full = directory.join(&path);
        let failed = || format!("reading {}", quoted_path(&full));
        let name = path.to_str().ok_or_else(|| {
            Error::invalid(format!(
                "{} is not UTF-8: rename it, zip archives have no other names",
                quoted_path(&full)
            ))
        })?;
        let kind = full.symlink_metadata().doing(failed)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(kind.permissions().mode() & 0o777)
            .last_modified_time(zip::DateTime::default());
        if path.as_os_str().is_empty() || kind.is_dir() {
            if !name.is_empty() {
                zip.add_directory(name, options).map_err(writing)?;
            }
            let mut children = Vec::new();
            for entry in fs::read_dir(&full).doing(failed)? {
                children.push(path.join(entry.doing(failed)?.file_name()));
            }
            children.sort_unstable_by(|a, b| b.cmp(a));
            pending.extend(children);
        } else if kind.is_symlink() {
            let target = fs::read_link(&full).doing(failed)?;
            let target = String::from_utf8(target.as_os_str().as_bytes().to_vec())
                .map_err(|_| Error::invalid(format!("{} links to no UTF-8", quoted_path(&full))))?;
            zip.add_symlink(name, target, options).map_err(writing)?;
        } else if kind.is_file() {
            zip.start_file(name, options.large_file(kind.len() >= u64::from(u32::MAX)))
                .map_err(writing)?;
            let mut file = File::open(&full).doing(failed)?;
            std::io::copy(&mut file, &mut zip).doing(failed)?;
        } else {
            return Err(Error::invalid(format!(
                "{} is neither a file nor a directory nor a symbolic link",
                quoted_path(&full)
            )));
        }
    }
    zip.finish().map_err(writing)?;
    Ok(())
}

fn writing(error: ZipError) -> Error {
    Error::io(
        || "writing a zip archive".to_owned(),
        std::io::Error::from(error),
    )
}
