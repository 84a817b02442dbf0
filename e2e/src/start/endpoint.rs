//! A client with one connection that adds as little as it can to what it measures: one
//! write for a request, and no more reads than an answer needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::clock::now_ns;
use crate::fixtures::Error;

/// How long an answer may take, for what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub(super) struct Endpoint {
    connection: BufReader<TcpStream>,
    address: SocketAddr,
}

/// An answer, and when it was.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) sent_ns: i64,
    pub(super) answered_ns: i64,
    pub(super) status: u16,
    /// The function failed.
    pub(super) failed: bool,
    pub(super) body: Vec<u8>,
}

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub(super) fn connect(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            connection: BufReader::new(stream),
            address,
        })
    }

    /// A request and its answer, whatever it says.
    ///
    /// # Errors
    /// There is none within a minute, or it is no HTTP.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Error> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let sent_ns = now_ns();
        self.connection.get_mut().write_all(request.as_bytes())?;
        let (status, failed, length) = self.head()?;
        let body = match length {
            Some(length) => {
                let mut body = vec![0; length];
                self.connection.read_exact(&mut body)?;
                body
            }
            None => self.chunks()?,
        };
        Ok(Answer {
            sent_ns,
            answered_ns: now_ns(),
            status,
            failed,
            body,
        })
    }

    /// Status, whether the function failed, and the body's length if it is told.
    fn head(&mut self) -> Result<(u16, bool, Option<usize>), Error> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status: u16 = status.ok_or_else(|| format!("{line:?} instead of an answer"))?;
        let mut failed = false;
        let mut length = Some(0);
        loop {
            line.clear();
            self.connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Ok((status, failed, length));
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.trim().parse()?),
                "transfer-encoding" => length = None,
                "x-amz-function-error" => failed = true,
                _ => {}
            }
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Error> {
        let mut body = vec![];
        loop {
            let mut line = String::new();
            self.connection.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim_end(), 16)?;
            let start = body.len();
            body.resize(start + length, 0);
            self.connection.read_exact(&mut body[start..])?;
            line.clear();
            self.connection.read_line(&mut line)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

impl Answer {
    /// The body of an answer that is a success, as JSON.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn json(&self) -> Result<serde_json::Value, Error> {
        if self.failed || !(200..300).contains(&self.status) {
            let text = String::from_utf8_lossy(&self.body);
            return Err(format!("status {}: {text}", self.status).into());
        }
        if self.body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a client makes of these bytes.
    fn answer(bytes: &'static str) -> Result<Answer, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let _request = stream.read(&mut [0; 4096])?;
            stream.write_all(bytes.as_bytes())
        });
        let answer = Endpoint::connect(address)?.ask("POST", "/", "{}");
        server.join().expect("the server")?;
        answer
    }

    #[test]
    fn answers_have_a_length_or_chunks() {
        for bytes in [
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n5\r\n\": 1}\r\n0\r\n\r\n",
        ] {
            let answer = answer(bytes).expect("an answer");
            assert_eq!(answer.json().expect("JSON")["a"], 1, "{bytes}");
        }
    }

    #[test]
    fn failures_are_no_answers() {
        for bytes in [
            "HTTP/1.1 429 Too\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nX-Amz-Function-Error: Unhandled\r\nContent-Length: 2\r\n\r\n{}",
        ] {
            assert!(answer(bytes).expect("an answer").json().is_err(), "{bytes}");
        }
        assert!(answer("SMTP\r\n\r\n").is_err());
        assert!(answer("").is_err());
    }
}
