//! How the live page is asked for on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use consilium_web::{AccessToken, Login, WebSettings};

use super::TOKEN_FILE;

/// Where the live page is, unless another address is named: only for this machine.
const ON_THIS_MACHINE: &str = "127.0.0.1:4480";

/// Whether there is a live page, where, and for whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct WebArgs {
    /// Serve the live page and /metrics; by default to this machine alone (docs/web.md).
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = ON_THIS_MACHINE)]
    web: Option<SocketAddr>,
    /// How visitors of the page show who they are: `certificate` (of an admin or an observer) or `token` (of
    /// `web-token`). Needed beyond this machine.
    #[arg(long, value_name = "certificate|token", requires = "web")]
    web_login: Option<Login>,
}

impl WebArgs {
    /// As the website wants it.
    pub(crate) fn settings(&self) -> Option<WebSettings> {
        self.web.map(|listen| WebSettings { listen, login: self.web_login })
    }
}

/// What `web-token` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct WebTokenArgs {
    /// The state folder of `run` or `serve`.
    #[arg(long)]
    state: PathBuf,
}

impl WebTokenArgs {
    /// Makes a token, prints it once, and keeps its hash.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        std::fs::create_dir_all(&self.state)
            .with_context(|| format!("the state folder {} cannot be made", self.state.display()))?;
        println!("{}", AccessToken::make(&self.state.join(TOKEN_FILE))?);
        eprintln!("Shown once. An older token is worthless once the coordinator was started again.");
        Ok(ExitCode::SUCCESS)
    }
}
