//! Whether the program can be executed, as the kernel will look at it.

use std::path::Path;

use lambent_images::{ImageFile, ImageFileKind, Located, Permission, Result};

use super::super::catalogue::{
    DAMAGED_PROGRAM, ENTRY_POINT_MISSING, ENTRY_POINT_NOT_EXECUTABLE, ENTRY_POINT_NOT_FOUND,
    ENTRY_POINT_RELATIVE, ENTRY_POINT_SYMLINK, INTERPRETER_NOT_FOUND, TRUNCATED_PROGRAM,
    WRONG_ARCHITECTURE,
};
use super::super::finding::shown;
use super::super::program::{HEAD, PROGRAM_MAX, Program};
use super::super::subject::permits;
use super::super::{Finding, Rule, Subject};

/// Interpreters of interpreters that the kernel follows.
const INTERPRETERS_MAX: usize = 4;

pub(super) fn check(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let Some(&name) = subject.arguments().first() else {
        return Ok(vec![Finding::new(
            &ENTRY_POINT_MISSING,
            "the image has neither ENTRYPOINT nor CMD",
        )]);
    };
    let Some(path) = subject.program(name) else {
        let message = format!("no directory of PATH has \"{}\"", shown(name));
        return Ok(vec![Finding::new(&ENTRY_POINT_NOT_FOUND, message)]);
    };
    let mut findings = Vec::new();
    if !name.starts_with('/') {
        let message = format!("the program is \"{}\"", shown(name));
        findings.push(Finding::new(&ENTRY_POINT_RELATIVE, message));
    }
    let link = match subject.files.locate(&path) {
        Located::Found(way) => way.into_iter().find(|file| file.path == path),
        _ => None,
    };
    if let Some(ImageFileKind::Symlink(target)) = link.map(|file| file.kind) {
        let message = format!("{} is a link to {}", shown(&path), shown(target));
        findings.push(Finding::new(&ENTRY_POINT_SYMLINK, message).at(&path));
    }
    findings.extend(executable(subject, &path)?);
    Ok(findings)
}

/// What keeps the kernel from executing a program, its interpreters included.
fn executable(subject: &Subject<'_>, path: &Path) -> Result<Option<Finding>> {
    let mut rule: &'static Rule = &ENTRY_POINT_NOT_FOUND;
    let mut wanted = path.to_owned();
    let mut by = String::new();
    for _ in 0..=INTERPRETERS_MAX {
        let file = match located(subject, &wanted, rule, &by) {
            Ok(file) => file,
            Err(finding) => return Ok(Some(finding)),
        };
        let at = |rule, message| {
            let layer = subject.layer_of(&file);
            Some(Finding::new(rule, message).at(&file.path).in_layer(layer))
        };
        let named = shown(&file.path);
        match read(subject, &file)? {
            Program::Script {
                interpreter,
                argument,
            } => {
                if let Some(name) = argument.filter(|name| is_unknown(subject, &interpreter, name))
                {
                    let interpreter = shown(interpreter);
                    let message = format!(
                        "no directory of PATH has \"{}\", which {named} asks {interpreter} for",
                        shown(name)
                    );
                    return Ok(at(&INTERPRETER_NOT_FOUND, message));
                }
                by = format!(", which {named} asks for");
                wanted = subject.working_directory().join(interpreter);
            }
            Program::Elf {
                architecture,
                loader,
            } => {
                let image = &subject.image.config.architecture;
                if architecture != Some(image.as_str()) {
                    let found = architecture.unwrap_or("another machine");
                    return Ok(at(
                        &WRONG_ARCHITECTURE,
                        format!("{named} is for {found}, and the image for {}", shown(image)),
                    ));
                }
                let Some(loader) = loader else {
                    return Ok(None);
                };
                by = format!(", the loader of {named}");
                let finding = located(subject, Path::new(&loader), &INTERPRETER_NOT_FOUND, &by);
                return Ok(finding.err());
            }
            Program::Truncated(end) => {
                let message = format!(
                    "{named} has {} bytes, and its segments reach to byte {end}",
                    file.size
                );
                return Ok(at(&TRUNCATED_PROGRAM, message));
            }
            Program::Damaged(_) if file.size > PROGRAM_MAX => return Ok(None),
            Program::Damaged(reason) => {
                return Ok(at(&DAMAGED_PROGRAM, format!("{named} {reason}")));
            }
            Program::Unknown => {
                let message =
                    format!("{named} is neither a program nor a script with #! in its first line");
                return Ok(at(&WRONG_ARCHITECTURE, message));
            }
        }
        rule = &INTERPRETER_NOT_FOUND;
    }
    let message = format!("{} needs too many interpreters", shown(path));
    Ok(Some(Finding::new(rule, message).at(path)))
}

/// Whether a script has its interpreter looked up by `env`, and there is none of the name.
/// Where PATH comes from elsewhere, and with options and assignments, one cannot tell.
fn is_unknown(subject: &Subject<'_>, interpreter: &str, name: &str) -> bool {
    let looks_up = Path::new(interpreter).file_name() == Some("env".as_ref());
    let is_name = !name.starts_with('-') && !name.contains([' ', '\t', '=', '/']);
    let has_path = subject.variable("PATH").is_some();
    looks_up && is_name && has_path && subject.program(name).is_none()
}

/// What kind of program a file is. Where its head seems damaged, what is missing may
/// come later.
fn read(subject: &Subject<'_>, file: &ImageFile) -> Result<Program> {
    match Program::of(&subject.files.head(&file.path, HEAD)?, file.size) {
        Program::Damaged(_) if file.size > HEAD => {
            let whole = subject.files.head(&file.path, PROGRAM_MAX)?;
            Ok(Program::of(&whole, file.size))
        }
        program => Ok(program),
    }
}

/// The regular file that a path leads to, if Lambda's user may execute it.
fn located(
    subject: &Subject<'_>,
    path: &Path,
    rule: &'static Rule,
    by: &str,
) -> std::result::Result<ImageFile, Finding> {
    let name = shown(path);
    let missing = |message| Err(Finding::new(rule, message).at(path));
    let way = match subject.files.locate(path) {
        Located::Found(way) => way,
        Located::Missing(at) if at == path => {
            return missing(format!("there is no {name}{by}"));
        }
        Located::Missing(at) => {
            return missing(format!("there is no {name}{by}: {} is missing", shown(at)));
        }
        Located::NotDirectory(at) => {
            return missing(format!(
                "there is no {name}{by}: {} is no directory",
                shown(at)
            ));
        }
        Located::Loop => return missing(format!("{name}{by} is a loop of links")),
    };
    let Some((file, above)) = way.split_last() else {
        return missing(format!("there is no {name}{by}"));
    };
    let closed = above
        .iter()
        .find(|step| step.kind == ImageFileKind::Directory && !permits(step, Permission::Execute));
    let refused = match closed {
        Some(directory) => Some((
            directory,
            format!(
                "{name}{by} is in {}, which has mode {:03o} and owner {}",
                shown(&directory.path),
                directory.mode,
                directory.uid
            ),
        )),
        None if file.kind != ImageFileKind::File => {
            Some((file, format!("{name}{by} is no regular file")))
        }
        None if !permits(file, Permission::Execute) => Some((
            file,
            format!(
                "{name}{by} has mode {:03o} and owner {}",
                file.mode, file.uid
            ),
        )),
        None => None,
    };
    match refused {
        None => Ok(file.clone()),
        Some((at, message)) => Err(Finding::new(&ENTRY_POINT_NOT_EXECUTABLE, message)
            .at(&at.path)
            .in_layer(subject.layer_of(at))),
    }
}
