//! A debugger of Python: debugpy from its registry in the function, and the few words of the
//! Debug Adapter Protocol that an editor says to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use lambent_images::Platform;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use serde_json::{Value, json};

use crate::wait::{patiently, until};
use crate::{fixtures, python_layer};

/// Writes an image of the Python function `code`, `/var/task/app.py`, with a debugger in
/// it, as a user would build one.
///
/// # Panics
/// If it cannot be written.
pub fn image(directory: &Path, code: &str) -> String {
    let [base, python] = fixtures::python_trees();
    let debugpy = python_layer::layer("debugpy", "1.8.17", "manylinux_2_34");
    let debugpy = debugpy.expect("debugpy from PyPI").join("python");
    let file = directory.join("debugged.tar");
    let plain = || LayerBuilder::new().compression(Compression::None);
    ImageBuilder::new(Platform::host())
        .cmd(["app.handler"])
        .env("PYTHONPATH", "/opt/debugpy")
        .working_dir("/var/task")
        .layer(plain().tree("", base))
        .layer(plain().tree("", python))
        .layer(plain().tree("opt/debugpy", debugpy))
        .layer(LayerBuilder::new().file("var/task/app.py", 0o644, code.as_bytes()))
        .write_oci_archive(&file, "latest")
        .expect("an image");
    format!("oci-archive:{}", file.display())
}

/// A connection to a debugger.
#[derive(Debug)]
pub struct Debugger {
    stream: BufReader<TcpStream>,
    number: u64,
}

impl Debugger {
    /// Connects to a port of this host.
    ///
    /// # Panics
    /// If nobody listens for a long time.
    pub fn connect(port: u16) -> Self {
        let mut found = None;
        until("the debugger's port is open", || {
            found = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
            found.is_some()
        });
        let stream = found.expect("a connection");
        let limit = patiently(std::time::Duration::from_secs(60));
        stream.set_read_timeout(Some(limit)).expect("a time-out");
        Self {
            stream: BufReader::new(stream),
            number: 0,
        }
    }

    /// Says something, and does not wait for an answer.
    ///
    /// # Panics
    /// If the connection is lost.
    pub fn say(&mut self, command: &str, arguments: &Value) {
        self.number += 1;
        let message = json!({
            "seq": self.number, "type": "request", "command": command, "arguments": arguments,
        })
        .to_string();
        let head = format!("Content-Length: {}\r\n\r\n", message.len());
        let stream = self.stream.get_mut();
        stream
            .write_all((head + &message).as_bytes())
            .expect("it listens");
    }

    /// Says something, and returns the body of the answer.
    ///
    /// # Panics
    /// If it is refused.
    pub fn ask(&mut self, command: &str, arguments: &Value) -> Value {
        self.say(command, arguments);
        let answer = self.next(|message| message["command"] == command);
        assert_eq!(answer["success"], true, "{command}: {answer}");
        answer["body"].clone()
    }

    /// Waits for an event, and returns its body.
    ///
    /// # Panics
    /// If the connection is lost before.
    pub fn event(&mut self, name: &str) -> Value {
        self.next(|message| message["event"] == name)["body"].clone()
    }

    fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.read();
            if wanted(&message) {
                return message;
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).expect("a message");
            assert!(read > 0, "the debugger has hung up");
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message).expect("a message");
        serde_json::from_slice(&message).expect("JSON")
    }
}
