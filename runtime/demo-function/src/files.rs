//! Descriptors and sockets.

use crate::tmp::errno;
use serde_json::{Value, json};
use std::fs::File;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens `/dev/null` up to `count` times; all are closed again on return.
pub(crate) fn open(count: u32) -> Value {
    let mut files = Vec::new();
    for _ in 0..count {
        let result = File::open("/dev/null");
        let errno = errno(&result);
        match result {
            Ok(file) => files.push(file),
            Err(_) => return json!({ "opened": files.len(), "errno": errno }),
        }
    }
    json!({ "opened": files.len(), "errno": null })
}

/// Connects to the first address that `host` stands for.
pub(crate) fn connect(host: &str, port: u16) -> Value {
    let result = (host, port)
        .to_socket_addrs()
        .and_then(|mut addresses| {
            addresses
                .next()
                .ok_or_else(|| std::io::Error::other("the name has no address"))
        })
        .and_then(|address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT));
    json!({
        "ok": result.is_ok(),
        "errno": errno(&result),
        "error": result.err().map(|error| error.to_string()),
    })
}
