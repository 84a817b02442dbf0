//! Whether Lambda's user gets at what the function needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lambent_images::{ImageFile, ImageFileKind, Located, Permission};

use super::super::catalogue::{UNREADABLE_FILE, WORKING_DIRECTORY};
use super::super::finding::shown;
use super::super::subject::permits;
use super::super::{Finding, Subject};
use crate::model::TASK_ROOT;

/// Directories that an image has for Lambda, beside its own working directory.
const OF_LAMBDA: [&str; 3] = [TASK_ROOT, "/var/runtime", "/opt"];
/// Directories that the environment has whatever is in the image.
const OF_ENVIRONMENT: [&str; 4] = ["/tmp", "/proc", "/sys", "/dev"];

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = working_directory(subject).into_iter().collect();
    findings.extend(unreadable(subject));
    findings
}

fn working_directory(subject: &Subject<'_>) -> Option<Finding> {
    let stated = subject.stated_working_directory()?;
    let path = Path::new(stated);
    let finding = |message| Some(Finding::new(&WORKING_DIRECTORY, message).at(path));
    let name = shown(stated);
    if !path.is_absolute() {
        return finding(format!("WORKDIR \"{name}\" is not an absolute path"));
    }
    if OF_ENVIRONMENT
        .iter()
        .any(|directory| path == Path::new(directory))
    {
        return None;
    }
    let Located::Found(way) = subject.files.locate(path) else {
        return finding(format!("WORKDIR {name} does not exist in the image"));
    };
    let is_directory = way.last().map(|file| &file.kind) == Some(&ImageFileKind::Directory);
    if !is_directory {
        return finding(format!("WORKDIR {name} is no directory"));
    }
    let closed = way
        .iter()
        .find(|file| file.kind == ImageFileKind::Directory && !permits(file, Permission::Execute));
    closed.and_then(|directory| {
        finding(format!(
            "WORKDIR {name}: uid 993 may not go through {}, mode {:03o}, owner {}",
            shown(&directory.path),
            directory.mode,
            directory.uid
        ))
    })
}

/// One finding for each directory of the function with something closed in it.
fn unreadable(subject: &Subject<'_>) -> Vec<Finding> {
    let own = subject.working_directory();
    let roots = OF_LAMBDA.iter().map(PathBuf::from).chain([own]);
    // The working directory of a careless image is the root, with all of the system.
    let roots: BTreeSet<_> = roots.filter(|path| path.parent().is_some()).collect();
    let mut findings = Vec::new();
    for root in &roots {
        let below_another = roots
            .iter()
            .any(|other| other != root && root.starts_with(other));
        if !below_another {
            findings.extend(unreadable_below(subject, root));
        }
    }
    findings
}

fn unreadable_below(subject: &Subject<'_>, root: &Path) -> Option<Finding> {
    let mut first: Option<ImageFile> = None;
    let mut count = 0;
    subject.files.visit(root, &mut |file| {
        let readable = match file.kind {
            ImageFileKind::Directory => {
                permits(file, Permission::Execute) && permits(file, Permission::Read)
            }
            ImageFileKind::File => permits(file, Permission::Read),
            _ => true,
        };
        if !readable {
            count += 1;
            first.get_or_insert_with(|| file.clone());
        }
    });
    let first = first?;
    let more = match count {
        1 => String::new(),
        count => format!(", and {} more below {}", count - 1, shown(root)),
    };
    let message = format!(
        "{} has mode {:03o} and owner {}:{}{more}",
        shown(&first.path),
        first.mode,
        first.uid,
        first.gid
    );
    let layer = subject.layer_of(&first);
    Some(
        Finding::new(&UNREADABLE_FILE, message)
            .at(&first.path)
            .in_layer(layer),
    )
}
