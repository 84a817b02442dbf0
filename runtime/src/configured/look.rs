//! Looks again and again, until there is something else.

use std::time::{Duration, Instant};

use super::retry::Retry;

/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest part of the time that looking may take, as one of so many: large
/// directories are looked at less often.
const SHARE: u32 = 20;

/// How long everything has to be as it is, before it is taken: whoever writes is
/// done then, in most cases.
const QUIET: Duration = Duration::from_millis(300);

/// Looks until what is there is not what was `seen`, and stays as it is; or until it is
/// time to try again what could not be served.
pub(super) async fn changed_or_due<T: Clone + PartialEq, F: Future<Output = T>>(
    seen: &T,
    retry: &mut Retry,
    look: impl Fn() -> F,
) -> T {
    let changed = changed(seen, look);
    let Some(pause) = retry.pause() else {
        return changed.await;
    };
    tokio::select! {
        now = changed => {
            *retry = Retry::default();
            now
        }
        () = tokio::time::sleep(pause) => seen.clone(),
    }
}

/// Looks until what is there is not what was `seen`, and stays as it is.
async fn changed<T: PartialEq, F: Future<Output = T>>(seen: &T, look: impl Fn() -> F) -> T {
    let (mut now, cost) = loop {
        let begun = Instant::now();
        let now = look().await;
        let cost = begun.elapsed();
        if now != *seen {
            break (now, cost);
        }
        tokio::time::sleep(PAUSE.max(cost * SHARE)).await;
    };
    loop {
        tokio::time::sleep(QUIET.max(cost)).await;
        let again = look().await;
        if again == now {
            return now;
        }
        now = again;
    }
}
