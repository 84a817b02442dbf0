//! As much of a client of the Runtime API as one function needs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

const VERSION: &str = "2018-06-01";

/// Answers invocations until nobody asks any more.
pub(crate) fn serve(api: &str, at_ns: i64) -> io::Result<()> {
    let stream = TcpStream::connect(api)?;
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(stream);
    let mut count = 0_u64;
    loop {
        let next =
            format!("GET /{VERSION}/runtime/invocation/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
        let id = exchange(&mut connection, &next)?
            .ok_or_else(|| io::Error::other("an invocation without an ID"))?;
        count += 1;
        let body = format!(r#"{{"atNs":{at_ns},"count":{count}}}"#);
        let response = format!(
            "POST /{VERSION}/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {api}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(&mut connection, &response)?;
    }
}

/// Sends a request and reads its answer. The invocation's ID, if it has one.
fn exchange(connection: &mut BufReader<TcpStream>, request: &str) -> io::Result<Option<String>> {
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 2") {
        return Err(io::Error::other(format!("the Runtime API says {line:?}")));
    }
    let (mut id, mut length) = (None, 0);
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "lambda-runtime-aws-request-id" => id = Some(value.to_owned()),
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => return Err(io::Error::other("an answer in chunks")),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(id)
}
