//! Lambda's runtime interface emulator with a function, in a container of runc.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::clock::now_ns;
use super::super::endpoint::{Answer, Endpoint};
use super::bundle::Bundle;
use crate::fixtures::{Error, at};

/// Where it answers, whatever the function's name.
const PATH: &str = "/2015-03-31/functions/function/invocations";
/// Where it is in the bundle.
const PROGRAM: &str = "/aws-lambda-rie";
const LISTENS_LIMIT: Duration = Duration::from_secs(30);
/// Between two attempts to connect to one that is starting.
const ATTEMPT: Duration = Duration::from_micros(200);

/// One that runs, ended when it is dropped. It runs one invocation at a time.
#[derive(Debug)]
pub(in super::super) struct Emulator {
    runc: Child,
    state: PathBuf,
    id: String,
    started_ns: i64,
    address: SocketAddr,
}

/// Puts the emulator into a bundle.
///
/// # Errors
/// It cannot be copied.
pub(in super::super) fn install(program: &Path, bundle: &Bundle) -> Result<(), Error> {
    let place = bundle.rootfs().join(&PROGRAM[1..]);
    fs::copy(program, &place).map_err(at(&place))?;
    bundle.share_network()
}

impl Emulator {
    /// Starts it with the bundle's program, `words`, and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(in super::super) fn start(
        bundle: &Bundle,
        words: &[String],
        state: &Path,
        id: &str,
    ) -> Result<Self, Error> {
        let [address, api] = free_ports()?;
        let mut all = vec![
            PROGRAM.to_owned(),
            "--runtime-interface-emulator-address".to_owned(),
            address.to_string(),
            "--runtime-api-address".to_owned(),
            api.to_string(),
        ];
        all.extend_from_slice(words);
        bundle.set_words(&all)?;
        let started_ns = now_ns();
        let runc = Command::new("runc")
            .arg("--root")
            .arg(state)
            .args(["run", "--bundle"])
            .arg(bundle.directory())
            .arg(id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            runc,
            state: state.to_owned(),
            id: id.to_owned(),
            started_ns,
            address,
        })
    }

    /// When it was asked to start.
    pub(in super::super) fn started_ns(&self) -> i64 {
        self.started_ns
    }

    /// Connects as soon as it listens.
    ///
    /// # Errors
    /// It does not within half a minute.
    pub(in super::super) fn connect(&self) -> Result<Endpoint, Error> {
        let started = Instant::now();
        loop {
            match Endpoint::connect(self.address) {
                Ok(endpoint) => return Ok(endpoint),
                Err(error) if started.elapsed() > LISTENS_LIMIT => return Err(error),
                Err(_) => sleep(ATTEMPT),
            }
        }
    }
}

/// Invokes its function.
///
/// # Errors
/// Nobody answers, or with an error.
pub(in super::super) fn invoke(endpoint: &mut Endpoint, event: &str) -> Result<Answer, Error> {
    let answer = endpoint.ask("POST", PATH, event)?;
    answer.json()?;
    Ok(answer)
}

/// Two ports that nobody has.
fn free_ports() -> Result<[SocketAddr; 2], Error> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let listeners = [TcpListener::bind(any)?, TcpListener::bind(any)?];
    Ok([listeners[0].local_addr()?, listeners[1].local_addr()?])
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // runc passes it on, and removes the container when the emulator has ended.
        let pid = i32::try_from(self.runc.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if matches!(self.runc.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        let _ = Command::new("runc")
            .arg("--root")
            .arg(&self.state)
            .args(["delete", "--force", &self.id])
            .status();
        let _ = self.runc.wait();
    }
}
