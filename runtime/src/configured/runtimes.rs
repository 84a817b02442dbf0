//! Follows the images of runtimes, whichever functions run on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::look::changed_or_due;
use super::retry::{Retry, stays};
use super::source::{Identity, image_identity};
use crate::control_plane::ControlPlane;
use crate::model::FunctionName;
use crate::pool::Pools;
use crate::service_error::ServiceError;

/// The images of runtimes that a service was told of.
pub(crate) struct RuntimeFollower {
    control: Arc<ControlPlane>,
    pools: Arc<Pools>,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    seen: Seen,
}

/// By runtime.
type Seen = BTreeMap<String, Identity>;

impl RuntimeFollower {
    /// Looks at them. Before they are fetched: what changes meanwhile is then seen as a
    /// change.
    pub(crate) async fn new(
        control: Arc<ControlPlane>,
        pools: Arc<Pools>,
        say: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let mut follower = Self {
            control,
            pools,
            say,
            seen: Seen::new(),
        };
        follower.seen = follower.look().await;
        follower
    }

    /// Follows them until it is dropped.
    pub(crate) async fn follow(mut self) {
        if self.seen.is_empty() {
            return;
        }
        let mut retry = Retry::default();
        // Those that have changed and are not served yet.
        let mut due: BTreeSet<String> = BTreeSet::new();
        loop {
            let now = changed_or_due(&self.seen, &mut retry, || self.look()).await;
            let other = now
                .iter()
                .filter(|(runtime, identity)| self.seen.get(*runtime) != Some(identity));
            due.extend(other.map(|(runtime, _)| runtime.clone()));
            self.seen = now;
            self.renew(&mut due, &mut retry).await;
        }
    }

    /// Serves what is due. What cannot be served stays so.
    async fn renew(&self, due: &mut BTreeSet<String>, retry: &mut Retry) {
        let begun = Instant::now();
        let mut errors = vec![];
        for runtime in std::mem::take(due) {
            match self.control.renew_runtime(&runtime).await {
                Ok(None) | Err(ServiceError::Interrupted) => {}
                Ok(Some(names)) => (self.say)(&news(&runtime, &names)),
                Err(error) => {
                    errors.push(error.to_string());
                    due.insert(runtime);
                }
            }
        }
        if due.is_empty() {
            retry.succeeded();
        } else if retry.failed(begun.elapsed()) {
            for error in errors {
                (self.say)(&stays(&error));
            }
        }
    }

    async fn look(&self) -> Seen {
        let (control, pools) = (Arc::clone(&self.control), Arc::clone(&self.pools));
        let work = move || {
            let images = pools.service().images().content();
            let identify = |(runtime, image): (&String, &_)| {
                let identity = image_identity(image, images, control.registries());
                (runtime.clone(), identity)
            };
            control.runtime_images().iter().map(identify).collect()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(seen) => seen,
            // As before.
            Err(_) => self.seen.clone(),
        }
    }
}

/// What to say of a runtime whose image is another one.
fn news(runtime: &str, names: &[FunctionName]) -> String {
    if names.is_empty() {
        return format!("the image of the runtime {runtime} has changed; no function runs on it");
    }
    let names: Vec<&str> = names.iter().map(FunctionName::as_str).collect();
    let names = names.join(", ");
    format!(
        "the image of the runtime {runtime} has changed: updated {names}. New invocations meet \
         what is there now"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_said() {
        for (names, line) in [
            (
                "",
                "the image of the runtime r has changed; no function runs on it",
            ),
            (
                "a b",
                "the image of the runtime r has changed: updated a, b. New invocations meet what \
                 is there now",
            ),
        ] {
            let names = names.split_whitespace().map(|name| name.parse().unwrap());
            assert_eq!(news("r", &names.collect::<Vec<_>>()), line);
        }
    }
}
