//! Settings of a function in a suite: the keys of `lambent.toml`.

use super::field::Field;
use super::model::Function;
use super::read::Result;
use crate::model::validate_user_environment;

/// Keys of a function, of a suite or of one case.
pub(super) const KEYS: [&str; 11] = [
    "command",
    "entry_point",
    "environment",
    "ephemeral_storage",
    "function_name",
    "image",
    "layers",
    "memory_size",
    "task_root",
    "timeout",
    "working_directory",
];

/// Changes a function by what is said below a field. Variables are added to those
/// that are there; everything else takes the place of what was.
pub(super) fn apply(field: &Field<'_>, function: &mut Function) -> Result<()> {
    let configuration = &mut function.configuration;
    if let Some(image) = field.get("image") {
        function.image = Some(image.text()?.to_owned());
    }
    if let Some(root) = field.get("task_root") {
        function.task_root = Some(root.text()?.to_owned());
    }
    if let Some(layers) = field.get("layers") {
        function.layers = layers.texts()?;
    }
    if let Some(name) = field.get("function_name") {
        configuration.function_name = parsed(&name)?;
    }
    if let Some(size) = field.get("memory_size") {
        configuration.memory_size = parsed(&size)?;
    }
    if let Some(timeout) = field.get("timeout") {
        configuration.timeout = parsed(&timeout)?;
    }
    if let Some(size) = field.get("ephemeral_storage") {
        configuration.ephemeral_storage = parsed(&size)?;
    }
    if let Some(variables) = field.get("environment") {
        for (name, value) in variables.members()? {
            let value = value.variable()?;
            configuration.environment.insert(name.to_owned(), value);
        }
        validate_user_environment(&configuration.environment)
            .map_err(|error| variables.error(error.to_string()))?;
    }
    let image = &mut configuration.image_config;
    if let Some(program) = field.get("entry_point") {
        let list = program.text_or_texts()?;
        if list.first().is_none_or(String::is_empty) {
            return Err(program.error("names no program: leave it out to use the image's"));
        }
        image.entry_point = Some(list);
    }
    if let Some(command) = field.get("command") {
        image.command = Some(command.text_or_texts()?);
    }
    if let Some(directory) = field.get("working_directory") {
        let path = directory.text()?;
        if !path.starts_with('/') {
            return Err(directory.error("is not an absolute path"));
        }
        image.working_directory = Some(path.to_owned());
    }
    Ok(())
}

fn parsed<T>(field: &Field<'_>) -> Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let value = field.text()?.parse::<T>();
    value.map_err(|error| field.error(error.to_string()))
}
