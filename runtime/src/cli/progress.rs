//! What an import shows on standard error: a bar for each layer on a terminal,
//! plain lines elsewhere, nothing with `--quiet`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lambent_images::{Digest, LayerProgress, Progress};

use super::output;

/// Where and how progress appears.
#[derive(Debug)]
pub(super) struct ProgressDisplay(Mutex<State>);

#[derive(Debug)]
enum State {
    Bars {
        all: MultiProgress,
        layers: BTreeMap<Digest, ProgressBar>,
    },
    Lines(BTreeMap<Digest, u64>),
    Nothing,
}

impl ProgressDisplay {
    /// Bars on a terminal, else lines.
    pub(super) fn new(quiet: bool) -> Self {
        Self::choose(quiet, true)
    }

    /// Bars on a terminal, else nothing: standard error is a function's log, and
    /// scripts read it.
    pub(super) fn beside_a_log(quiet: bool) -> Self {
        Self::choose(quiet, false)
    }

    fn choose(quiet: bool, lines: bool) -> Self {
        let state = if !quiet && output::stderr_is_terminal() {
            State::Bars {
                all: MultiProgress::new(),
                layers: BTreeMap::new(),
            }
        } else if !quiet && lines {
            State::Lines(BTreeMap::new())
        } else {
            State::Nothing
        };
        Self(Mutex::new(state))
    }

    /// Takes the bars away. Whoever writes to the terminal next does so on an empty
    /// line.
    pub(super) fn clear(&self) {
        if let State::Bars { all, layers } = &mut *self.lock() {
            for bar in std::mem::take(layers).into_values() {
                bar.finish_and_clear();
            }
            // A terminal that is gone has no bars.
            let _gone = all.clear();
        }
    }

    /// Takes the bars away, and shows nothing from now on, even if work goes on.
    pub(super) fn finish(&self) {
        self.clear();
        *self.lock() = State::Nothing;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for ProgressDisplay {
    fn layer(&self, digest: &Digest, state: LayerProgress) {
        match &mut *self.lock() {
            State::Bars { all, layers } => bar(all, layers, digest, state),
            State::Lines(sizes) => line(sizes, digest, state),
            State::Nothing => {}
        }
    }

    fn waiting(&self) {
        const MESSAGE: &str = "waiting for another lambent that uses the image store";
        match &*self.lock() {
            State::Bars { all, .. } => {
                let _gone = all.println(MESSAGE);
            }
            State::Lines(_) => output::progress(MESSAGE),
            State::Nothing => {}
        }
    }
}

fn bar(
    all: &MultiProgress,
    layers: &mut BTreeMap<Digest, ProgressBar>,
    digest: &Digest,
    state: LayerProgress,
) {
    match state {
        LayerProgress::Started { total } => {
            let bar = all.add(ProgressBar::new(total).with_style(style()));
            bar.set_prefix(short(digest));
            layers.insert(*digest, bar);
        }
        LayerProgress::Advanced { read } => {
            if let Some(bar) = layers.get(digest) {
                bar.set_position(read);
            }
        }
        LayerProgress::Finished => {
            if let Some(bar) = layers.get(digest) {
                bar.finish();
            }
        }
        _ => {}
    }
}

fn style() -> ProgressStyle {
    const TEMPLATE: &str = "{prefix} [{bar:24}] {decimal_bytes:>9} of {decimal_total_bytes:<9} {decimal_bytes_per_sec}";
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn line(sizes: &mut BTreeMap<Digest, u64>, digest: &Digest, state: LayerProgress) {
    let digest_text = short(digest);
    match state {
        LayerProgress::AlreadyStored => {
            output::progress(&format!("layer {digest_text} is stored already"));
        }
        LayerProgress::Started { total } => {
            sizes.insert(*digest, total);
            let size = output::size(total);
            output::progress(&format!("layer {digest_text} {size} started"));
        }
        LayerProgress::Finished => {
            let size = output::size(sizes.remove(digest).unwrap_or(0));
            output::progress(&format!("layer {digest_text} {size} done"));
        }
        _ => {}
    }
}

/// Twelve digits, as other tools show.
fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}
