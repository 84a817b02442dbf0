//! A response in parts.

use std::time::Duration;

use lambda_runtime::streaming::{Body, channel};

/// A body that gets its parts with a delay before each, and maybe no end.
pub(crate) fn stream(texts: Vec<String>, delay_ms: u64, abort: bool) -> Body {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for text in texts {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            // Whoever read has gone.
            if sender.send_data(text.into()).await.is_err() {
                return;
            }
        }
        if abort {
            sender.abort();
        }
    });
    body
}
