//! I-R06: registries on a network of IPv6 alone, names with several addresses, and
//! names that nobody can tell.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

#[path = "support/registry.rs"]
mod server;
mod support;

use std::net::Ipv6Addr;
use std::path::Path;
use std::process::Command;

use lambent_images::{Error, ErrorKind, Form, Image, NoProgress, Platform};
use rustix::mount::{MountFlags, mount};
use server::{Registry, certificate_for};
use support::mounts::in_private_network;
use support::{Scratch, good};

const HOST: &str = "registry.example";
/// How requests of this crate show in the log of a registry.
const AGENT: &str = "lambent/";

/// Gives the loopback device of this process's network these addresses alone.
fn addresses(addresses: &[&str]) {
    let ip = |arguments: &[&str]| {
        let status = Command::new("ip").args(arguments).status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    ip(&["link", "set", "lo", "up"]);
    ip(&["address", "flush", "dev", "lo"]);
    for address in addresses {
        ip(&["address", "add", address, "dev", "lo"]);
    }
}

/// Replaces a file of the machine in this process's mounts.
fn replace(path: &str, scratch: &Scratch, text: &str) {
    let new = tempfile::NamedTempFile::new_in(scratch.dir.path()).unwrap();
    let new = new.into_temp_path().keep().unwrap();
    std::fs::write(&new, text).unwrap();
    mount(&new, path, "", MountFlags::BIND, None::<&std::ffi::CStr>).unwrap();
}

/// A registry with TLS for [`HOST`] at `::1` that has an image, and what trusts it.
fn registry(scratch: &Scratch) -> Registry {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate_for(HOST, directory.path(), 2);
    let tls = format!(
        "  tls: {{certificate: {}, key: {}}}",
        certificate.display(),
        key.display()
    );
    let own = tempfile::tempdir().unwrap();
    let registry = Registry::listening(Ipv6Addr::LOCALHOST.into(), own, &tls, "");
    push(&registry, scratch);
    std::fs::rename(&certificate, scratch.path("certificate")).unwrap();
    registry
}

/// Pushes an image as `fn:1`.
fn push(registry: &Registry, scratch: &Scratch) {
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    replace("/etc/hosts", scratch, "::1 push.example\n");
    registry.push_by_name("push.example", &file, "fn:1");
}

/// Not a test by itself: pulls, with the certificates that its variables name.
#[test]
fn child() {
    let Some(reference) = std::env::var_os("LAMBENT_TEST_CHILD_REFERENCE") else {
        return;
    };
    let scratch = Scratch::of_form(Form::Erofs);
    match pull(&scratch, reference.to_str().unwrap()) {
        Ok(image) => println_digest(&image),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
            panic!("{error}");
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the parent reads")]
fn println_digest(image: &Image) {
    println!("pulled {}", image.manifest_digest);
}

fn pull(scratch: &Scratch, reference: &str) -> Result<Image, Error> {
    let reference = reference.parse().unwrap();
    scratch
        .store
        .import(&reference, &Platform::host(), &NoProgress)
}

/// Pulls in a process that trusts this certificate; what it says.
fn pull_trusting(certificate: &Path, reference: &str) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("LAMBENT_TEST_CHILD_REFERENCE", reference)
        .env("SSL_CERT_FILE", certificate)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.contains("pulled sha256:"), said)
}

#[test]
fn a_network_of_ipv6_alone() {
    if !in_private_network("a_network_of_ipv6_alone") {
        return;
    }
    addresses(&["::1/128"]);
    let scratch = Scratch::of_form(Form::Erofs);
    let registry = Registry::listening(
        Ipv6Addr::LOCALHOST.into(),
        tempfile::tempdir().unwrap(),
        "",
        "",
    );
    push(&registry, &scratch);
    let reference = registry.reference("fn:1");
    assert!(reference.starts_with("docker://[::1]:"), "{reference}");
    pull(&scratch, &reference).unwrap();
    // The name of this machine, which has an address of each kind.
    replace(
        "/etc/hosts",
        &scratch,
        "127.0.0.1 localhost\n::1 localhost\n",
    );
    let by_name = format!("docker://localhost:{}/fn:1", registry.port());
    pull(&Scratch::of_form(Form::Erofs), &by_name).unwrap();
}

#[test]
fn names_of_several_addresses_of_which_one_answers() {
    if !in_private_network("names_of_several_addresses_of_which_one_answers") {
        return;
    }
    addresses(&["127.0.0.1/8", "::1/128"]);
    let scratch = Scratch::of_form(Form::Erofs);
    let registry = registry(&scratch);
    // One that refuses, one that cannot be reached at all, and one that answers.
    let hosts = format!("127.0.0.1 {HOST}\n192.0.2.1 {HOST}\n::1 {HOST}\n");
    replace("/etc/hosts", &scratch, &hosts);
    let reference = format!("docker://{HOST}:{}/fn:1", registry.port());
    let certificate = scratch.path("certificate");
    let (pulled, said) = pull_trusting(&certificate, &reference);
    assert!(pulled, "{said}");
    // Its name is what the certificate is for, whatever else leads to the same place.
    let other = format!("docker://[::1]:{}/fn:1", registry.port());
    let (pulled, said) = pull_trusting(&certificate, &other);
    assert!(!pulled && said.contains("certificate"), "{said}");
    assert!(registry.log().contains(AGENT), "{}", registry.log());
}

#[test]
fn names_that_lead_nowhere() {
    if !in_private_network("names_that_lead_nowhere") {
        return;
    }
    addresses(&["127.0.0.1/8", "::1/128"]);
    let scratch = Scratch::of_form(Form::Erofs);
    let registry = registry(&scratch);
    let certificate = scratch.path("certificate");
    replace(
        "/etc/hosts",
        &scratch,
        &format!("192.0.2.1 {HOST}\n127.0.0.1 dead.example\n"),
    );
    // Nobody answers there.
    replace(
        "/etc/resolv.conf",
        &scratch,
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    );
    for host in [HOST, "dead.example", "unknown.example"] {
        let reference = format!("docker://{host}:{}/fn:1", registry.port());
        let (pulled, said) = pull_trusting(&certificate, &reference);
        assert!(!pulled && said.contains(host), "{said}");
    }
    let log = registry.log();
    assert!(!log.contains(AGENT), "{log}");
}
