//! A process that answers commands, one JSON line each.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One side of a measurement.
pub(crate) struct Worker {
    name: &'static str,
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `command`, to be called `name` in errors. What it says on standard error goes to ours.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.with_context(|| format!("cannot start {name}: {command:?}"))?;
        let commands = process.stdin.take().context("the pipe was just asked for")?;
        let answers = BufReader::new(process.stdout.take().context("the pipe was just asked for")?);
        Ok(Self { name, process, commands, answers })
    }

    /// The answer to `command`.
    ///
    /// # Errors
    /// When the process has ended, or answers with an error.
    pub(crate) fn ask(&mut self, command: &Value) -> Result<Value> {
        let name = self.name;
        writeln!(self.commands, "{command}").with_context(|| format!("{name} takes no commands any more"))?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!("{name} ended: see its messages above");
        }
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("{name} answers {line:?}, not JSON"))?;
        match answer.get("error") {
            Some(error) => bail!("{name} says: {}", error.as_str().unwrap_or("an error")),
            None => Ok(answer),
        }
    }

    /// The number `field` of the answer to `command`.
    pub(crate) fn number(&mut self, command: &str, field: &str) -> Result<f64> {
        number(&self.ask(&command.into())?, field)
    }
}

/// The number `field` of an answer.
pub(crate) fn number(answer: &Value, field: &str) -> Result<f64> {
    answer[field].as_f64().with_context(|| format!("{answer} has no number `{field}`"))
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It holds nothing that could be lost; one that has ended already is only to be waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
