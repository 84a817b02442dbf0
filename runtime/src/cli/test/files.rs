//! Suites from files, and new expectations back into them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use lambent_images::ImageReference;

use super::super::args::{LayerSource, Test};
use super::super::exit_status::CommandError;
use super::super::output;
use super::transformer::Transformer;
use crate::configured;
use crate::suite::{self, Case, Edit, Outside, Suite};
use crate::user_file;

/// The longest suite that is read, in bytes.
const MAX_SUITE: u64 = 4 << 20;

/// The longest file that a suite may name: more than the longest event.
const MAX_FILE: u64 = 8 << 20;

/// A suite, and the text that it was read from.
#[derive(Debug)]
pub(super) struct LoadedSuite {
    path: PathBuf,
    text: String,
    suite: Suite,
}

/// A case that is to be run, with paths that do not depend on its file.
#[derive(Debug)]
pub(super) struct SelectedCase {
    /// The number of its suite.
    pub(super) suite: usize,
    pub(super) case: Case,
    pub(super) image: ImageReference,
    /// Where it is said which image that is.
    pub(super) named_by: String,
    pub(super) task_root: Option<PathBuf>,
    pub(super) layers: Vec<LayerSource>,
}

impl SelectedCase {
    /// Whether it has files of its own over the image's.
    pub(super) fn needs_store(&self) -> bool {
        self.task_root.is_some() || !self.layers.is_empty()
    }
}

impl LoadedSuite {
    /// As the user named it.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes new expectations into its file.
    pub(super) fn update(&self, edits: &[Edit]) -> Result<(), String> {
        let text = suite::updated(&self.text, edits)?;
        let write = || {
            // A link stays one.
            let path = self.path.canonicalize()?;
            let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&path))?;
            file.write_all(text.as_bytes())?;
            file.as_file()
                .set_permissions(path.metadata()?.permissions())?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok::<_, std::io::Error>(())
        };
        write().map_err(|error| format!("it cannot be written: {error}"))
    }
}

/// Reads the suites of the command line.
pub(super) fn load(command: &Test) -> Result<Vec<LoadedSuite>, CommandError> {
    command
        .suites
        .iter()
        .map(|path| read(command, path))
        .collect()
}

fn read(command: &Test, path: &Path) -> Result<LoadedSuite, CommandError> {
    let wrong =
        |error: &dyn std::fmt::Display| CommandError::Usage(format!("{}: {error}", path.display()));
    let bytes = content(path, MAX_SUITE).map_err(|error| wrong(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
    let files = |name: &str| content(&base(path).join(name), MAX_FILE);
    // What AWS's form names is in the folder that is mounted.
    let in_task_root = |name: &str| match &command.task_root {
        Some(root) if root.join(name).exists() => content(&root.join(name), MAX_FILE),
        _ => files(name),
    };
    let transformer = Transformer::default();
    let outside = Outside {
        files: &in_task_root,
        transform: &|filter| transformer.transform(filter),
    };
    let suite = suite::read(&text, outside).map_err(|error| wrong(&error))?;
    for warning in &suite.warnings {
        output::diagnostic(&format!("warning: {}: {warning}", path.display()));
    }
    Ok(LoadedSuite {
        path: path.to_owned(),
        text,
        suite,
    })
}

fn content(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    let read = user_file::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if read as u64 > limit {
        return Err(format!("it has more than {} MB", limit >> 20));
    }
    Ok(bytes)
}

/// What paths in a file are relative to.
fn base(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// The cases that are to be run.
pub(super) fn select(
    command: &Test,
    suites: &[LoadedSuite],
) -> Result<Vec<SelectedCase>, CommandError> {
    let wanted = |name: &str| {
        command.filter.is_empty()
            || command
                .filter
                .iter()
                .any(|part| name.contains(part.as_str()))
    };
    let mut selected = vec![];
    for (number, suite) in suites.iter().enumerate() {
        for case in &suite.suite.cases {
            if wanted(&case.name) {
                selected.push(located(command, suite, number, case)?);
            }
        }
    }
    if selected.is_empty() {
        return Err(CommandError::Usage(format!(
            "no case has \"{}\" in its name (--filter), so nothing would be tested",
            command.filter.join("\" or \"").escape_debug()
        )));
    }
    Ok(selected)
}

fn located(
    command: &Test,
    suite: &LoadedSuite,
    number: usize,
    case: &Case,
) -> Result<SelectedCase, CommandError> {
    let wrong = |error: &str| {
        let name = case.name.escape_debug();
        CommandError::Usage(format!(
            "{}: case \"{name}\": {error}",
            suite.path.display()
        ))
    };
    let base = base(&suite.path);
    let (image, named_by) = match (&command.image, &case.function.image) {
        (Some(image), _) => (image.clone(), "--image".to_owned()),
        (None, Some(image)) => {
            let image = configured::image(image, base)
                .parse()
                .map_err(|error: lambent_images::Error| wrong(&error.to_string()))?;
            (image, format!("{}: image", suite.path.display()))
        }
        (None, None) => {
            return Err(wrong(
                "it is not said which image is tested: write `image: my-function.tar` in the \
                 suite, or pass --image",
            ));
        }
    };
    let own_root = case.function.task_root.as_ref();
    let task_root = command.task_root.clone();
    let layers = case
        .function
        .layers
        .iter()
        .map(|layer| match layer.parse() {
            Ok(LayerSource::Path(path)) => LayerSource::Path(base.join(path)),
            Ok(published) => published,
            Err(never) => match never {},
        });
    Ok(SelectedCase {
        suite: number,
        case: case.clone(),
        image,
        named_by,
        task_root: task_root.or_else(|| own_root.map(|root| base.join(root))),
        layers: layers.collect(),
    })
}

/// Which of the selected cases share an environment, by their numbers among them.
pub(super) fn groups(suites: &[LoadedSuite], cases: &[SelectedCase]) -> Vec<Vec<usize>> {
    let mut groups = vec![];
    for number in 0..suites.len() {
        let own: Vec<usize> = (0..cases.len())
            .filter(|index| cases[*index].suite == number)
            .collect();
        let planned = suite::plan(own.iter().map(|index| {
            let case = &cases[*index].case;
            (case, &case.function)
        }));
        let selected = |group: Vec<usize>| group.into_iter().map(|index| own[index]).collect();
        groups.extend(planned.into_iter().map(selected));
    }
    groups
}
