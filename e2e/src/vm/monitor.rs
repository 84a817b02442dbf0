//! QEMU's monitor: what the CPUs of a machine do.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixtures::Error;

/// How long an answer may take: QEMU answers between two instructions.
const PATIENCE: Duration = Duration::from_secs(10);

/// A conversation in QEMU's machine protocol, a JSON object a line.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
    greeted: bool,
}

impl Monitor {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream: BufReader::new(stream),
            greeted: false,
        }
    }

    /// The registers of every CPU that say where it is.
    ///
    /// # Errors
    /// QEMU does not answer, or refuses.
    pub(super) fn registers(&mut self) -> Result<String, Error> {
        if !self.greeted {
            self.stream.get_ref().set_read_timeout(Some(PATIENCE))?;
            self.read()?;
            self.execute(&json!({"execute": "qmp_capabilities"}))?;
            self.greeted = true;
        }
        let answer = self.execute(&json!({
            "execute": "human-monitor-command",
            "arguments": {"command-line": "info registers -a"},
        }))?;
        let text = answer.as_str().ok_or("the registers are not a text")?;
        Ok(telling(text))
    }

    fn execute(&mut self, command: &Value) -> Result<Value, Error> {
        writeln!(self.stream.get_mut(), "{command}")?;
        loop {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                return Err(format!("QEMU refuses {command}: {error}").into());
            }
            // Events come in between.
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }

    fn read(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("QEMU has closed its monitor".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// Which CPU, the general registers with the place in the program, and where a fault
/// was.
fn telling(registers: &str) -> String {
    let starts = ["CPU#", "R", "CR"];
    let lines: Vec<&str> = registers
        .lines()
        .map(str::trim_end)
        .filter(|line| starts.iter().any(|start| line.starts_with(start)))
        .collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERS: &str = "\r\nCPU#0\r\nRAX=00 RBX=01\r\nRIP=ffffffff81000000 RFL=00000246\r\n\
                             ES =0000 0000\r\nCR0=80050033 CR2=00007f\r\nFCW=037f\r\n\
                             XMM00=0\r\n\r\nCPU#1\r\nRIP=1\r\n";

    #[test]
    fn what_tells_where_a_cpu_is_stays() {
        assert_eq!(
            telling(REGISTERS),
            "CPU#0\nRAX=00 RBX=01\nRIP=ffffffff81000000 RFL=00000246\n\
             CR0=80050033 CR2=00007f\nCPU#1\nRIP=1\n"
        );
    }

    #[test]
    fn the_protocol_is_spoken() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let qemu = std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let say = |value: Value| writeln!(&theirs, "{value}").unwrap();
            say(json!({"QMP": {"version": {}, "capabilities": []}}));
            let mut asked = vec![];
            asked.push(lines.next().unwrap().unwrap());
            say(json!({"return": {}}));
            asked.push(lines.next().unwrap().unwrap());
            say(json!({"event": "RTC_CHANGE"}));
            say(json!({"return": REGISTERS}));
            asked.push(lines.next().unwrap().unwrap());
            say(json!({"error": {"desc": "no"}}));
            asked
        });
        let mut monitor = Monitor::new(ours);
        assert_eq!(monitor.registers().unwrap(), telling(REGISTERS));
        let error = monitor.registers().unwrap_err().to_string();
        assert!(error.contains("refuses"), "{error}");
        let asked = qemu.join().unwrap();
        assert!(asked[0].contains("qmp_capabilities"), "{asked:?}");
        assert!(asked[1].contains("info registers -a"), "{asked:?}");
        assert!(monitor.registers().is_err(), "it is gone");
    }
}
