//! The files with what was found out.

use std::path::Path;

use super::super::args::{Measurement, PictureFile};
use super::super::exit_status::CommandError;
use crate::chart::Chart;

/// Looks whether the files can be written, before anything is measured for minutes.
pub(in crate::cli) fn check(measurement: &Measurement) -> Result<(), CommandError> {
    let pictures = measurement.plot.iter().map(PictureFile::path);
    let mut files = pictures.chain(measurement.report.as_deref());
    files.try_for_each(check_file)
}

/// Looks whether a file can be written.
pub(in crate::cli) fn check_file(path: &Path) -> Result<(), CommandError> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or_else(|| Path::new("."));
    let reason = if path.is_dir() {
        "it is a directory; name a file in it".to_owned()
    } else if !parent.is_dir() {
        format!("there is no directory {}", parent.display())
    } else {
        return Ok(());
    };
    let path = path.display();
    Err(CommandError::Usage(format!(
        "cannot write {path}: {reason}"
    )))
}

/// Writes the pictures that were asked for, several charts as NAME-1, NAME-2 and so
/// on, and the page.
pub(in crate::cli) fn write(
    measurement: &Measurement,
    charts: &[(String, Chart)],
    page: impl FnOnce() -> String,
) -> Result<(), CommandError> {
    for file in &measurement.plot {
        for (name, chart) in charts {
            let bytes = match file {
                PictureFile::Svg(_) => chart.svg().into_bytes(),
                PictureFile::Png(_) => chart.png(),
            };
            if name.is_empty() {
                write_file(file.path(), &bytes)?;
            } else {
                write_file(&named(file.path(), name), &bytes)?;
            }
        }
    }
    match &measurement.report {
        Some(path) => write_file(path, page().as_bytes()),
        None => Ok(()),
    }
}

/// `picture.svg` and `memory` to `picture-memory.svg`.
fn named(path: &Path, name: &str) -> std::path::PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{name}.{extension}"))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    std::fs::write(path, bytes)
        .map_err(|error| CommandError::Host(format!("write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_a_name_of_its_own() {
        let path = Path::new("out/soak.v1.svg");
        assert_eq!(named(path, "memory"), Path::new("out/soak.v1-memory.svg"));
    }
}
