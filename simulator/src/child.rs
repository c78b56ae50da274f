//! A process this one started: it never outlives us.
//!
//! Its standard input is a pipe that we hold open. However we end, the pipe ends, and the process stops by itself;
//! where we end in good order, it is killed at once.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use tokio::process::{ChildStdout, Command};

/// A running process and its name for messages.
pub(crate) struct Child {
    pub(crate) name: String,
    process: tokio::process::Child,
}

impl Child {
    /// Starts this very program with `arguments`; its log goes to `log`.
    pub(crate) fn start(name: &str, arguments: &[&str], threads: usize, log: &Path) -> anyhow::Result<Self> {
        let log_file =
            File::create(log).with_context(|| format!("the log {} cannot be written", log.display()))?;
        let mut command = Command::new(std::env::current_exe().context("this program cannot find itself")?);
        command
            .args(arguments)
            .arg("--stop-with-stdin")
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "consilium=info,warn");
        }
        let process = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { name: name.to_owned(), process })
    }

    /// The process's standard output, once.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// The process id.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the end of the process without closing its input.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let input = self.process.stdin.take();
        let status = self.process.wait().await;
        drop(input);
        status
    }
}
