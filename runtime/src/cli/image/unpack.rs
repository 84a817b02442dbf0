//! `lambent image unpack`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::args::Unpack;
use super::super::exit_status::{CommandError, ExitStatus};
use super::super::output;
use super::super::progress::ProgressDisplay;
use crate::images::{Display, ImageRequest, ImageStore, find_or_import};

pub(super) async fn run(
    images: &ImageStore,
    display: &Arc<ProgressDisplay>,
    command: Unpack,
) -> Result<ExitStatus, CommandError> {
    let request = ImageRequest {
        platform: command.choice.platform(),
        reference: command.image,
        name: None,
    };
    let directory = command.directory;
    // Before an image is imported for nothing; the store looks again.
    check(&directory)?;
    let shown = Arc::clone(display) as Display;
    let warnings = images
        .run(shown, move |store, progress| {
            let image = find_or_import(store, &request, progress)?;
            Ok(store.unpack(&image, &directory, progress)?)
        })
        .await?;
    display.finish();
    for warning in warnings {
        output::diagnostic(&format!("warning: {warning}"));
    }
    Ok(ExitStatus::Success)
}

/// Looks whether a bundle can be written there.
fn check(directory: &Path) -> Result<(), CommandError> {
    let refuse = |reason: &str| {
        let name = directory.display();
        Err(CommandError::Usage(format!("{name}{reason}")))
    };
    match std::fs::read_dir(directory).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => refuse(" is not empty; name a new or an empty directory"),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            refuse(" is not a directory; name a new or an empty one")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = directory.parent().filter(|path| *path != Path::new(""));
            match above {
                Some(above) if !above.is_dir() => refuse(&format!(
                    " cannot be made: there is no directory {}",
                    above.display()
                )),
                _ => Ok(()),
            }
        }
        Err(error) => refuse(&format!(": {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_and_empty_directories_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        assert!(check(&path("new")).is_ok());
        assert!(check(directory.path()).is_ok());
        std::fs::write(path("file"), "").unwrap();
        for (path, part) in [
            (path("file"), "is not a directory"),
            (directory.path().to_owned(), "is not empty"),
            (path("missing/new"), "there is no directory"),
            (path("file/new"), "file"),
        ] {
            let error = check(&path).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
