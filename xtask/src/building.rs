//! Programs that chores start: built by cargo, found where cargo says they are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Builds an example of `package` for release and says where it is.
///
/// # Errors
/// When cargo cannot build it.
pub(crate) fn build_example(package: &str, example: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut build = Command::new(cargo);
    build.current_dir(root()).args(["build", "--release", "--locked", "--package", package]);
    build.args(["--example", example, "--message-format", "json-render-diagnostics"]);
    let messages = succeed(&mut build)?;
    let messages = String::from_utf8_lossy(&messages);
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_wanted = message["target"]["name"] == example;
        message["executable"].as_str().filter(|_| is_wanted).map(PathBuf::from)
    };
    messages.lines().find_map(executable).with_context(|| format!("cargo built no {example}"))
}

/// What a successful `command` prints.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn succeed(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", output.status);
    }
    Ok(output.stdout)
}
