//! A real registry on this machine, filled by skopeo. The crate's own tests use it too.

#![allow(dead_code, reason = "each test crate uses some of this")]
#![allow(clippy::unwrap_used, reason = "test code states its expectations")]

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Debian's docker-registry, ended when it is dropped.
pub(crate) struct Registry {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Registry {
    /// Starts one, with these lines about TLS.
    pub(crate) fn new(tls: &str) -> Self {
        Self::configured(tempfile::tempdir().unwrap(), tls, "")
    }

    /// Starts one that lives in `directory`, with these lines about TLS and others.
    pub(crate) fn configured(directory: tempfile::TempDir, tls: &str, rest: &str) -> Self {
        Self::listening(Ipv4Addr::LOCALHOST.into(), directory, tls, rest)
    }

    /// The same at another address of this machine.
    pub(crate) fn listening(
        address: IpAddr,
        directory: tempfile::TempDir,
        tls: &str,
        rest: &str,
    ) -> Self {
        let at = |name: &str| directory.path().join(name);
        // Nobody else of this test binds a port between these two lines.
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: \"{address}\"\n{tls}\n{rest}\n",
            at("data").display()
        );
        std::fs::write(at("config.yml"), config).unwrap();
        let log = File::create(at("log")).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve".as_ref(), at("config.yml").as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("docker-registry is in the list of test dependencies");
        let registry = Self {
            child,
            address,
            directory,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            let log = registry.log();
            assert!(Instant::now() < deadline, "it does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// The requests so far, one line each, among other things.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// A path beside what the registry has.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn host(&self) -> String {
        if self.address.is_ipv6() {
            return self.address.to_string();
        }
        format!("localhost:{}", self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn reference(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.host())
    }

    /// Pushes an archive.
    pub(crate) fn push(&self, archive: &Path, image: &str) {
        self.push_with(archive, image, &[]);
    }

    /// Pushes an archive, with these options of skopeo.
    pub(crate) fn push_with(&self, archive: &Path, image: &str, options: &[&str]) {
        self.push_to(archive, &self.reference(image), options);
    }

    /// Pushes an archive to another name of this registry: skopeo takes no addresses of
    /// IPv6.
    pub(crate) fn push_by_name(&self, name: &str, archive: &Path, image: &str) {
        let reference = format!("docker://{name}:{}/{image}", self.port());
        self.push_to(archive, &reference, &[]);
    }

    #[expect(clippy::unused_self, reason = "a registry is there to be pushed to")]
    fn push_to(&self, archive: &Path, reference: &str, options: &[&str]) {
        let status = Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy"])
            .arg("--dest-tls-verify=false")
            .args(options)
            .arg(format!("oci-archive:{}", archive.display()))
            .arg(reference)
            .status()
            .expect("skopeo is in the list of test dependencies");
        assert!(status.success());
    }
}

/// A certificate for localhost and its key in `directory`, for so many days.
pub(crate) fn certificate(directory: &Path, days: u32) -> (PathBuf, PathBuf) {
    certificate_for("localhost", directory, days)
}

/// The same for another host.
pub(crate) fn certificate_for(host: &str, directory: &Path, days: u32) -> (PathBuf, PathBuf) {
    let at = |name: &str| directory.join(name);
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .output()
            .expect("openssl is in the list of test dependencies");
        assert!(output.status.success(), "{output:?}");
    };
    let extensions = format!("subjectAltName=DNS:{host}\nbasicConstraints=critical,CA:FALSE\n");
    std::fs::write(at("extensions"), extensions).unwrap();
    let curve = "ec_paramgen_curve:prime256v1";
    let request = ["req", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj"];
    let name = format!("/CN={host}");
    let files = [name.as_str(), "-out", "tls.csr", "-keyout", "tls.key"];
    openssl(&[&request[..], &files].concat());
    let days = days.to_string();
    let sign = ["x509", "-req", "-in", "tls.csr", "-signkey", "tls.key"];
    let files = ["-extfile", "extensions", "-out", "tls.crt", "-days", &days];
    openssl(&[&sign[..], &files].concat());
    (at("tls.crt"), at("tls.key"))
}
