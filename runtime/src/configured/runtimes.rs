//! Follows the images of runtimes, whichever functions run on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::look::changed;
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
        loop {
            let now = changed(&self.seen, || self.look()).await;
            let other = now
                .iter()
                .filter(|(runtime, identity)| self.seen.get(*runtime) != Some(identity));
            for (runtime, _) in other {
                let renewed = self.control.renew_runtime(runtime).await;
                if let Some(line) = news(runtime, renewed) {
                    (self.say)(&line);
                }
            }
            self.seen = now;
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

/// What to say of a runtime whose image may be another one.
fn news(runtime: &str, renewed: Result<Option<Vec<FunctionName>>, ServiceError>) -> Option<String> {
    match renewed {
        Ok(None) | Err(ServiceError::Interrupted) => None,
        Ok(Some(names)) if names.is_empty() => Some(format!(
            "the image of the runtime {runtime} has changed; no function runs on it"
        )),
        Ok(Some(names)) => {
            let names: Vec<&str> = names.iter().map(FunctionName::as_str).collect();
            let names = names.join(", ");
            Some(format!(
                "the image of the runtime {runtime} has changed: updated {names}. New invocations \
                 meet what is there now"
            ))
        }
        Err(error) => Some(format!("what was served before stays: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_said() {
        let names = |text: &str| {
            let names = text.split_whitespace().map(|name| name.parse().unwrap());
            Ok(Some(names.collect()))
        };
        for (renewed, line) in [
            (Ok(None), None),
            (Err(ServiceError::Interrupted), None),
            (
                names(""),
                Some("the image of the runtime r has changed; no function runs on it"),
            ),
            (
                names("a b"),
                Some(
                    "the image of the runtime r has changed: updated a, b. New invocations meet \
                     what is there now",
                ),
            ),
            (
                Err(ServiceError::Image("gone".to_owned())),
                Some("what was served before stays: gone"),
            ),
        ] {
            assert_eq!(news("r", renewed).as_deref(), line);
        }
    }
}
