//! Where time and memory go: a trace in Chrome's format, which <https://ui.perfetto.dev> opens.
//!
//! It holds names and durations of steps, and what is logged at info: no patient, no score, no weight.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{Level, Metadata, Subscriber};
use tracing_chrome::{ChromeLayerBuilder, FlushGuard, TraceStyle};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::memory::Memory;

/// How often memory is looked at: steps take longer, and a week has no more than millions of these lines.
const MEMORY_EVERY: Duration = Duration::from_millis(250);
/// Ours start with this.
const OURS: &str = "consilium";

/// Why no trace is written.
#[derive(Debug, thiserror::Error)]
#[error("the trace {} cannot be written: name another file for --profile", path.display())]
pub struct ProfileError {
    path: PathBuf,
    source: io::Error,
}

/// A trace that is being written. It is complete when this has been dropped.
#[must_use = "dropped at once it holds nothing"]
pub struct Profile {
    /// Dropped first: its end is what ends the thread.
    stop: Option<Sender<()>>,
    memory: Option<JoinHandle<()>>,
    _written: FlushGuard,
}

/// Writes spans and events to `path`.
pub(crate) fn layer<S>(path: &Path) -> Result<(impl Layer<S> + use<S>, Profile), ProfileError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let failed = |source| ProfileError { path: path.to_owned(), source };
    let file = io::BufWriter::new(File::create(path).map_err(failed)?);
    let (layer, written) = ChromeLayerBuilder::new()
        .writer(file)
        .include_args(true)
        .include_locations(false)
        .trace_style(TraceStyle::Async)
        .build();
    let (stop, stopped) = channel();
    let memory = std::thread::spawn(move || {
        while stopped.recv_timeout(MEMORY_EVERY) == Err(RecvTimeoutError::Timeout) {
            if let Some(Memory { resident_mib, peak_mib }) = Memory::of_this_process() {
                tracing::debug!(name: "memory", target: "consilium_process", resident_mib, peak_mib);
            }
        }
    });
    let profile = Profile { stop: Some(stop), memory: Some(memory), _written: written };
    Ok((layer.with_filter(filter_fn(is_shown)), profile))
}

/// All of our spans, memory, and what is logged at info.
fn is_shown(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target().starts_with(OURS) && *metadata.level() <= Level::DEBUG;
    ours && (metadata.is_span() || *metadata.level() <= Level::INFO || metadata.name() == "memory")
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.stop = None;
        // A thread that panicked has nothing more to write.
        let _ = self.memory.take().map(JoinHandle::join);
    }
}
