//! `lambent image`: the images that are kept. No launcher and no sandbox: only
//! the store is opened.

mod import;
mod remove;
mod show;
mod unpack;
mod verify;

use std::sync::Arc;

use lambent_images::Digest;

use super::args::ImageCommand;
use super::exit_status::{CommandError, ExitStatus};
use super::interrupted;
use super::progress::ProgressDisplay;
use crate::images::ImageStore;
use crate::service_error::ServiceError;
use crate::state::StateDirectories;

pub(super) async fn run(
    command: ImageCommand,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let quiet = match &command {
        ImageCommand::Pull(pull) => pull.import.choice.quiet,
        ImageCommand::Load(load) => load.import.choice.quiet,
        ImageCommand::Unpack(unpack) => unpack.choice.quiet,
        ImageCommand::Verify(verify) => verify.quiet,
        _ => false,
    };
    if let ImageCommand::Load(load) = &command {
        load.check()?;
    }
    let images = ImageStore::open(&directories)?;
    let display = Arc::new(ProgressDisplay::new(quiet));
    let work = async {
        match command {
            ImageCommand::Pull(pull) => import::pull(&images, &display, pull).await,
            ImageCommand::Load(load) => import::load(&images, &display, load).await,
            ImageCommand::Ls(command) => show::list(&images, &display, command).await,
            ImageCommand::Inspect(command) => show::inspect(&images, &display, command).await,
            ImageCommand::Unpack(command) => unpack::run(&images, &display, command).await,
            ImageCommand::Verify(command) => verify::run(&images, &display, command).await,
            ImageCommand::Rm(command) => remove::remove(&images, &display, command).await,
            ImageCommand::Prune(command) => remove::prune(&images, &display, command).await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        error = interrupted() => Err(error),
    };
    // However it ended: nothing half-done stays, neither on disk nor on the screen.
    images.stop().await;
    display.finish();
    result
}

/// The digest of a stored image, damaged or not.
fn resolve(images: &ImageStore, text: &str) -> Result<Digest, CommandError> {
    let found = images.content().resolve(text).map_err(ServiceError::from)?;
    found.ok_or_else(|| no_such_image(text))
}

fn no_such_image(text: &str) -> CommandError {
    CommandError::Image(format!(
        "there is no image \"{}\" in the store; `lambent image ls` lists what there is",
        text.escape_debug()
    ))
}
