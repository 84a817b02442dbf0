//! What waits to be delivered, and the thread that delivers it: no invocation waits
//! for a collector, not even for its turn.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::collector::Collector;
use super::encode;
use super::settings::OtlpSettings;
use super::span::Span;

/// Spans that may wait, a few hundred bytes each.
const ROOM: usize = 8_192;

/// Spans of a request, as OpenTelemetry's exporters have it.
const BATCH: usize = 512;

/// How long the first span of a request waits for others.
const DELAY: Duration = Duration::from_millis(500);

/// How often a request is tried that may be taken the next time.
const TRIES: u32 = 4;

/// Before the second of them; twice as long before each other one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Says a sentence to the user.
pub(crate) type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Delivers spans, or counts those that it cannot deliver.
pub(crate) struct Exporter {
    queue: mpsc::Sender<Span>,
    closing: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    numbers: Arc<Numbers>,
    shown: String,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Exporter");
        shown
            .field("collector", &self.shown)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Numbers {
    made: AtomicU64,
    delivered: AtomicU64,
    lost: AtomicU64,
}

/// What has become of spans so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that the collector has taken.
    pub(crate) delivered: u64,
    /// Those that it will never get.
    pub(crate) lost: u64,
}

impl Exporter {
    /// Begins to deliver, with a thread that ends with [`Exporter::finish`].
    ///
    /// # Errors
    /// There is no client, or no thread.
    pub(crate) fn start(settings: OtlpSettings, say: Say) -> Result<Arc<Self>, String> {
        let collector = Collector::new(settings)?;
        let (queue, waiting) = mpsc::channel(ROOM);
        let closing = watch::Sender::new(false);
        let (ends, ended) = watch::channel(false);
        let numbers = Arc::new(Numbers::default());
        let shown = collector.shown().to_owned();
        let delivery = Delivery {
            collector,
            closing: closing.subscribe(),
            numbers: Arc::clone(&numbers),
            say,
            is_down: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        std::thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                runtime.block_on(delivery.run(waiting));
                ends.send_replace(true);
            })
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(Self {
            queue,
            closing,
            ended,
            numbers,
            shown,
        }))
    }

    /// Takes the spans of an invocation, all or none.
    pub(crate) fn take(&self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        self.numbers.made.fetch_add(count, Ordering::Relaxed);
        match self.queue.try_reserve_many(spans.len()) {
            Ok(permits) => {
                for (permit, span) in permits.zip(spans) {
                    permit.send(span);
                }
            }
            // Full, or ended.
            Err(_) => self.numbers.lose(count),
        }
    }

    /// What has become of spans so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            delivered: self.numbers.delivered.load(Ordering::Relaxed),
            lost: self.numbers.lost.load(Ordering::Relaxed),
        }
    }

    /// Delivers what waits, for so long at most. What to say of the rest.
    pub(crate) async fn finish(&self, limit: Duration) -> Option<String> {
        self.closing.send_replace(true);
        let mut ended = self.ended.clone();
        // What is not delivered by then is counted below.
        let _in_time = tokio::time::timeout(limit, ended.wait_for(|ended| *ended)).await;
        let made = self.numbers.made.load(Ordering::Relaxed);
        let lost = made.saturating_sub(self.counts().delivered);
        let spans = if lost == 1 { "span" } else { "spans" };
        (lost > 0).then(|| {
            format!(
                "{lost} of {made} {spans} have not reached the collector at {}",
                self.shown
            )
        })
    }
}

impl Numbers {
    fn lose(&self, spans: u64) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
    }
}

/// The thread's part.
struct Delivery {
    collector: Collector,
    closing: watch::Receiver<bool>,
    numbers: Arc<Numbers>,
    say: Say,
    /// The last request was not taken, which has been said.
    is_down: bool,
}

impl Delivery {
    async fn run(mut self, mut waiting: mpsc::Receiver<Span>) {
        loop {
            let mut batch = vec![];
            self.collect(&mut waiting, &mut batch).await;
            if batch.is_empty() {
                return;
            }
            self.deliver(batch).await;
        }
    }

    /// Takes what goes into the next request; nothing when all is over.
    async fn collect(&mut self, waiting: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
        let mut closing = self.closing.clone();
        tokio::select! {
            _ = waiting.recv_many(batch, BATCH) => {}
            () = closed(&mut closing) => {}
        }
        let others = async {
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                if waiting.recv_many(batch, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            () = others => {}
            () = tokio::time::sleep(DELAY) => {}
            () = closed(&mut closing) => {}
        }
        // When it closes, what waits goes without waiting.
        while batch.len() < BATCH
            && let Ok(span) = waiting.try_recv()
        {
            batch.push(span);
        }
    }

    async fn deliver(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = encode::request(&batch);
        drop(batch);
        let mut tries = 1;
        let refused = loop {
            let refused = match self.collector.post(body.clone()).await {
                Ok(None) => return self.delivered(count),
                Ok(Some((rejected, reason))) => {
                    let taken = count.saturating_sub(rejected);
                    self.numbers.delivered.fetch_add(taken, Ordering::Relaxed);
                    break (rejected, format!("it rejects spans: {reason}"));
                }
                Err(refused) => refused,
            };
            if !refused.is_passing || tries == TRIES || *self.closing.borrow() {
                break (count, refused.reason);
            }
            // Said before it is given up: whoever waits for a trace learns why.
            self.down(&refused.reason);
            let pause = FIRST_PAUSE * 2_u32.pow(tries - 1);
            tries += 1;
            let mut closing = self.closing.clone();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = closed(&mut closing) => {}
            }
        };
        let (lost, reason) = refused;
        self.numbers.lose(lost);
        self.down(&reason);
    }

    fn delivered(&mut self, count: u64) {
        self.numbers.delivered.fetch_add(count, Ordering::Relaxed);
        if std::mem::take(&mut self.is_down) {
            let shown = self.collector.shown();
            let lost = self.numbers.lost.load(Ordering::Relaxed);
            (self.say)(&format!(
                "traces reach the collector at {shown} again; {lost} spans were lost"
            ));
        }
    }

    /// Says once that the collector does not take what it gets.
    fn down(&mut self, reason: &str) {
        if std::mem::replace(&mut self.is_down, true) {
            return;
        }
        let shown = self.collector.shown();
        (self.say)(&format!(
            "warning: traces do not reach the collector at {shown}: {reason}. Functions run without \
             it, and spans that it does not take in time are lost"
        ));
    }
}

/// Waits for the end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Without the other side it has come, too.
    let _ = closing.wait_for(|closing| *closing).await;
}
