//! The `config.json` of a bundle.

use oci_spec::OciSpecError;
use oci_spec::runtime::{ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder};

use super::user::User;
use crate::ImageConfig;
use crate::error::{Error, Result, quoted};

/// What runtimes look for programs in if the image does not say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The runtime configuration of an image: that of `runc spec`, with the image's
/// program, environment, directory and user.
///
/// # Errors
///
/// `Invalid` for a working directory that is not absolute.
pub(super) fn build(image: &ImageConfig, user: &User) -> Result<Spec> {
    let directory = image.working_dir.as_deref().unwrap_or("/");
    if !directory.starts_with('/') {
        return Err(Error::invalid(format!(
            "the image's working directory {} is not absolute",
            quoted(directory)
        )));
    }
    let mut args = [image.entrypoint.as_slice(), &image.cmd].concat();
    if args.is_empty() {
        args.push("sh".to_owned());
    }
    let mut env = image.env.clone();
    if !env.iter().any(|variable| variable.starts_with("PATH=")) {
        env.push(PATH.to_owned());
    }
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        let home = user.home.as_deref().unwrap_or("/");
        env.push(format!("HOME={home}"));
    }
    spec(directory, args, env, user)
        .map_err(|error| Error::invalid(format!("cannot describe the container: {error}")))
}

fn spec(
    directory: &str,
    args: Vec<String>,
    env: Vec<String>,
    user: &User,
) -> Result<Spec, OciSpecError> {
    let user = UserBuilder::default()
        .uid(user.uid)
        .gid(user.gid)
        .additional_gids(user.groups.clone())
        .build()?;
    let process = ProcessBuilder::default()
        // Runtimes refuse a terminal that they are not given.
        .terminal(false)
        .user(user)
        .args(args)
        .env(env)
        .cwd(directory)
        .build()?;
    SpecBuilder::default()
        .process(process)
        .root(
            RootBuilder::default()
                .path("rootfs")
                .readonly(false)
                .build()?,
        )
        .hostname("lambent")
        .build()
}
