//! `lambent event`: a sample event on standard output.

use super::args::Event;
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use crate::sample::{Choices, SAMPLES, event};

pub(super) fn run(command: &Event) -> Result<ExitStatus, CommandError> {
    let Some(name) = &command.name else {
        return list();
    };
    let choices = Choices {
        region: command.region.clone(),
        account: command.account.clone(),
        body: command.body.clone(),
        bucket: command.bucket.clone(),
        detail_type: command.detail_type.clone(),
        headers: command.header.clone(),
        key: command.key.clone(),
        method: command.method.clone(),
        path: command.path.clone(),
        query: command.query.clone(),
        records: command.records,
        resource: command.resource.clone(),
        source: command.source.clone(),
        subject: command.subject.clone(),
    };
    let event = event(name, &choices).map_err(CommandError::Usage)?;
    output::json_document(&event)?;
    Ok(ExitStatus::Success)
}

fn list() -> Result<ExitStatus, CommandError> {
    let rows: Vec<_> = SAMPLES
        .iter()
        .map(|sample| {
            let options: Vec<_> = sample
                .choices
                .iter()
                .map(|choice| choice.option())
                .collect();
            [
                sample.name.to_owned(),
                sample.about.to_owned(),
                options.join(" "),
            ]
        })
        .collect();
    for line in output::table(&rows) {
        output::line(&line)?;
    }
    Ok(ExitStatus::Success)
}
