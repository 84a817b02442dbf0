//! Images that are followed while a service runs: of functions, of runtimes, and that of
//! the command line, in registries, daemons and files.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../../images/tests/support/registry.rs"]
mod registry;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lambent_e2e::serve::Served;
use lambent_e2e::wait::until;
use lambent_e2e::{Lambent, boto3, fixtures, privileged};
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use lambent_images::{Platform, RegistryReference, registry_digest};
use serde_json::{Value, json};

use self::registry::Registry;

/// Writes an image of the demo function that is another one for each mark.
fn image(directory: &Path, mark: &str) -> PathBuf {
    let path = directory.join("image.tar");
    fixtures::write_marked_demo(&path, mark);
    path
}

/// Pushes the image of the runtime with this mark.
fn push_runtime(registry: &Registry, directory: &Path, mark: &str) {
    let archive = directory.join("python-runtime.tar");
    fixtures::write_marked_python_runtime(&archive, mark);
    registry.push(&archive, "python:1");
}

/// The marks of the images that functions run on.
fn marks(served: &Served) -> Value {
    let code = r#"
def invoke(name): return json.loads(c.invoke(FunctionName=name, Payload='{"action": "env"}')["Payload"].read())
out = {name: invoke(name).get("MARK") for name in ("full", "bare", "pinned", "zip", "kept")}
"#;
    boto3::out(served, code)
}

#[test]
fn privileged_tags_that_move_are_followed() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let registry = Registry::new("");
    registry.push(&image(path, "one"), "fn:1");
    push_runtime(&registry, path, "one");
    let tag: RegistryReference = format!("{}/fn:1", registry.host()).parse().unwrap();
    let digest = registry_digest(&tag).unwrap();
    fs::create_dir(path.join("src")).unwrap();
    let code = "import os\ndef handler(event, context): return dict(os.environ)\n";
    fs::write(path.join("src/app.py"), code).unwrap();
    let host = registry.host();
    let sizes = "memory_size = 1024\ntimeout = 60\n";
    let functions = [
        format!("[functions.full]\nimage = \"docker://{host}/fn:1\"\n{sizes}"),
        format!("[functions.bare]\nimage = \"{host}/fn:1\"\n{sizes}"),
        format!("[functions.pinned]\nimage = \"docker://{host}/fn@{digest}\"\n{sizes}"),
        format!(
            "[functions.zip]\ncode = \"src\"\nruntime = \"python3.12\"\nhandler = \
             \"app.handler\"\n{sizes}"
        ),
        format!("[runtime_images]\n\"python3.12\" = \"docker://{host}/python:1\"\n"),
    ];
    fs::write(path.join("lambent.toml"), functions.concat()).unwrap();
    let served = Served::start_in(path, &lambent, &["--image-poll", "1"]);
    // One that a client makes, and that is kept.
    let archive = path.join("code.zip");
    lambent_images::zip_directory(&path.join("src"), fs::File::create(&archive).unwrap()).unwrap();
    let out = boto3::out(
        &served,
        &format!(
            r#"
code = open({archive:?}, "rb").read()
c.create_function(FunctionName="kept", Role="arn:aws:iam::123456789012:role/r", Runtime="python3.12",
    Handler="app.handler", Code={{"ZipFile": code}}, MemorySize=1024, Timeout=60)
c.get_waiter("function_active_v2").wait(FunctionName="kept", WaiterConfig={{"Delay": 1, "MaxAttempts": 90}})
out = {{}}
"#
        ),
    );
    assert_eq!(out, json!({}));
    let all = |mark: &str, runtime: &str| {
        json!({
            "full": mark, "bare": mark, "pinned": "one", "zip": runtime, "kept": runtime,
        })
    };
    assert_eq!(marks(&served), all("one", "one"), "{}", served.log());

    registry.push(&image(path, "two"), "fn:1");
    until("functions of the tag are updated", || {
        let log = served.log();
        log.contains("updated bare, full.")
            || log.contains("updated full.") && log.contains("updated bare.")
    });
    assert_eq!(marks(&served), all("two", "one"), "{}", served.log());

    push_runtime(&registry, path, "two");
    until("functions of the runtime are updated", || {
        let log = served.log();
        log.contains("the image of the runtime python3.12 has changed: updated kept, zip.")
    });
    assert_eq!(marks(&served), all("two", "two"), "{}", served.log());

    // A registry that is away is said once for each image, and everything goes on.
    drop(registry);
    let said = |image: &str| {
        let line = format!("warning: whether docker://{host}/{image} has changed is not known");
        served.log().matches(&line).count()
    };
    until("its silence is said", || {
        said("fn:1") == 1 && said("python:1") == 1
    });
    assert_eq!(marks(&served), all("two", "two"), "{}", served.log());
    assert_eq!((said("fn:1"), said("python:1")), (1, 1));
}

/// The mark of the image that a function runs on, and its memory.
fn mark(served: &Served) -> Value {
    let code = r#"
def invoke(name): return json.loads(c.invoke(FunctionName=name, Payload='{"action": "env"}')["Payload"].read())
env = invoke("f")
out = [env.get("MARK"), env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]]
"#;
    boto3::out(served, code)
}

#[test]
fn privileged_the_image_of_the_command_line_is_followed() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let archive = image(path, "one");
    let layer = path.join("layer");
    fs::create_dir(&layer).unwrap();
    fs::write(layer.join("a"), "1").unwrap();
    let arguments = [
        archive.to_str().unwrap(),
        "--name",
        "f",
        "--memory",
        "512",
        "--layer",
        layer.to_str().unwrap(),
    ];
    let served = Served::start(&lambent, &arguments);
    assert_eq!(mark(&served), json!(["one", "512"]), "{}", served.log());
    // What a client changes, stays; so does the layer.
    let changed = r#"
c.update_function_configuration(FunctionName="f", MemorySize=256)
c.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
out = len(c.get_function_configuration(FunctionName="f")["Layers"])
"#;
    assert_eq!(boto3::out(&served, changed), json!(1));

    image(path, "two");
    until("the new image is served", || {
        let line = format!("{} has changed: updated f.", archive.display());
        served.log().contains(&line)
    });
    assert_eq!(mark(&served), json!(["two", "256"]), "{}", served.log());

    fs::write(layer.join("b"), "2").unwrap();
    until("the new layer is served", || {
        served.log().contains("a layer has changed: updated f.")
    });
    // The same image is no news, and what is none keeps nobody from what was there.
    image(path, "two");
    fs::write(&archive, "no image").unwrap();
    until("what cannot be served is said", || {
        let log = served.log();
        log.contains("what was served before stays, and this is tried again: ")
    });
    assert_eq!(mark(&served), json!(["two", "256"]), "{}", served.log());
    image(path, "three");
    until("the last image is served", || {
        served.log().matches("has changed: updated f.").count() == 3
    });
    assert_eq!(mark(&served), json!(["three", "256"]), "{}", served.log());
    // One that was removed is not followed.
    let removed = r#"out = c.delete_function(FunctionName="f") and 1"#;
    assert_eq!(boto3::out(&served, removed), json!(1));
}

/// The registry has another image at a tag, but not all of it yet.
#[test]
fn privileged_a_pull_that_fails_is_tried_again() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let registry = Registry::new("");
    let full = registry.reference("fn:1");
    let toml = format!("[functions.f]\nimage = \"{full}\"\nmemory_size = 512\n");
    fs::write(path.join("lambent.toml"), toml).unwrap();
    let of_file: &[&str] = &["--config", "lambent.toml", "--image-poll", "1"];
    let of_line: &[&str] = &[&full, "--name", "f", "--memory", "512", "--image-poll", "1"];
    for arguments in [of_file, of_line] {
        let lambent = Lambent::new();
        registry.push(&image(path, "one"), "fn:1");
        registry.push(&image(path, "two"), "fn:2");
        let served = Served::start_in(path, &lambent, arguments);
        assert_eq!(mark(&served), json!(["one", "512"]), "{}", served.log());
        let taken = Taken::config_of(&registry, "fn", "2");
        move_tag(&registry, "fn", "2", "1");
        let said = || {
            let line = "what was served before stays, and this is tried again: ";
            served.log().matches(line).count()
        };
        until("the failure is said", || said() == 1);
        assert_eq!(mark(&served), json!(["one", "512"]), "{}", served.log());
        taken.put_back();
        until("the image is served", || {
            served.log().contains("updated f.")
        });
        assert_eq!(mark(&served), json!(["two", "512"]), "{}", served.log());
        assert_eq!(said(), 1, "{}", served.log());
    }
}

/// Podman's service with storage of its own, ended when it is dropped.
struct Podman {
    directory: tempfile::TempDir,
    service: Option<Child>,
}

impl Podman {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut podman = Self {
            directory,
            service: None,
        };
        let address = podman.address();
        let mut command = podman.command();
        command.args(["system", "service", "--time", "0", &address]);
        let service = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        podman.service = Some(service.expect("podman is in the list of test dependencies"));
        let socket = podman.directory.path().join("podman.sock");
        until("podman listens", || UnixStream::connect(&socket).is_ok());
        podman
    }

    fn address(&self) -> String {
        format!("unix://{}/podman.sock", self.directory.path().display())
    }

    fn command(&self) -> Command {
        let at = |name: &str| self.directory.path().join(name);
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("run"))
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .env("TMPDIR", self.directory.path());
        command
    }

    /// Gives an archive a name, as a build does it.
    fn tag(&self, archive: &Path, name: &str) {
        let reference = format!("oci-archive:{}", archive.display());
        let pulled = self.command().args(["pull", "-q", &reference]).output();
        let pulled = pulled.unwrap();
        assert!(pulled.status.success(), "{pulled:?}");
        let id = String::from_utf8(pulled.stdout).unwrap();
        let tagged = self.command().args(["tag", id.trim(), name]).output();
        assert!(tagged.unwrap().status.success());
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }
}

#[test]
fn privileged_images_in_daemons_are_followed() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let podman = Podman::new();
    podman.tag(&image(path, "one"), "localhost/fn:1");
    let lambent = Lambent::new().with_variable("DOCKER_HOST", podman.address());
    let arguments = ["docker-daemon:fn:1", "--name", "f", "--memory", "512"];
    let served = Served::start(&lambent, &arguments);
    assert_eq!(mark(&served), json!(["one", "512"]), "{}", served.log());
    podman.tag(&image(path, "two"), "localhost/fn:1");
    until("the new image is served", || {
        let log = served.log();
        log.contains("docker-daemon:fn:1 has changed: updated f.")
    });
    assert_eq!(mark(&served), json!(["two", "512"]), "{}", served.log());
    // What is served needs no daemon.
    drop(podman);
    assert_eq!(mark(&served), json!(["two", "512"]), "{}", served.log());
}

/// Where a registry keeps things.
fn kept(registry: &Registry, name: &str) -> PathBuf {
    registry.path("data/docker/registry/v2").join(name)
}

/// The file with the digest that a tag leads to.
fn link(registry: &Registry, name: &str, tag: &str) -> PathBuf {
    let name = format!("repositories/{name}/_manifests/tags/{tag}/current/link");
    kept(registry, &name)
}

/// Lets one tag lead where another one does.
fn move_tag(registry: &Registry, name: &str, from: &str, to: &str) {
    let (from, to) = (link(registry, name, from), link(registry, name, to));
    fs::copy(from, to).unwrap();
}

/// A blob that a registry does not have for a while.
struct Taken {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Taken {
    fn config_of(registry: &Registry, name: &str, tag: &str) -> Self {
        let blob = |digest: &str| {
            let hex = digest.trim_start_matches("sha256:");
            kept(registry, &format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
        };
        let manifest = fs::read_to_string(link(registry, name, tag)).unwrap();
        let manifest: Value = serde_json::from_slice(&fs::read(blob(&manifest)).unwrap()).unwrap();
        let path = blob(manifest["config"]["digest"].as_str().unwrap());
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        Self { path, bytes }
    }

    fn put_back(self) {
        fs::write(self.path, self.bytes).unwrap();
    }
}

/// What a registry says at once is not left for later; what it cannot say is.
#[test]
fn privileged_an_image_that_no_registry_has_is_refused() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::new("");
    registry.push(&image(directory.path(), "one"), "fn:1");
    let host = registry.host();
    let served = Served::start(&lambent, &[]);
    let out = boto3::out(
        &served,
        &format!(
            r#"
def create(uri):
    try:
        r = c.create_function(FunctionName="f", Role="arn:aws:iam::123456789012:role/r",
            PackageType="Image", Code={{"ImageUri": uri}})
        c.delete_function(FunctionName="f")
        return r["State"]
    except c.exceptions.InvalidParameterValueException as e: return e.response["Error"]["Message"]
out = [create(uri) for uri in (
    "docker://{host}/fn:1", "{host}/fn:1",
    "docker://{host}/fn:2", "{host}/fn:2", "docker://{host}/other:1",
    # Nobody listens there, so nobody knows.
    "docker://127.0.0.1:1/fn:1",
)]
"#
        ),
    );
    let answers = out.as_array().unwrap();
    let (known, unknown) = answers.split_at(2);
    let (missing, silent) = unknown.split_at(3);
    assert_eq!(
        (known, silent),
        (
            &[json!("Pending"), json!("Pending")][..],
            &[json!("Pending")][..]
        ),
        "{out}"
    );
    for (uri, message) in ["docker://HOST/fn:2", "HOST/fn:2", "docker://HOST/other:1"]
        .iter()
        .zip(missing)
    {
        let uri = uri.replace("HOST", &host);
        let expected =
            format!("Source image {uri} does not exist. Provide a valid source image. (registry ");
        let message = message.as_str().unwrap();
        assert!(message.starts_with(&expected), "{expected}: {message}");
    }
}

/// Before anything is made with it.
#[test]
fn privileged_a_wrong_image_of_a_runtime_is_said_at_the_start() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let without = |name: &str, entry: &[&str], task: bool, files: &[&str]| {
        let path = directory.path().join(name);
        let place = if task { "var/task" } else { "var/other" };
        let layer = LayerBuilder::new().directory(place, 0o755);
        let add = |layer: LayerBuilder, file: &&str| layer.file(file, 0o755, "#!/client\n");
        ImageBuilder::new(Platform::host())
            .entrypoint(entry.iter().copied())
            .layer(files.iter().fold(layer, add))
            .layer(LayerBuilder::new().file_from("client", 0o755, fixtures::demo_function()))
            .write_oci_archive(&path, "latest")
            .unwrap();
        format!("oci-archive:{}", path.display())
    };
    let task = without("task.tar", &["/client"], false, &[]);
    let entry = without("entry.tar", &[], true, &[]);
    let program = without("program.tar", &["/usr/bin/other"], true, &[]);
    let lambent = Lambent::new();
    for (runtime, image, reason) in [
        ("python3.12", "missing.tar", "there is no file or directory"),
        ("python3.12", &task, "the image has no directory /var/task"),
        ("python3.12", &entry, "the image has no ENTRYPOINT"),
        (
            "python3.12",
            &program,
            "no function starts on it: there is no /usr/bin/other: /usr is missing. Check the path \
             of ENTRYPOINT",
        ),
        (
            "provided.al2023",
            &task,
            "the image has no directory /var/task",
        ),
    ] {
        let option = format!("{runtime}={image}");
        let run = lambent.run([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--runtime-image",
            &option,
        ]);
        assert_eq!(run.status, 3, "{run:?}");
        let named = format!("the image of the runtime {runtime}, {image}: {reason}");
        assert!(run.stderr.contains(&named), "{named}: {run:?}");
    }
    // A program of one's own needs no entry point.
    let option = format!("provided.al2023={entry}");
    Served::start(&lambent, &["--runtime-image", &option]);
    // What functions may bring themselves is no reason to refuse it.
    let client = without(
        "ric.tar",
        &["/script", "-m", "awslambdaric"],
        true,
        &["script"],
    );
    let brought = without("brought.tar", &["/opt/bin/client"], true, &[]);
    let whole = without("whole.tar", &["/client"], true, &[]);
    for (image, warnings) in [(&client, 1), (&brought, 0), (&whole, 0)] {
        let option = format!("python3.12={image}");
        let served = Served::start(&lambent, &["--runtime-image", &option]);
        let line = format!(
            "lambent: warning: the image of the runtime python3.12, {image}: awslambdaric is \
             started, and not in the image, so that functions do not start unless their code or \
             layers bring it. Install it: "
        );
        let log = served.log();
        assert_eq!(log.matches(&line).count(), warnings, "{line}\n{log}");
        assert_eq!(log.matches("warning: the image").count(), warnings, "{log}");
    }
}
