//! `lambent serve` as a client meets it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::Lambent;
use crate::client::Client;
use crate::leftovers::{self, Leftovers};

/// A running `lambent serve`, ended when it is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Served {
    /// Starts it on a free port, and waits until it says where it listens.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start(lambent: &Lambent, arguments: &[&str]) -> Self {
        Self::launch(Path::new("."), lambent, "127.0.0.1:0", arguments)
    }

    /// The same in another working directory.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start_in(directory: &Path, lambent: &Lambent, arguments: &[&str]) -> Self {
        Self::launch(directory, lambent, "127.0.0.1:0", arguments)
    }

    /// Starts it at an address, and waits until it says where it listens.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start_at(lambent: &Lambent, address: &str, arguments: &[&str]) -> Self {
        Self::launch(Path::new("."), lambent, address, arguments)
    }

    fn launch(directory: &Path, lambent: &Lambent, address: &str, arguments: &[&str]) -> Self {
        let ours = ["serve", "--listen", address];
        let mut child = lambent
            .command(ours.iter().chain(arguments))
            .current_dir(directory)
            .spawn()
            .expect("lambent starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::new(Mutex::new(String::new()));
        let address = loop {
            let mut line = String::new();
            let length = lines.read_line(&mut line).expect("lines");
            append(&log, &line);
            assert!(length > 0, "lambent serve ended: {}", text(&log));
            if let Some(address) = line.split("http://").nth(1) {
                let address: String = address
                    .chars()
                    .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
                    .collect();
                break address
                    .trim_end_matches(['.', ':'])
                    .parse()
                    .expect("an address");
            }
        };
        let sink = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = lines.read(&mut buffer) {
                append(&sink, &String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self {
            child,
            address,
            log,
            reader: Some(reader),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        text(&self.log)
    }

    /// Ends it with a signal. Its exit status, and all that it wrote.
    ///
    /// # Panics
    /// If it cannot be signalled.
    pub fn end(mut self, signal: Signal) -> (ExitStatus, String) {
        self.signal(signal);
        let status = self.child.wait().expect("lambent ends");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader");
        }
        (status, self.log())
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid.expect("a pid"), signal);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The environments that `lambent ps` shows.
///
/// # Panics
/// If there is no service, or it does not answer.
pub fn environments(lambent: &Lambent) -> Vec<Value> {
    let run = lambent.run(["ps", "--output", "json"]);
    let all: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let functions = all["services"][0]["functions"].as_array().expect("a list");
    functions
        .iter()
        .flat_map(|function| function["environments"].as_array().expect("a list").clone())
        .collect()
}

fn append(log: &Mutex<String>, text: &str) {
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push_str(text);
}

fn text(log: &Mutex<String>) -> String {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A service that is to leave nothing behind, and a client of it.
#[derive(Debug)]
pub struct Tidy {
    /// Its installation.
    pub lambent: Lambent,
    /// The service.
    pub served: Served,
    /// A client with a connection of its own.
    pub client: Client,
    services: Vec<String>,
}

impl Tidy {
    /// Starts it.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start() -> Self {
        let lambent = Lambent::new();
        let served = Served::start(&lambent, &[]);
        Self {
            client: Client::new(&served.url()),
            services: leftovers::services(lambent.root()),
            served,
            lambent,
        }
    }

    /// What there is of it and its environments outside of its directory.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::of(self.lambent.root(), &self.services)
    }

    /// Ends it.
    ///
    /// # Panics
    /// If it leaves anything behind.
    pub fn end(self) {
        self.served.end(Signal::TERM);
        let left = Leftovers::of(self.lambent.root(), &self.services);
        assert!(left.is_empty(), "{left:?}");
    }
}
