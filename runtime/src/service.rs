//! The facade that commands use: images in, execution environments out.

mod prepared;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lambent_images::{ErrorKind, FileKind};
use tokio::sync::{mpsc, watch};

pub use self::prepared::{PreparedCode, PreparedImage};
use crate::doctor::{Facts, Finding, probe, unenforced};
use crate::environment::{
    Deaths, DebugPort, EnvironmentSettings, Events, ExecutionEnvironment, Standing, run_shell,
};
use crate::images::{Display, ImageRequest, ImageStore, find_or_import};
use crate::model::{
    ExitStatus, FunctionConfiguration, FunctionName, Identity, InitializationType, Package,
    TASK_ROOT, Version, function_arn, function_environment,
};
use crate::sandbox::client::Launcher;
use crate::sandbox::sweep::ServiceLock;
use crate::sandbox::{RUNTIME_API, SandboxSpec, StartError, Streams, storage, user_namespace};
use crate::service_error::ServiceError;
use crate::state::StateDirectories;
use crate::telemetry::Sink;
use crate::validate::{self, Subject};

/// How long environments have to end when a service does: SHUTDOWN takes at most 2 s,
/// and killing and removing are a matter of milliseconds on an idle host.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// A running service: the store, and the launcher with its environments.
#[derive(Debug)]
pub struct Service {
    directories: StateDirectories,
    images: ImageStore,
    launcher: Launcher,
    /// Tells environments that the service ends; they hold receivers until they are
    /// gone.
    closing: watch::Sender<bool>,
    /// Told by environments that die with nothing to do.
    deaths: Deaths,
    _lock: ServiceLock,
    region: String,
    /// What this host is like, once something is to run.
    facts: OnceLock<Facts>,
}

/// A function's environment, with the layers that it runs from.
#[derive(Debug)]
pub struct FunctionEnvironment {
    /// The environment.
    pub environment: ExecutionEnvironment,
    /// Keeps the layers in the store for as long as the environment may start
    /// again.
    _code: Arc<PreparedCode>,
}

/// A shell that takes the place of a function.
#[derive(Debug)]
pub(crate) struct Shell {
    /// Program and arguments.
    pub(crate) program: Vec<String>,
    /// A program of this machine's, at [`crate::sandbox::HOST_SHELL`].
    pub(crate) lent: Option<PathBuf>,
    /// Where it reads and writes.
    pub(crate) streams: Streams,
    /// The kind of the terminal that this is, if it is one: `TERM`.
    pub(crate) terminal: Option<String>,
    /// Told when what runs in it is interrupted by a key.
    pub(crate) interrupts: mpsc::UnboundedReceiver<()>,
}

/// What became of a shell.
#[derive(Debug)]
pub(crate) enum ShellEnd {
    /// It ran.
    Ended(ExitStatus),
    /// It could not be executed, for this reason.
    NotRun(String),
}

impl Service {
    /// Opens the store and starts the launcher.
    ///
    /// # Errors
    /// This host lacks what is needed; the text says what.
    pub fn open(directories: StateDirectories) -> Result<Self, ServiceError> {
        if let Some(reason) = user_namespace::refused() {
            return Err(ServiceError::Host(format!(
                "Lambent needs root on this host, or a user namespace of its own, to create mounts \
                 and more namespaces, and this user gets none ({reason}): run it with sudo \
                 (`lambent doctor` says more)"
            )));
        }
        let host = |error: std::io::Error| ServiceError::Host(error.to_string());
        directories.create().map_err(host)?;
        let images = ImageStore::open(&directories)?;
        let services = directories.services();
        let lock = ServiceLock::claim(&services).map_err(|error| {
            ServiceError::Host(format!("write in {}: {error}", services.display()))
        })?;
        let launcher = Launcher::spawn(
            lock.name().to_owned(),
            &directories.mount_point(),
            &directories.storage(),
        )
        .map_err(|error| ServiceError::Host(format!("start the launcher: {error}")))?;
        Ok(Self {
            directories,
            images,
            launcher,
            closing: watch::Sender::new(false),
            deaths: Deaths::default(),
            _lock: lock,
            region: region(),
            facts: OnceLock::new(),
        })
    }

    /// Brings an image into the store, unless it is there, and prepares it.
    ///
    /// # Errors
    /// The image is unusable, or the store cannot be written.
    pub async fn prepare(
        &self,
        request: ImageRequest,
        display: Display,
    ) -> Result<PreparedImage, ServiceError> {
        let prepared = self.images.run(display, move |store, progress| {
            let image = find_or_import(store, &request, progress)?;
            let rootfs = store.rootfs(&image)?;
            Ok(PreparedImage { image, rootfs })
        });
        prepared.await
    }

    /// The region that functions are told, and that is in their ARNs.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The image store.
    pub fn images(&self) -> &ImageStore {
        &self.images
    }

    /// An image that is in the store already, by its digest, ready to run.
    ///
    /// # Errors
    /// It is damaged.
    pub fn stored(&self, digest: &str) -> Result<Option<PreparedImage>, ServiceError> {
        let store = self.images.content();
        let found = match store.find(digest) {
            // What is left of it completes it no more: it is as good as gone.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => other?,
        };
        let Some(image) = found else {
            return Ok(None);
        };
        let rootfs = store.rootfs(&image)?;
        Ok(Some(PreparedImage { image, rootfs }))
    }

    /// The ARN of a function, without a qualifier.
    pub fn function_arn(&self, name: &FunctionName) -> String {
        function_arn(&self.region, name)
    }

    /// A new execution environment of a function. Nothing runs in it until it is
    /// initialised or gets its first invocation.
    ///
    /// # Errors
    /// The image has nothing to run, or the host cannot make its `/tmp`.
    pub fn environment(
        &self,
        code: Arc<PreparedCode>,
        function: FunctionConfiguration,
        initialization_type: InitializationType,
        sink: Arc<dyn Sink>,
    ) -> Result<FunctionEnvironment, ServiceError> {
        self.debuggable_environment(code, function, initialization_type, sink, None)
    }

    /// The same, with a port by which a debugger can reach what runs in it: then no
    /// limit of time counts.
    ///
    /// # Errors
    /// As [`Self::environment`].
    pub(crate) fn debuggable_environment(
        &self,
        code: Arc<PreparedCode>,
        function: FunctionConfiguration,
        initialization_type: InitializationType,
        sink: Arc<dyn Sink>,
        debug: Option<Arc<DebugPort>>,
    ) -> Result<FunctionEnvironment, ServiceError> {
        let args = command(&code, &function)?;
        let spec = self.spec(&code, &function, initialization_type, args)?;
        let settings = EnvironmentSettings {
            warnings: self.warnings(&function),
            function_arn: self.function_arn(&function.function_name),
            function,
            spec,
            sink,
            standing: Arc::new(Standing::new(&self.deaths)),
            debug,
        };
        Ok(FunctionEnvironment {
            environment: ExecutionEnvironment::new(
                &self.launcher,
                settings,
                self.closing.subscribe(),
            ),
            _code: code,
        })
    }

    /// Runs a shell in the place of a function, until it ends: in the same sandbox,
    /// with the CPU of invocations, and without extensions. `events` are what the
    /// Runtime API hands out to what is started in there, and `say` is told of them.
    ///
    /// # Errors
    /// The image has no such working directory, or the host cannot make the sandbox.
    pub(crate) async fn shell(
        &self,
        code: &PreparedCode,
        function: &FunctionConfiguration,
        shell: Shell,
        events: Events,
        say: impl Fn(&str),
    ) -> Result<ShellEnd, ServiceError> {
        let on_demand = InitializationType::OnDemand;
        let mut spec = self.spec(code, function, on_demand, shell.program)?;
        spec.init_cpu_quota_us = function.memory_size.cpu_quota_us();
        spec.host_shell = shell.lent;
        let missing = |name: &str| !spec.env.iter().any(|entry| entry.starts_with(name));
        if let Some(terminal) = shell.terminal.filter(|_| missing("TERM=")) {
            spec.env.push(format!("TERM={terminal}"));
        }
        let Shell {
            streams,
            interrupts,
            ..
        } = shell;
        let ended = run_shell(&self.launcher, spec, streams, events, interrupts, say).await;
        match ended {
            Ok(status) => Ok(ShellEnd::Ended(status)),
            Err(StartError::Entrypoint(reason)) => Ok(ShellEnd::NotRun(reason)),
            Err(StartError::WorkingDirectory(reason)) => Err(ServiceError::Image(format!(
                "the working directory cannot be entered: {reason} (--workdir / takes the root)"
            ))),
            Err(other) => Err(ServiceError::Host(other.to_string())),
        }
    }

    /// `ENTRYPOINT` and `CMD` of a function, if it has any, as its user would type them.
    pub(crate) fn entry_point(
        code: &PreparedCode,
        function: &FunctionConfiguration,
    ) -> Option<String> {
        Some(command(code, function).ok()?.join(" "))
    }

    /// Why the kernel did not execute the entry point of an image, if its files tell:
    /// which interpreter is missing, for example. The kernel says no more than that a file
    /// is.
    pub(crate) fn not_executed(
        &self,
        code: &PreparedCode,
        function: &FunctionConfiguration,
    ) -> Option<String> {
        // What is mounted over the image may be what is executed.
        if code.task.is_some() || !code.layers.is_empty() {
            return None;
        }
        let image = &code.image.image;
        let files = self.images.content().files(image).ok()?;
        validate::not_executed(&Subject {
            image,
            files: &files,
            function,
        })
        .ok()?
    }

    /// What this host cannot promise of a function.
    pub(crate) fn warnings(&self, function: &FunctionConfiguration) -> Vec<String> {
        let facts = self
            .facts
            .get_or_init(|| probe::look_around(&self.directories));
        let findings = unenforced(facts, function);
        findings.iter().map(Finding::short).collect()
    }

    /// The sandbox of a function, with `args` as its first process.
    fn spec(
        &self,
        code: &PreparedCode,
        function: &FunctionConfiguration,
        initialization_type: InitializationType,
        args: Vec<String>,
    ) -> Result<SandboxSpec, ServiceError> {
        let tmp_bytes = function.ephemeral_storage.bytes();
        // The worker falls back to a tmpfs when there are no loop devices, as in all
        // user namespaces; a missing mkfs is a different matter, and easily mended.
        if user_namespace::current().is_none() {
            storage::prepare_template(&self.directories.storage(), tmp_bytes).map_err(|error| {
                ServiceError::Host(format!("make a file system for /tmp: {error}"))
            })?;
        }
        let identity = Identity {
            region: self.region.clone(),
            runtime_api: RUNTIME_API.to_string(),
            log_stream_name: log_stream_name(function.version),
            initialization_type,
        };
        Ok(SandboxSpec {
            root: code.image.rootfs.mount().clone(),
            attachments: code.attachments.clone(),
            args,
            env: function_environment(&code.image.image.config.env, function, &identity),
            working_directory: working_directory(&code.image, function)?,
            memory_bytes: function.memory_size.bytes(),
            init_cpu_quota_us: function.memory_size.init_cpu_quota_us(),
            visible_cpus: function.memory_size.visible_cpus(),
            slice_excess_ns: function.memory_size.slice_excess_ns(),
            tmp_bytes,
            host_shell: None,
        })
    }

    /// Who waits here is woken when an environment has died with nothing to do. One
    /// at a time.
    pub(crate) fn deaths(&self) -> Deaths {
        Arc::clone(&self.deaths)
    }

    /// Resolves when nothing can run any more, because somebody has killed the process
    /// that starts environments.
    pub async fn lost(&self) {
        self.launcher.gone().await;
    }

    /// Ends every environment and import, and waits until nothing is left. Extensions
    /// have their time for it, all at once.
    pub async fn shutdown(&self) {
        self.closing.send_replace(true);
        self.images.stop().await;
        // Those that are not gone then are killed by the launcher.
        let _ = tokio::time::timeout(SHUTDOWN_LIMIT, self.closing.closed()).await;
        self.launcher.shutdown().await;
    }
}

/// `ENTRYPOINT` and `CMD`, each with its override.
///
/// The handler of a zip function takes the place of `CMD`; a runtime that the
/// function brings takes the place of all.
fn command(
    code: &PreparedCode,
    function: &FunctionConfiguration,
) -> Result<Vec<String>, ServiceError> {
    let image = &code.image.image;
    if let Package::Zip { handler, .. } = &function.package {
        if function.package.brings_bootstrap() {
            return Ok(vec![code.bootstrap()]);
        }
        let mut args = image.config.entrypoint.clone();
        args.push(handler.clone());
        return Ok(args);
    }
    let config = &image.config;
    let args = function
        .image_config
        .arguments(&config.entrypoint, &config.cmd);
    let args: Vec<String> = args.cloned().collect();
    if args.is_empty() {
        return Err(ServiceError::Image(
            "the image has neither ENTRYPOINT nor CMD, so there is nothing to run: set one in the \
             image, or pass --entrypoint"
                .to_owned(),
        ));
    }
    Ok(args)
}

/// `WORKDIR` or its override; else `/var/task` if the image has it, else `/`.
fn working_directory(
    image: &PreparedImage,
    function: &FunctionConfiguration,
) -> Result<PathBuf, ServiceError> {
    if let Package::Zip { .. } = function.package {
        return Ok(PathBuf::from(TASK_ROOT));
    }
    let of_image = image.image.config.working_dir.as_deref();
    let chosen = function.image_config.working_directory(of_image);
    if let Some(directory) = chosen {
        if !directory.starts_with('/') {
            return Err(ServiceError::Image(format!(
                "the working directory \"{}\" is not an absolute path",
                directory.escape_debug()
            )));
        }
        return Ok(PathBuf::from(directory));
    }
    let task_root = PathBuf::from(TASK_ROOT);
    match image.rootfs.lookup(&task_root)? {
        Some(FileKind::Directory { .. }) => Ok(task_root),
        _ => Ok(PathBuf::from("/")),
    }
}

/// The region that functions are told, from the caller's environment.
pub(crate) fn region() -> String {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|region| {
            !region.is_empty()
                && region
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
        .unwrap_or_else(|| "us-east-1".to_owned())
}

fn log_stream_name(version: Version) -> String {
    format!(
        "{}/[{version}]{}",
        chrono::Utc::now().format("%Y/%m/%d"),
        uuid::Uuid::new_v4().simple()
    )
}
