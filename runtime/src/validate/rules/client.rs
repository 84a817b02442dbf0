//! Whether something in the image talks to the Runtime API, and knows what to call.

use std::path::PathBuf;

use lambent_images::{ImageFileKind, Result};
use memchr::memmem;

use super::super::catalogue::{HANDLER_MISSING, HANDLER_NOT_FOUND, RUNTIME_CLIENT_MISSING};
use super::super::finding::shown;
use super::super::program::PROGRAM_MAX;
use super::super::{Finding, Severity, Subject};
use super::extensions::EXTENSIONS;

/// The variable that every client reads, so its name is in every client.
const API_VARIABLE: &[u8] = b"AWS_LAMBDA_RUNTIME_API";

/// A runtime interface client of a language, and how it is recognised.
struct Client {
    /// How it is called where it comes from.
    name: &'static str,
    /// What the arguments contain that start it.
    argument: &'static str,
    /// The end of the path of a file that it has.
    file: &'static str,
    /// The ends of the names that a handler's module may have as a file; none if the
    /// language does not look for a file.
    modules: &'static [&'static str],
}

const CLIENTS: &[Client] = &[
    Client {
        name: "awslambdaric",
        argument: "awslambdaric",
        file: "/awslambdaric/__main__.py",
        modules: &[".py", "/__init__.py", ".so", ".pyc"],
    },
    Client {
        name: "aws-lambda-ric",
        argument: "aws-lambda-ric",
        file: "/aws-lambda-ric/package.json",
        modules: &[".js", ".mjs", ".cjs", ""],
    },
    Client {
        name: "aws_lambda_ric",
        argument: "aws_lambda_ric",
        file: "/aws_lambda_ric.rb",
        modules: &[".rb"],
    },
    Client {
        name: "aws-lambda-java-runtime-interface-client",
        argument: "com.amazonaws.services.lambda.runtime.api.client.AWSLambda",
        file: ".jar",
        modules: &[],
    },
];

/// What a walk through the image finds.
#[derive(Default)]
struct Seen {
    clients: Vec<&'static str>,
    /// Java, .NET and base images, which are not told by their arguments.
    others: bool,
}

pub(super) fn check(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let arguments = subject.arguments();
    if arguments.is_empty() {
        return Ok(Vec::new());
    }
    let seen = look(subject);
    let started = CLIENTS.iter().find_map(|client| {
        let position = arguments.iter().position(|word| starts(client, word))?;
        Some((client, position))
    });
    let Some((client, position)) = started else {
        if seen.others || !seen.clients.is_empty() || mentions_api(subject, &arguments)? {
            return Ok(Vec::new());
        }
        return Ok(vec![Finding::new(
            &RUNTIME_CLIENT_MISSING,
            format!(
                "neither the image nor \"{}\" has anything that reads \
                 AWS_LAMBDA_RUNTIME_API",
                shown(arguments.join(" "))
            ),
        )]);
    };
    if !seen.clients.contains(&client.name) {
        let message = format!("{} is started, and not in the image", client.name);
        let finding = Finding::new(&RUNTIME_CLIENT_MISSING, message);
        return Ok(vec![finding.with(Severity::Error)]);
    }
    Ok(match arguments.get(position + 1) {
        None => vec![Finding::new(
            &HANDLER_MISSING,
            format!(
                "{} is the last argument of \"{}\"",
                client.name,
                shown(arguments.join(" "))
            ),
        )],
        Some(handler) => handler_not_found(subject, client, handler)
            .into_iter()
            .collect(),
    })
}

fn starts(client: &Client, word: &str) -> bool {
    word == client.argument || word.rsplit('/').next() == Some(client.argument)
}

fn look(subject: &Subject<'_>) -> Seen {
    let mut seen = Seen::default();
    subject.files.visit("/", &mut |file| {
        if file.kind == ImageFileKind::Directory {
            return;
        }
        let path = file.path.to_string_lossy();
        let name = path.rsplit('/').next().unwrap_or_default();
        seen.others |= matches!(&*path, "/var/runtime/bootstrap" | "/lambda-entrypoint.sh")
            || name == "Amazon.Lambda.RuntimeSupport.dll"
            || name == "lambda-adapter" && path.starts_with(EXTENSIONS);
        for client in CLIENTS {
            let found = if client.file == ".jar" {
                name.starts_with(client.name) && name.ends_with(client.file)
            } else {
                path.ends_with(client.file)
            };
            if found && !seen.clients.contains(&client.name) {
                seen.clients.push(client.name);
            }
        }
    });
    seen
}

/// Whether the program, or a file that it is given, reads the API's variable. True for
/// a program that is not there, of which another rule tells.
fn mentions_api(subject: &Subject<'_>, arguments: &[&str]) -> Result<bool> {
    let finder = memmem::Finder::new(API_VARIABLE);
    // A program may be a word itself: `sh -c 'curl $AWS_LAMBDA_RUNTIME_API/…'`.
    if arguments
        .iter()
        .any(|word| finder.find(word.as_bytes()).is_some())
    {
        return Ok(true);
    }
    let (program, rest) = match arguments.split_first() {
        Some((name, rest)) => (subject.program(name), rest),
        None => (None, arguments),
    };
    let Some(program) = program.filter(|program| subject.is_file(program)) else {
        return Ok(true);
    };
    let files = std::iter::once(program).chain(
        rest.iter()
            .map(|word| subject.working_directory().join(word)),
    );
    for file in files.filter(|file| subject.is_file(file)) {
        let bytes = subject.files.head(&file, PROGRAM_MAX)?;
        if finder.find(&bytes).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `package/module.function`: the module has to be a file somewhere.
fn handler_not_found(subject: &Subject<'_>, client: &Client, handler: &str) -> Option<Finding> {
    if client.modules.is_empty() {
        return None;
    }
    let module = match client.name {
        // Python's dots are directories.
        "awslambdaric" => handler.rsplit_once('.')?.0.replace('.', "/"),
        // Node's last path component ends at its first dot.
        "aws-lambda-ric" => {
            let (directory, file) = handler.rsplit_once('/').unwrap_or((".", handler));
            format!("{directory}/{}", file.split_once('.')?.0)
        }
        _ => handler.split_once('.')?.0.to_owned(),
    };
    let variables = ["PYTHONPATH", "NODE_PATH", "LAMBDA_TASK_ROOT"];
    let named = variables
        .iter()
        .filter_map(|name| subject.variable(name))
        .flat_map(|list| list.split(':'))
        .map(PathBuf::from);
    let places: Vec<_> = [subject.working_directory()]
        .into_iter()
        .chain(named)
        .collect();
    let is_there = places.iter().any(|place| {
        client.modules.iter().any(|ending| {
            let file = place.join(format!("{module}{ending}"));
            subject.files.find(file).is_some()
        })
    });
    if is_there || installed(subject, &module) {
        return None;
    }
    let own = &places[0];
    let message = format!(
        "no file for the handler \"{}\" in {}",
        shown(handler),
        shown(own)
    );
    Some(Finding::new(&HANDLER_NOT_FOUND, message).at(own))
}

/// Handlers of observability products are packages that are installed.
fn installed(subject: &Subject<'_>, module: &str) -> bool {
    let package = module
        .split('/')
        .find(|part| *part != ".")
        .unwrap_or(module);
    let package = format!("/{package}");
    let mut found = false;
    subject.files.visit("/", &mut |file| {
        found |= file.kind == ImageFileKind::Directory
            && file.path.to_string_lossy().ends_with(&package)
            && ["site-packages", "dist-packages", "node_modules"]
                .iter()
                .any(|home| {
                    file.path
                        .parent()
                        .is_some_and(|parent| parent.ends_with(home))
                });
    });
    found
}
