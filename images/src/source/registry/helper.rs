//! Credential helpers: programs named `docker-credential-NAME`.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::credential::Credential;
use crate::error::{Error, IoContext, Result, quoted};

/// Time for a helper: some ask a server, or a person.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Most that a helper may print, in bytes.
const OUTPUT_MAX: u64 = 1024 * 1024;
/// The user name by which helpers say that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the credential of a server; `None` if it has none.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credential>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(Error::invalid(format!(
            "{} is not the name of a credential helper",
            quoted(name)
        )));
    }
    ask(&format!("docker-credential-{name}"), server, TIME_MAX)
}

fn ask(program: &str, server: &str, patience: Duration) -> Result<Option<Credential>> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // What it has to say is for the user.
        .stderr(Stdio::inherit())
        .spawn()
        .doing(|| format!("starting the credential helper {}", quoted(program)))?;
    let answer = talk(&mut child, server, patience);
    if answer.is_err() {
        let _gone_already = child.kill();
        let _gone_already = child.wait();
    }
    let (output, success) = answer.map_err(|error| {
        Error::io(
            || format!("asking the credential helper {}", quoted(program)),
            error,
        )
    })?;
    if !success {
        // The protocol has no code for this, only the words.
        if String::from_utf8_lossy(&output).contains("credentials not found") {
            return Ok(None);
        }
        let line = output
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        return Err(Error::invalid(format!(
            "the credential helper {} failed: {}",
            quoted(program),
            quoted(line)
        )));
    }
    // Its output is a secret, so no error repeats any of it.
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| {
        Error::invalid(format!(
            "the credential helper {} printed something else than a credential",
            quoted(program)
        ))
    })?;
    Ok(Some(if answer.username == TOKEN_USER {
        Credential::IdentityToken(answer.secret)
    } else {
        Credential::Password {
            user: answer.username,
            password: answer.secret,
        }
    }))
}

fn talk(child: &mut Child, server: &str, patience: Duration) -> std::io::Result<(Vec<u8>, bool)> {
    if let Some(mut input) = child.stdin.take() {
        // One that has ended without reading has its reasons, and says them below.
        let _may_be_gone = input.write_all(server.as_bytes());
    }
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        match stdout {
            Some(stdout) => stdout
                .take(OUTPUT_MAX)
                .read_to_end(&mut output)
                .map(|_| output),
            None => Ok(output),
        }
    });
    let deadline = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = reader
        .join()
        .unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))?;
    Ok((output, status.success()))
}

#[cfg(test)]
mod unit {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn answers_of_a_helper() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker-credential-test");
        let run = |script: &str| {
            // Written elsewhere first: a file that is open cannot be run.
            let new = path.with_extension("new");
            std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(&new, &path).unwrap();
            ask(path.to_str().unwrap(), "h.io", Duration::from_millis(500))
        };
        let password = |user: &str, password: &str| Credential::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        assert_eq!(
            run(r#"read server; echo "{\"ServerURL\":\"x\",\"Username\":\"$1\",\"Secret\":\"$server\"}""#)
                .unwrap(),
            Some(password("get", "h.io"))
        );
        assert_eq!(
            run(r#"echo '{"Username":"<token>","Secret":"t"}'"#).unwrap(),
            Some(Credential::IdentityToken("t".to_owned()))
        );
        assert_eq!(
            run("echo credentials not found in native keychain; exit 1").unwrap(),
            None
        );
        for (script, words) in [
            ("echo no keyring; exit 1", "no keyring"),
            ("echo secret", "something else"),
            ("yes", "docker-credential-test"),
            ("exec sleep 30", "docker-credential-test"),
        ] {
            let error = run(script).unwrap_err().to_string();
            assert!(
                error.contains(words) && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
