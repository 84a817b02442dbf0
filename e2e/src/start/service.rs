//! `lambent serve` with functions that the benches make in it.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::endpoint::{Answer, Endpoint};
use crate::fixtures::Error;
use crate::leftovers;
use crate::serve::Served;
use crate::{Lambent, Run};

const FUNCTIONS: &str = "/2015-03-31/functions";
const ACTIVE_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// Memory for as many environments as a bench wants: sizes are limits, and nothing in
/// here uses as much.
const MEMORY_LIMIT: [&str; 2] = ["--memory-limit", "1000000"];

/// A service, and a connection to it.
#[derive(Debug)]
pub(super) struct Service {
    served: Served,
    lambent: Lambent,
    endpoint: Endpoint,
    unlimited: bool,
}

impl Service {
    /// Starts one that has no functions.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub(super) fn start() -> Result<Self, Error> {
        let lambent = Lambent::new();
        let help: Run = lambent.run(["serve", "--help"]);
        let unlimited = help.stdout.contains(MEMORY_LIMIT[0]);
        let options: &[&str] = if unlimited { &MEMORY_LIMIT } else { &[] };
        let served = Served::start(&lambent, options);
        let endpoint = Endpoint::connect(served.address())?;
        Ok(Self {
            served,
            lambent,
            endpoint,
            unlimited,
        })
    }

    /// How many environments of 128 MB it admits, of this many.
    pub(super) fn room(&self, wanted: usize) -> Result<usize, Error> {
        if self.unlimited {
            return Ok(wanted);
        }
        // Nine tenths of the host's memory, as the service counts, and one for a bench
        // that has something running already.
        let room = super::host::memory_kb("MemTotal")? / 1024 * 9 / 10 / 128 - 1;
        Ok(wanted.min(usize::try_from(room)?))
    }

    pub(super) fn lambent(&self) -> &Lambent {
        &self.lambent
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.served.address()
    }

    /// The service's process, and its launcher's.
    pub(super) fn processes(&self) -> [u32; 2] {
        let pid = self.served.pid();
        [pid, leftovers::only_child(pid)]
    }

    /// Creates a function of an image, and waits until it can be invoked.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn create(&mut self, name: &str, image: &str, memory_mb: u32) -> Result<(), Error> {
        let request = json!({
            "FunctionName": name,
            "Role": "arn:aws:iam::123456789012:role/r",
            "PackageType": "Image",
            "Code": {"ImageUri": image},
            "MemorySize": memory_mb,
            "Timeout": 30,
        });
        self.ask("POST", FUNCTIONS, &request)?;
        let configuration = format!("{FUNCTIONS}/{name}/configuration");
        let started = Instant::now();
        loop {
            let function = self.ask("GET", &configuration, &Value::Null)?;
            match function["State"].as_str() {
                Some("Active") => return Ok(()),
                Some("Pending") if started.elapsed() < ACTIVE_LIMIT => sleep(POLL),
                _ => return Err(function.to_string().into()),
            }
        }
    }

    /// Deletes a function; its environments end in the background.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), Error> {
        let path = format!("{FUNCTIONS}/{name}");
        self.ask("DELETE", &path, &Value::Null).map(drop)
    }

    /// Has so many environments of a function initialised, and waits for them.
    ///
    /// # Errors
    /// They are refused, or one fails.
    pub(super) fn provision(&mut self, name: &str, count: usize) -> Result<(), Error> {
        let versions = format!("{FUNCTIONS}/{name}/versions");
        let version = self.ask("POST", &versions, &json!({}))?;
        let version = version["Version"].as_str().ok_or("no version")?;
        let path =
            format!("/2019-09-30/functions/{name}/provisioned-concurrency?Qualifier={version}");
        let wanted = json!({"ProvisionedConcurrentExecutions": count});
        self.ask("PUT", &path, &wanted)?;
        let started = Instant::now();
        loop {
            let found = self.ask("GET", &path, &Value::Null)?;
            match found["Status"].as_str() {
                Some("READY") => return Ok(()),
                Some("IN_PROGRESS") if started.elapsed() < ACTIVE_LIMIT => sleep(POLL),
                _ => return Err(found.to_string().into()),
            }
        }
    }

    /// Invokes a function.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn invoke(&mut self, name: &str, event: &str) -> Result<Answer, Error> {
        invoke(&mut self.endpoint, name, event)
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, Error> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = self.endpoint.ask(method, path, &body)?;
        answer
            .json()
            .map_err(|error| format!("{method} {path}: {error}").into())
    }
}

/// Invokes a function over this connection.
///
/// # Errors
/// Nobody answers.
pub(super) fn invoke(endpoint: &mut Endpoint, name: &str, event: &str) -> Result<Answer, Error> {
    endpoint.ask("POST", &format!("{FUNCTIONS}/{name}/invocations"), event)
}
