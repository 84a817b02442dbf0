//! What registries and daemons have for references that may come to mean another image.
//! Whoever follows an image asks what was seen of it; registries themselves are asked
//! now and then, for the digest alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lambent_images::{Digest, ImageReference, RegistryReference, daemon_image_id, registry_digest};
use tokio::sync::Notify;

use super::daemons::Daemons;
use crate::images::registry_path;
use crate::service_error::ServiceError;

/// References that somebody follows, with what their registries have said.
#[derive(Debug, Default)]
pub(crate) struct Registries {
    known: Mutex<HashMap<RegistryReference, Known>>,
    daemons: Daemons,
    /// There is one that was never asked for.
    fresh: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// The last answer.
    digest: Option<Digest>,
    /// There was another one before.
    moved: bool,
    /// Somebody has looked since the last round.
    wanted: bool,
    /// There was no answer, which has been said.
    silent: bool,
}

/// Says a sentence to whoever runs the service.
pub(crate) type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

impl Registries {
    /// What a reference was last seen to lead to, if it is a tag of a registry and was
    /// asked for. It will be from now on, as long as somebody looks.
    pub(crate) fn seen(&self, reference: &ImageReference) -> Option<Digest> {
        let reference = tag_of(reference)?;
        let mut known = self.lock();
        if let Some(known) = known.get_mut(&reference) {
            known.wanted = true;
            return known.digest;
        }
        let wanted = Known {
            wanted: true,
            ..Known::default()
        };
        known.insert(reference, wanted);
        self.fresh.notify_one();
        None
    }

    /// The ID of the image that Docker or Podman has under a name, as far as it was seen.
    /// Blocks.
    pub(crate) fn in_daemon(&self, name: &str) -> Option<String> {
        self.daemons
            .id(name, Instant::now(), |name| daemon_image_id(name).ok())
    }

    /// The reference by which an image is fetched: of one that goes by its bare name and
    /// has moved, the store has what was there before.
    pub(super) fn current(&self, reference: ImageReference) -> ImageReference {
        let Some(tag) = tag_of(&reference) else {
            return reference;
        };
        let moved = self.lock().get(&tag).is_some_and(|known| known.moved);
        if moved {
            ImageReference::Registry(tag)
        } else {
            reference
        }
    }

    /// Asks registries again and again, until it is dropped.
    pub(crate) async fn follow(&self, interval: Duration, say: Say<'_>) {
        let mut next = tokio::time::Instant::now();
        loop {
            let all = tokio::select! {
                () = tokio::time::sleep_until(next) => true,
                () = self.fresh.notified() => false,
            };
            for reference in self.due(all) {
                let asked = reference.clone();
                let answer = tokio::task::spawn_blocking(move || registry_digest(&asked)).await;
                let answer = match answer {
                    Ok(Ok(digest)) => Ok(digest),
                    Ok(Err(error)) => Err(ServiceError::from(error).to_string()),
                    Err(panic) => Err(format!("asking for it failed: {panic}")),
                };
                if let Some(line) = self.answered(&reference, answer) {
                    say(&line);
                }
            }
            if all {
                next = tokio::time::Instant::now() + interval;
            }
        }
    }

    /// What to ask for: all that somebody has looked at, or what was never asked for.
    fn due(&self, all: bool) -> Vec<RegistryReference> {
        let mut known = self.lock();
        let due = known.iter_mut().filter(|(_, known)| {
            let fresh = known.digest.is_none() && !known.silent;
            known.wanted && (all || fresh)
        });
        due.map(|(reference, known)| {
            known.wanted = false;
            reference.clone()
        })
        .collect()
    }

    /// Takes an answer, or its absence. What to say of it: nothing while all is well, and
    /// once when it is not.
    fn answered(
        &self,
        reference: &RegistryReference,
        answer: Result<Digest, String>,
    ) -> Option<String> {
        let mut all = self.lock();
        let known = all.entry(reference.clone()).or_default();
        match answer {
            Ok(digest) => {
                known.moved |= known.digest.is_some_and(|before| before != digest);
                known.digest = Some(digest);
                known.silent = false;
                None
            }
            Err(reason) => {
                let said = std::mem::replace(&mut known.silent, true);
                (!said).then(|| {
                    format!(
                        "warning: whether docker://{reference} has changed is not known, and what \
                         is served stays: {reason}"
                    )
                })
            }
        }
    }

    /// All of it; whoever panicked while holding it left it whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<RegistryReference, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tag of a registry that a reference is; a digest is always the same image.
fn tag_of(reference: &ImageReference) -> Option<RegistryReference> {
    let found = match reference {
        ImageReference::Registry(reference) => Some(reference.clone()),
        other => registry_path(other),
    };
    found.filter(|reference| reference.digest.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    fn tag(text: &str) -> RegistryReference {
        tag_of(&reference(text)).unwrap()
    }

    #[test]
    fn only_tags_of_registries_are_asked_for() {
        let registries = Registries::default();
        let digest = Digest::of("a");
        for (text, asked) in [
            ("docker://localhost:5000/f:1", true),
            ("docker://localhost:5000/f", true),
            ("localhost:5000/g:1", true),
            (&format!("docker://localhost:5000/f@{digest}"), false),
            ("oci:dir", false),
            ("my-function", false),
            ("docker-daemon:f:1", false),
        ] {
            assert_eq!(registries.seen(&reference(text)), None, "{text}");
            assert_eq!(!registries.due(false).is_empty(), asked, "{text}");
        }
    }

    #[test]
    fn what_nobody_looks_at_is_not_asked_for() {
        let registries = Registries::default();
        let image = reference("docker://localhost:5000/f:1");
        registries.seen(&image);
        assert_eq!(registries.due(true).len(), 1);
        assert_eq!(registries.due(true).len(), 0);
        registries.seen(&image);
        assert_eq!(registries.due(true).len(), 1);
        // Known ones wait for their turn.
        registries.answered(&tag("docker://localhost:5000/f:1"), Ok(Digest::of("a")));
        registries.seen(&image);
        assert_eq!(registries.due(false).len(), 0);
    }

    #[test]
    fn a_bare_name_comes_from_its_registry_once_it_has_moved() {
        let registries = Registries::default();
        let bare = reference("localhost:5000/f:1");
        let tag = tag("localhost:5000/f:1");
        let from_registry = ImageReference::Registry(tag.clone());
        for (content, expected) in [
            ("a", &bare),
            ("a", &bare),
            ("b", &from_registry),
            // Back again: the store has the one in between.
            ("a", &from_registry),
        ] {
            assert_eq!(registries.answered(&tag, Ok(Digest::of(content))), None);
            assert_eq!(registries.seen(&bare), Some(Digest::of(content)));
            assert_eq!(registries.current(bare.clone()), *expected, "{content}");
        }
    }

    #[test]
    fn silence_is_said_once_and_forgets_nothing() {
        let registries = Registries::default();
        let image = reference("docker://localhost:5000/f:1");
        let tag = tag("docker://localhost:5000/f:1");
        let say = |answer: Result<Digest, String>| registries.answered(&tag, answer).is_some();
        let away = || Err("away".to_owned());
        assert!(!say(Ok(Digest::of("a"))));
        assert!(say(away()));
        assert!(!say(away()));
        assert_eq!(registries.seen(&image), Some(Digest::of("a")));
        assert!(!say(Ok(Digest::of("a"))));
        assert!(say(away()));
    }
}
