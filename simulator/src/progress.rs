//! How far something is: a bar on a terminal, a line now and then elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Without a terminal a line is written this often at most.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The display of one activity.
pub(crate) struct Progress {
    what: String,
    bar: Option<ProgressBar>,
    began: Instant,
    last_line: Cell<Option<Instant>>,
}

impl Progress {
    /// Begins to show `what`.
    pub(crate) fn start(what: &str) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:<34} {bar:30} {pos}/{len} {prefix} (ETA {eta})");
            let bar = ProgressBar::new(1).with_message(what.to_owned());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        if bar.is_none() {
            println!("{what}");
        }
        Self { what: what.to_owned(), bar, began: Instant::now(), last_line: Cell::new(None) }
    }

    /// `done` of `total` steps are done.
    pub(crate) fn show(&self, done: u32, total: u32, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.into());
            bar.set_prefix(detail.to_owned());
            bar.set_position(done.into());
            return;
        }
        let now = Instant::now();
        if self.last_line.get().is_none_or(|last| now - last >= LINE_INTERVAL) {
            self.last_line.set(Some(now));
            println!("{}: {done}/{total} {detail}{}", self.what, self.eta(done, total));
        }
    }

    /// Writes a line without disturbing the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// Ends the display with `what`.
    pub(crate) fn finish(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        println!("{what} ({:.0} s)", self.began.elapsed().as_secs_f64());
    }

    fn eta(&self, done: u32, total: u32) -> String {
        if done == 0 {
            return String::new();
        }
        let seconds =
            self.began.elapsed().as_secs_f64() * f64::from(total.saturating_sub(done)) / f64::from(done);
        format!(", ETA {seconds:.0} s")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
