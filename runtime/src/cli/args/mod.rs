//! The arguments of every command. Types only; their help is their documentation.

mod caller;
mod event;
mod image;
mod layer;
mod logging;
mod running;
mod serve;
mod soak;
mod test;
mod tune;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use lambent_images::ImageReference;

pub(super) use self::caller::CallerSettings;
pub(super) use self::event::Event;
pub(super) use self::image::{
    ImageCommand, ImportChoice, ImportSettings, Inspect, Load, Ls, Prune, Pull, Rm, Unpack, Verify,
};
pub(super) use self::layer::{LayerCommand, LayerSource, ListLayers, PublishLayer, RemoveLayers};
use self::logging::LoggingSettings;
pub(super) use self::running::{Logs, Ps, Since};
pub(super) use self::serve::{Endpoint, Events, Serve};
pub(super) use self::soak::Soak;
pub(super) use self::test::{Test, TestFormat};
pub(super) use self::tune::{Measurement, PictureFile, ReportOutput, Tune};
pub(super) use self::validate::{ReportFormat, Validate};
use super::exit_status::CommandError;
use crate::model::{
    EphemeralStorage, FunctionConfiguration, FunctionName, ImageConfig, MemorySize, Timeout,
    parse_assignment, validate_user_environment,
};
use crate::state::StateDirectories;

const EXIT_STATUSES: &str = "\
Exit status:
  0    success
  1    the function returned or raised an error, or timed out; a case failed
  2    the command line, a template, lambent.toml or a suite is wrong
  3    the image is unusable, damaged or not there
  4    this host cannot do what was asked, or no service runs
  5    a bug in Lambent
  130  interrupted";

/// Run container-packaged AWS Lambda functions without Docker, in the execution
/// environment that they meet in production.
#[derive(Debug, Parser)]
#[command(name = "lambent", version, max_term_width = 100, after_help = EXIT_STATUSES)]
pub(super) struct Arguments {
    /// Keep all state below this directory (default: /var/lib/lambent and
    /// /run/lambent, for ordinary users the XDG directories; the variable
    /// LAMBENT_ROOT sets it too)
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) command: Command,
}

impl Arguments {
    /// The command line as clap knows it.
    pub(super) fn definition() -> clap::Command {
        numbers_may_be_negative(Self::command())
    }

    /// What this process was started with.
    pub(super) fn parse_own() -> Result<Self, clap::Error> {
        let matches = Self::definition().try_get_matches()?;
        Self::from_arg_matches(&matches)
    }

    /// Where the state is kept: the option, else `LAMBENT_ROOT` unless empty.
    pub(super) fn directories(&self) -> Result<StateDirectories, CommandError> {
        let variable = || std::env::var_os("LAMBENT_ROOT").filter(|root| !root.is_empty());
        let root = self.root.clone().or_else(|| variable().map(PathBuf::from));
        StateDirectories::new(root.as_deref())
            .map_err(|error| CommandError::Usage(format!("--root: {error}")))
    }
}

/// A negative number is a value that is out of range, rather than an option that there is
/// not.
fn numbers_may_be_negative(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let takes_values = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_values)
    });
    command.mut_subcommands(numbers_may_be_negative)
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a function from an image: one cold start, then warm ones with --repeat
    #[command(after_help = EXIT_STATUSES)]
    Invoke(Box<Invoke>),
    /// Serve functions to the AWS SDKs and the AWS CLI
    #[command(after_help = EXIT_STATUSES)]
    Serve(Box<Serve>),
    /// Show the service that runs, its functions and environments
    #[command(after_help = EXIT_STATUSES)]
    Ps(Ps),
    /// Show the log of a running service's functions
    #[command(after_help = EXIT_STATUSES)]
    Logs(Logs),
    /// End a running service, and wait until nothing is left of it
    #[command(after_help = EXIT_STATUSES)]
    Stop,
    /// Manage the images that are kept
    #[command(subcommand)]
    Image(Box<ImageCommand>),
    /// Manage the layers of zip functions
    #[command(subcommand)]
    Layer(LayerCommand),
    /// Say all at once why Lambda would refuse an image, or not start it
    #[command(after_help = EXIT_STATUSES)]
    Validate(Box<Validate>),
    /// Run the cases of suites on functions, and say which do not hold
    #[command(after_help = EXIT_STATUSES)]
    Test(Box<Test>),
    /// Print a sample event as AWS's services send it
    Event(Box<Event>),
    /// Try a function with several memory sizes: what it takes and costs with each, which
    /// is cheapest, fastest and enough
    #[command(after_help = EXIT_STATUSES)]
    Tune(Box<Tune>),
    /// Invoke a function again and again in one environment, and say what it leaks
    #[command(after_help = EXIT_STATUSES)]
    Soak(Box<Soak>),
    /// Show what this host enforces and what not, what that means, and what mends it
    #[command(after_help = EXIT_STATUSES)]
    Doctor(Doctor),
    /// Show in under a minute what this is for, with a built-in sample function
    Demo(Demo),
    /// Print a script that completes this command line in a shell
    Completions(Completions),
}

impl Command {
    /// Whether an ordinary user needs a user namespace for it: whatever runs functions
    /// or unpacks layers, whose files belong to others. Not what asks a service, nor
    /// a bundle, which is to be the user's own.
    pub(super) fn makes_namespaces(&self) -> bool {
        match self {
            Self::Ps(_) | Self::Logs(_) | Self::Stop | Self::Event(_) | Self::Completions(_) => {
                false
            }
            Self::Image(command) => !matches!(**command, ImageCommand::Unpack(_)),
            Self::Invoke(_)
            | Self::Serve(_)
            | Self::Layer(_)
            | Self::Validate(_)
            | Self::Test(_)
            | Self::Tune(_)
            | Self::Soak(_)
            | Self::Doctor(_)
            | Self::Demo(_) => true,
        }
    }
}

/// `lambent invoke`.
#[derive(Debug, Args)]
pub(super) struct Invoke {
    // As an attribute: in a comment, `docker://` looks like a bare address.
    #[arg(
        help = "The path of an image, the name or digest of a stored one, HOST/NAME[:TAG], \
                  docker://NAME[:TAG], docker-daemon:NAME[:TAG], oci:DIR[:TAG], \
                  oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]"
    )]
    pub(super) image: ImageReference,

    #[command(flatten)]
    pub(super) choice: ImportChoice,

    #[command(flatten)]
    pub(super) function: FunctionSettings,

    /// Read the event from this file (- for standard input)
    #[arg(long, short, value_name = "FILE", conflicts_with = "payload")]
    pub(super) event: Option<PathBuf>,

    /// The event as JSON text [default: {}]
    #[arg(long, short, value_name = "JSON")]
    pub(super) payload: Option<String>,

    #[command(flatten)]
    pub(super) caller: CallerSettings,

    #[command(flatten)]
    pub(super) logging: LoggingSettings,

    /// Invoke this many times, one after the other, in the same environment
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repeat: u32,

    /// Lead this port of the host to the same one in the environment, and let INIT and
    /// invocations take as long as they do: for a debugger that the function listens for
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) debug_port: Option<u16>,

    /// Open a shell in the environment, in the place of the function: the image's, or
    /// this program. The Runtime API gives the event to what is started in there
    #[arg(
        long,
        value_name = "ARGS",
        num_args = 0..=1,
        require_equals = true,
        value_parser = parse_arguments,
        conflicts_with_all = ["debug_port", "output"],
    )]
    #[expect(
        clippy::option_option,
        reason = "clap's form of a value that may be left out"
    )]
    pub(super) shell: Option<Option<ArgumentList>>,

    /// Open a shell with this static program of this machine's, such as /bin/busybox: for
    /// an image without one. It is at /dev/lambent/sh, where Lambda has nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["debug_port", "output"])]
    pub(super) host_shell: Option<PathBuf>,

    /// What to print on standard output: the response, or one JSON object a line
    /// with the response, the log and the report
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) output: OutputFormat,
}

/// Forms of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Text,
    Json,
}

/// The settings of a function, the same wherever there is one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Function")]
pub(super) struct FunctionSettings {
    /// Memory size in MB, 128 to 10240; CPU comes in proportion (1769 MB = 1 vCPU)
    #[arg(long, short, value_name = "MB", default_value_t)]
    memory: MemorySize,

    #[command(flatten)]
    pub(super) other: OtherSettings,
}

/// Those that do not depend on how many memory sizes are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Function")]
pub(super) struct OtherSettings {
    /// Time limit of an invocation in seconds, 1 to 900
    #[arg(long, short, value_name = "S", default_value_t)]
    timeout: Timeout,

    /// Size of /tmp in MB, 512 to 10240
    #[arg(
        long,
        visible_alias = "ephemeral-storage",
        value_name = "MB",
        default_value_t
    )]
    tmp: EphemeralStorage,

    /// Set an environment variable; can be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Read environment variables from a file with a NAME=VALUE on each line, taken
    /// as they are (quotes too); empty lines and those that begin with # are
    /// skipped; can be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Mount a layer over /opt, which Lambda has for zip functions only: a published
    /// one as NAME:VERSION or ARN, a directory, or a zip archive; can be repeated, the
    /// later over the earlier
    #[arg(long, value_name = "LAYER", requires = "image")]
    pub(super) layer: Vec<LayerSource>,

    /// Replace the image's ENTRYPOINT: a program, or a JSON array of strings
    #[arg(long, value_name = "ARGS", value_parser = parse_arguments)]
    entrypoint: Option<ArgumentList>,

    /// Replace the image's CMD: a handler, or a JSON array of strings
    #[arg(long, value_name = "ARGS", value_parser = parse_arguments)]
    cmd: Option<ArgumentList>,

    /// Replace the image's WORKDIR
    #[arg(long, value_name = "DIR")]
    workdir: Option<String>,

    /// The function's name
    #[arg(long, value_name = "NAME", default_value_t)]
    name: FunctionName,

    /// Refuse, with status 4 and before anything runs, what this host would not
    /// enforce as Lambda does, instead of warning; `lambent doctor` says what mends it
    #[arg(long)]
    pub(super) strict: bool,
}

/// `lambent doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// What to print: a table, or one JSON object
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) output: OutputFormat,
}

/// `lambent completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell, which reads the script: `source <(lambent completions bash)`, or as a
    /// file where it looks for such
    pub(super) shell: clap_complete::Shell,
}

/// `lambent demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {}

/// A list of arguments in one command-line argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArgumentList(pub(super) Vec<String>);

/// Docker's two forms: `["a","b"]` is a list, anything else one argument.
fn parse_arguments(text: &str) -> Result<ArgumentList, String> {
    if !text.trim_start().starts_with('[') {
        return Ok(ArgumentList(vec![text.to_owned()]));
    }
    serde_json::from_str(text)
        .map(ArgumentList)
        .map_err(|error| format!("not a JSON array of strings: {error}"))
}

/// Adds the variables of a file to `environment`.
fn read_env_file(
    path: &Path,
    environment: &mut BTreeMap<String, String>,
) -> Result<(), CommandError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", path.display())))?;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Each by itself, so that the error can say where.
        let assignment = parse_assignment(line).and_then(|(name, value)| {
            let alone = BTreeMap::from([(name.clone(), value.clone())]);
            validate_user_environment(&alone)?;
            Ok((name, value))
        });
        let (name, value) = assignment.map_err(|error| {
            CommandError::Usage(format!("{}:{}: {error}", path.display(), index + 1))
        })?;
        environment.insert(name, value);
    }
    Ok(())
}

impl FunctionSettings {
    /// The configuration that the settings describe.
    pub(super) fn configuration(self) -> Result<FunctionConfiguration, CommandError> {
        self.other.configuration(self.memory)
    }
}

impl OtherSettings {
    /// The configuration that the settings describe, with so much memory.
    pub(super) fn configuration(
        self,
        memory_size: MemorySize,
    ) -> Result<FunctionConfiguration, CommandError> {
        let usage = |error: crate::model::EnvironmentError| CommandError::Usage(error.to_string());
        let mut environment = BTreeMap::new();
        for path in &self.env_file {
            read_env_file(path, &mut environment)?;
        }
        for assignment in &self.env {
            let (name, value) = parse_assignment(assignment).map_err(usage)?;
            environment.insert(name, value);
        }
        validate_user_environment(&environment).map_err(usage)?;
        if let Some(directory) = self.workdir.as_ref().filter(|path| !path.starts_with('/')) {
            return Err(CommandError::Usage(format!(
                "--workdir \"{}\" is not an absolute path",
                directory.escape_debug()
            )));
        }
        let empty = |list: &ArgumentList| list.0.first().is_none_or(String::is_empty);
        if self.entrypoint.as_ref().is_some_and(empty) {
            return Err(CommandError::Usage(
                "--entrypoint names no program; leave it out to use the image's".to_owned(),
            ));
        }
        Ok(FunctionConfiguration {
            function_name: self.name,
            memory_size,
            timeout: self.timeout,
            ephemeral_storage: self.tmp,
            environment,
            image_config: ImageConfig {
                entry_point: self.entrypoint.map(|list| list.0),
                command: self.cmd.map(|list| list.0),
                working_directory: self.workdir,
            },
            ..FunctionConfiguration::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::definition().debug_assert();
    }

    #[test]
    fn negative_numbers_are_out_of_range() {
        for (arguments, part) in [
            (["soak", "i", "-n", "-5"], "-5 is not in 2..=10000000"),
            (["soak", "i", "--every", "-1"], "-1 is not in 1.."),
            (["soak", "i", "--horizon", "-1"], "-1 is not in 0.."),
            (
                ["soak", "i", "--environments", "-1"],
                "-1 is not in 1..=100",
            ),
            (["tune", "i", "--rounds", "-1"], "-1 is not in 1..=1000"),
            (["invoke", "i", "--repeat", "-2"], "-2 is not in 1.."),
            (["invoke", "i", "--tmp", "-2"], "512 to 10240"),
        ] {
            let arguments = ["lambent"].into_iter().chain(arguments);
            let matches = Arguments::definition().try_get_matches_from(arguments);
            let error = matches.unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("tip"), "{error}");
        }
    }

    #[test]
    fn argument_lists() {
        assert_eq!(parse_arguments("app.handler").unwrap().0, ["app.handler"]);
        assert_eq!(parse_arguments(r#"["a", "b c"]"#).unwrap().0, ["a", "b c"]);
        assert!(parse_arguments("[1]").is_err());
        assert!(parse_arguments(r#"["a""#).is_err());
    }

    #[test]
    fn sizes_are_checked_where_they_enter() {
        for bad in [
            ["--memory", "127"],
            ["--memory", "10241"],
            ["--tmp", "511"],
            ["--timeout", "901"],
            ["--repeat", "0"],
        ] {
            let arguments = ["lambent", "invoke", "image.tar"].into_iter().chain(bad);
            assert!(Arguments::try_parse_from(arguments).is_err(), "{bad:?}");
        }
    }
}
