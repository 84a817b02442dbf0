//! Credential files of Docker and of Podman, Buildah and Skopeo.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential::Credential;
use super::helper;
use crate::error::{Error, IoContext, Result, quoted, quoted_path};
use crate::manifest::{JSON_MAX, json, too_large};
use crate::reference::RegistryReference;

/// What Docker calls its own registry in its files and to its helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A credential and where it is from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) credential: Credential,
    pub(super) origin: String,
}

/// The files to look into, in this order.
#[derive(Debug, Clone, Default)]
pub(super) struct CredentialFiles(pub(super) Vec<PathBuf>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Clone, Default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl CredentialFiles {
    /// As Podman and Skopeo look: their own file, then Docker's. With
    /// `REGISTRY_AUTH_FILE` only that one.
    pub(super) fn from_environment() -> Self {
        let directory = |name: &str| {
            let value = env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        if let Some(path) = directory("REGISTRY_AUTH_FILE") {
            return Self(vec![path]);
        }
        let home = directory("HOME");
        let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let run = directory("XDG_RUNTIME_DIR").unwrap_or_else(|| {
            let user = rustix::process::getuid().as_raw();
            format!("/run/containers/{user}").into()
        });
        // Without XDG_RUNTIME_DIR the directory is already one of containers.
        let run = match directory("XDG_RUNTIME_DIR") {
            Some(_) => run.join("containers/auth.json"),
            None => run.join("auth.json"),
        };
        let config = directory("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let docker = directory("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let files = [
            Some(run),
            config.map(|config| config.join("containers/auth.json")),
            docker.map(|docker| docker.join("config.json")),
        ];
        Self(files.into_iter().flatten().collect())
    }

    /// The files' names, for messages.
    pub(super) fn listed(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|path| quoted_path(path)).collect();
        if names.is_empty() {
            return "any file, because HOME is not set".to_owned();
        }
        names.join(", ")
    }

    /// The credential for an image, from the first file that has one.
    pub(super) fn find(&self, reference: &RegistryReference) -> Result<Option<Found>> {
        for path in &self.0 {
            let Some(content) = read(path)? else { continue };
            let found = content
                .find(reference)
                .map_err(|error| error.within(&quoted_path(path)))?;
            if let Some((credential, through)) = found {
                let origin = match through {
                    Some(helper) => format!("{} ({})", quoted_path(path), quoted(helper)),
                    None => quoted_path(path),
                };
                return Ok(Some(Found { credential, origin }));
            }
        }
        Ok(None)
    }
}

fn read(path: &Path) -> Result<Option<Content>> {
    let reading = || format!("reading the credentials in {}", quoted_path(path));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(reading),
    };
    let mut bytes = Vec::new();
    file.take(JSON_MAX + 1)
        .read_to_end(&mut bytes)
        .doing(reading)?;
    if bytes.len() as u64 > JSON_MAX {
        return Err(too_large("credential file"));
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let content = json("credential file", &bytes);
    content
        .map(Some)
        .map_err(|error| error.within(&quoted_path(path)))
}

impl Content {
    /// The credential, and the helper that it came from.
    fn find(&self, reference: &RegistryReference) -> Result<Option<(Credential, Option<String>)>> {
        let server = match reference.host.as_str() {
            "docker.io" => DOCKER_HUB_KEY,
            host => host,
        };
        let through = |program: &String| -> Result<Option<(Credential, Option<String>)>> {
            let credential = helper::get(program, server)?;
            Ok(credential.map(|credential| (credential, Some(program.clone()))))
        };
        let named = self.cred_helpers.get(&reference.host);
        if let Some(program) = named.or_else(|| self.cred_helpers.get(server)) {
            return through(program);
        }
        if let Some(credential) = self.entry(reference).map(credential).transpose()?.flatten() {
            return Ok(Some((credential, None)));
        }
        match &self.creds_store {
            Some(program) if !program.is_empty() => through(program),
            _ => Ok(None),
        }
    }

    /// The entry whose key is the longest prefix of the image's name, by whole
    /// parts: `h.io/team` serves `h.io/team/fn` and not `h.io/teams/fn`.
    fn entry(&self, reference: &RegistryReference) -> Option<&Entry> {
        let name = format!("{}/{}", reference.host, reference.repository);
        let entries = self.auths.iter().filter_map(|(key, entry)| {
            let key = normal(key);
            let rest = name.strip_prefix(&key)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((key.len(), entry))
        });
        let longest = entries.max_by_key(|(length, _)| *length);
        longest.map(|(_, entry)| entry)
    }
}

/// A key as a prefix of image names. Docker's own keys may be addresses, whose
/// paths say nothing about the repository.
fn normal(key: &str) -> String {
    let address = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let name = match address {
        Some(address) => address.split('/').next().unwrap_or(address),
        None => key.trim_end_matches('/'),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (name, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    match path {
        // `index.docker.io/v1/` without its scheme.
        Some("v1" | "v2") | None => host.to_owned(),
        Some(path) => format!("{host}/{path}"),
    }
}

fn credential(entry: &Entry) -> Result<Option<Credential>> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = filled(&entry.identitytoken) {
        return Ok(Some(Credential::IdentityToken(token)));
    }
    if let Some(auth) = filled(&entry.auth) {
        let lenient =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&STANDARD, lenient)
            .decode(auth.trim())
            .ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = text.as_deref().and_then(|text| text.split_once(':'));
        let (user, password) =
            pair.ok_or_else(|| Error::invalid("an entry's auth is not base64 of USER:PASSWORD"))?;
        return Ok(Some(Credential::Password {
            user: user.to_owned(),
            // Docker's own reader does the same.
            password: password.trim_end_matches('\0').to_owned(),
        }));
    }
    let pair = filled(&entry.username).zip(filled(&entry.password));
    Ok(pair.map(|(user, password)| Credential::Password { user, password }))
}

#[cfg(test)]
mod unit {
    use super::*;

    fn find(content: &str, image: &str) -> Option<Credential> {
        let content: Content = serde_json::from_str(content).unwrap();
        let found = content.find(&image.parse().unwrap()).unwrap();
        found.map(|(credential, _)| credential)
    }

    fn user(content: &str, image: &str) -> String {
        match find(content, image) {
            Some(Credential::Password { user, password }) => format!("{user}:{password}"),
            Some(Credential::IdentityToken(token)) => format!("token {token}"),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        // a:1, b:2, c:3, d:4:5
        let content = r#"{"auths":{
            "h.io":{"auth":"YToxCg=="},
            "h.io/team":{"auth":"Yjoy"},
            "h.io/team/fn":{"auth":"Yzoz"},
            "https://index.docker.io/v1/":{"auth":"ZDo0OjU"},
            "https://g.io/v2/":{"username":"e","password":"6"},
            "i.io:5000":{"identitytoken":"t"},
            "k.io":{}, "l.io":{"auth":""}
        }}"#;
        for (image, expected) in [
            ("h.io/x", "a:1\n"),
            ("h.io/teams/fn", "a:1\n"),
            ("h.io/team/x:1", "b:2"),
            ("h.io/team/fn:1", "c:3"),
            ("h.io/team/fn/more", "c:3"),
            ("alpine", "d:4:5"),
            ("docker.io/me/fn", "d:4:5"),
            ("g.io/v2/fn", "e:6"),
            ("i.io:5000/fn", "token t"),
            ("i.io/fn", "none"),
            ("k.io/fn", "none"),
            ("l.io/fn", "none"),
            ("sub.h.io/fn", "none"),
            ("h.io.evil.com/fn", "none"),
        ] {
            assert_eq!(user(content, image), expected, "{image}");
        }
    }

    #[test]
    fn what_is_malformed_is_an_error_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let files = CredentialFiles(vec![dir.path().join("missing"), path.clone()]);
        let image: RegistryReference = "h.io/fn".parse().unwrap();
        assert_eq!(files.find(&image).unwrap(), None);
        for bad in [
            "{",
            "[]",
            r#"{"auths":{"h.io":{"auth":"!"}}}"#,
            r#"{"auths":{"h.io":{"auth":"YQ=="}}}"#,
            r#"{"credHelpers":{"h.io":"../evil"}}"#,
            r#"{"credsStore":"no-such-helper-here"}"#,
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = files.find(&image).unwrap_err();
            assert!(error.to_string().contains("auth.json"), "{error}");
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(files.find(&image).unwrap(), None);
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Credential::Password {
            user: "u".to_owned(),
            password: "secret".to_owned(),
        };
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
