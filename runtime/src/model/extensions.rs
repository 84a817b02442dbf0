//! The extensions of an environment: who they are, what they wait for, and what
//! each of them may ask. Pure.
//!
//! An *external* extension is a program in `/opt/extensions` with a process of its
//! own; it is known before it registers. An *internal* one is whatever else
//! registers: a part of the runtime's process, which is started after the external
//! ones have registered.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ExitStatus;
use super::extension_error::{ExtensionError, MAX_EXTENSIONS};
use super::extension_state::{ExtensionCall, ExtensionState};
use super::failure::ExtensionFault;

/// An event that an extension can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionEvent {
    /// An invocation begins.
    Invoke,
    /// The environment ends.
    Shutdown,
}

impl fmt::Display for ExtensionEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Invoke => "INVOKE",
            Self::Shutdown => "SHUTDOWN",
        })
    }
}

/// A program of `/opt/extensions`, and what came of starting it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionLaunch {
    /// Its file name.
    pub name: String,
    /// Why it does not run.
    pub failure: Option<LaunchFailure>,
}

/// Why an extension could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchFailure {
    /// Lambda's word for it in the extension's line of the log:
    /// `PermissionDenied`, `TooManyExtensions` or `UnknownError`.
    pub error_type: String,
    /// What the caller is told.
    pub reason: String,
}

/// Names an extension of an environment: its place in the order of their starts
/// and registrations.
pub type ExtensionIndex = usize;

/// An extension, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionInfo {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub state: ExtensionState,
    /// What it asked for, in its own order.
    pub events: Vec<ExtensionEvent>,
    /// Why it failed, in its own words or Lambda's.
    pub error_type: Option<String>,
}

/// How long an environment has to end, which depends on who is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownWindow {
    /// No extensions: nothing is waited for.
    None,
    /// Internal extensions only: for the runtime.
    Internal,
    /// External extensions: for the runtime, then for them.
    External,
}

#[derive(Debug, Clone)]
struct Extension {
    info: ExtensionInfo,
    identifier: Uuid,
    external: bool,
    /// Its process runs.
    alive: bool,
    /// SHUTDOWN has been handed out to it.
    told: bool,
}

impl Extension {
    fn wants(&self, event: ExtensionEvent) -> bool {
        self.info.events.contains(&event)
    }

    fn is_ready(&self) -> bool {
        self.info.state == ExtensionState::Ready
    }

    /// Whether the end of the environment has to wait for it.
    fn is_leaving(&self) -> bool {
        self.external && self.alive && self.wants(ExtensionEvent::Shutdown)
    }
}

/// All extensions of an environment.
#[derive(Debug, Clone, Default)]
pub struct Extensions {
    list: Vec<Extension>,
    closed: bool,
    shutting_down: bool,
    fault: Option<ExtensionFault>,
}

impl Extensions {
    /// The programs of `/opt/extensions` have been started, or not.
    pub fn launched(&mut self, launches: Vec<ExtensionLaunch>) {
        self.list = launches
            .into_iter()
            .map(|launch| Extension {
                alive: launch.failure.is_none(),
                info: ExtensionInfo {
                    name: launch.name,
                    state: match launch.failure {
                        None => ExtensionState::Started,
                        Some(_) => ExtensionState::LaunchError,
                    },
                    events: vec![],
                    error_type: launch.failure.map(|failure| failure.error_type),
                },
                identifier: Uuid::new_v4(),
                external: true,
                told: false,
            })
            .collect();
    }

    /// `register`, with the events in the words of the extension.
    ///
    /// # Errors
    /// Lambda's refusal.
    pub fn register(&mut self, name: &str, events: &[String]) -> Result<Uuid, ExtensionError> {
        if name.is_empty() {
            return Err(ExtensionError::EmptyName);
        }
        let known = self
            .list
            .iter_mut()
            .find(|extension| extension.external && extension.info.name == name);
        let events = parse_events(events, known.is_some())?;
        if let Some(extension) = known {
            let state = extension.info.state.after(ExtensionCall::Register);
            extension.info.state =
                state.map_err(|error| ExtensionError::State(error, name.to_owned()))?;
            extension.info.events = events;
            return Ok(extension.identifier);
        }
        if self.closed {
            return Err(ExtensionError::RegistrationClosed);
        }
        if self.list.len() >= MAX_EXTENSIONS {
            return Err(ExtensionError::TooMany);
        }
        if self.list.iter().any(|other| other.info.name == name) {
            return Err(ExtensionError::NameTaken);
        }
        let identifier = Uuid::new_v4();
        self.list.push(Extension {
            info: ExtensionInfo {
                name: name.to_owned(),
                state: ExtensionState::Registered,
                events,
                error_type: None,
            },
            identifier,
            external: false,
            alive: true,
            told: false,
        });
        Ok(identifier)
    }

    /// `next`: who it is that waits now.
    ///
    /// # Errors
    /// Lambda's refusal.
    pub fn next(&mut self, identifier: Uuid) -> Result<ExtensionIndex, ExtensionError> {
        let index = self
            .find(identifier)
            .ok_or(ExtensionError::UnknownExtension(identifier))?;
        self.step(index, ExtensionCall::Next)?;
        Ok(index)
    }

    /// `init/error` or `exit/error`. Nothing comes of it until the process ends,
    /// which is then for this reason.
    ///
    /// # Errors
    /// Lambda's refusal.
    pub fn report(
        &mut self,
        fault: ReportedFault,
        identifier: Uuid,
        error_type: Option<&str>,
    ) -> Result<(), ExtensionError> {
        let error_type = error_type
            .filter(|error_type| !error_type.is_empty())
            .ok_or(ExtensionError::MissingErrorType)?;
        let index = self
            .find(identifier)
            .ok_or(ExtensionError::UnknownIdentifier)?;
        let (call, fault) = match fault {
            ReportedFault::Init => (ExtensionCall::InitError, ExtensionFault::Init),
            ReportedFault::Exit => (ExtensionCall::ExitError, ExtensionFault::Exit),
        };
        self.step(index, call)?;
        let info = &mut self.list[index].info;
        info.error_type.get_or_insert_with(|| error_type.to_owned());
        self.fault.get_or_insert(fault);
        Ok(())
    }

    /// The runtime has asked for its first event: nobody registers any more.
    pub fn close_registration(&mut self) {
        self.closed = true;
    }

    /// Who has this identifier, and its name.
    pub fn name_of(&self, identifier: Uuid) -> Option<&str> {
        let index = self.find(identifier)?;
        Some(&self.list[index].info.name)
    }

    /// What an extension has reported before its process, or the runtime's, ended.
    pub fn fault(&self) -> Option<ExtensionFault> {
        self.fault
    }

    /// Whether every external extension has registered.
    pub fn all_registered(&self) -> bool {
        self.list
            .iter()
            .all(|extension| extension.info.state != ExtensionState::Started)
    }

    /// Whether every extension waits for an event: INIT is over for them.
    pub fn all_ready(&self) -> bool {
        self.list.iter().all(Extension::is_ready)
    }

    /// Whether everybody who is told of invocations waits for the next one.
    pub fn invocation_done(&self) -> bool {
        self.list
            .iter()
            .filter(|extension| extension.wants(ExtensionEvent::Invoke))
            .all(Extension::is_ready)
    }

    /// An invocation begins: who is to be told.
    pub fn begin_invocation(&mut self) -> Vec<ExtensionIndex> {
        self.wake(ExtensionEvent::Invoke)
    }

    /// The environment ends. Who waits for SHUTDOWN is to be told now; who works
    /// will be when it asks.
    pub fn begin_shutdown(&mut self) -> Vec<ExtensionIndex> {
        self.shutting_down = true;
        let told = self.wake(ExtensionEvent::Shutdown);
        for index in &told {
            self.list[*index].told = true;
        }
        told
    }

    /// Whether this extension, which has just asked for an event, is to be told of
    /// the environment's end. True at most once.
    pub fn owes_shutdown(&mut self, index: ExtensionIndex) -> bool {
        let shutting_down = self.shutting_down;
        let extension = &mut self.list[index];
        let owed = shutting_down && extension.is_leaving() && !extension.told;
        if owed {
            extension.told = true;
            extension.info.state = ExtensionState::Running;
        }
        owed
    }

    /// Whether the environment's end still has to wait for an extension.
    pub fn any_leaving(&self) -> bool {
        self.list.iter().any(Extension::is_leaving)
    }

    /// External extensions that run and are not told of the environment's end.
    pub fn uninterested(&self) -> Vec<ExtensionIndex> {
        let uninterested = |extension: &Extension| {
            extension.external && extension.alive && !extension.is_leaving()
        };
        (0..self.list.len())
            .filter(|index| uninterested(&self.list[*index]))
            .collect()
    }

    /// The process of an external extension has ended.
    pub fn ended(&mut self, index: ExtensionIndex, status: Option<ExitStatus>) {
        let shutting_down = self.shutting_down;
        if let Some(extension) = self.list.get_mut(index) {
            extension.alive = false;
            if shutting_down {
                extension.info.state = match status {
                    Some(ExitStatus::Code(0)) => ExtensionState::Exited,
                    _ => ExtensionState::ShutdownFailed,
                };
            }
        }
    }

    /// How long the environment has to end.
    pub fn window(&self) -> ShutdownWindow {
        if self.list.iter().any(|extension| extension.external) {
            ShutdownWindow::External
        } else if self.list.is_empty() {
            ShutdownWindow::None
        } else {
            ShutdownWindow::Internal
        }
    }

    /// Everybody, for the log.
    pub fn infos(&self) -> impl Iterator<Item = &ExtensionInfo> {
        self.list.iter().map(|extension| &extension.info)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn find(&self, identifier: Uuid) -> Option<ExtensionIndex> {
        self.list.iter().position(|extension| {
            // Before it has registered, nobody knows its identifier.
            extension.identifier == identifier && extension.info.state != ExtensionState::Started
        })
    }

    fn step(&mut self, index: ExtensionIndex, call: ExtensionCall) -> Result<(), ExtensionError> {
        let extension = &mut self.list[index];
        let state = extension.info.state.after(call);
        extension.info.state = state
            .map_err(|error| ExtensionError::State(error, extension.identifier.to_string()))?;
        Ok(())
    }

    /// Those who wait for an event and want this one have it now; who has ended waits
    /// no more.
    fn wake(&mut self, event: ExtensionEvent) -> Vec<ExtensionIndex> {
        let mut woken = vec![];
        for (index, extension) in self.list.iter_mut().enumerate() {
            if extension.alive && extension.is_ready() && extension.wants(event) {
                extension.info.state = ExtensionState::Running;
                woken.push(index);
            }
        }
        woken
    }
}

/// What an extension can report of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedFault {
    /// `init/error`.
    Init,
    /// `exit/error`.
    Exit,
}

/// Reads `Lambda-Extension-Identifier`.
///
/// # Errors
/// It is missing, or not a UUID.
pub fn parse_extension_identifier(header: Option<&str>) -> Result<Uuid, ExtensionError> {
    let header = header
        .filter(|header| !header.is_empty())
        .ok_or(ExtensionError::MissingIdentifier)?;
    Uuid::parse_str(header).map_err(|_| ExtensionError::InvalidIdentifier)
}

/// An event asked for twice is there once.
fn parse_events(events: &[String], external: bool) -> Result<Vec<ExtensionEvent>, ExtensionError> {
    let mut parsed = vec![];
    for event in events {
        let event = match event.as_str() {
            "INVOKE" => ExtensionEvent::Invoke,
            "SHUTDOWN" if external => ExtensionEvent::Shutdown,
            "SHUTDOWN" => return Err(ExtensionError::InternalShutdown),
            _ => return Err(ExtensionError::InvalidEvent(event.clone())),
        };
        if !parsed.contains(&event) {
            parsed.push(event);
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
