//! `consilium-client model verify`: whether a package is what the consortium's coordinator signed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use consilium_package::verify_folder;

/// What can be done with a package but asking it.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ModelCommand {
    /// Compare every byte of a package with its card, and the card with the coordinator's signature.
    Verify(VerifyArgs),
}

/// What `model verify` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// The model package.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The consortium's certificate, as in the identity folder: ca.pem.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
}

/// Carries out `command`.
pub(crate) fn model(command: &ModelCommand) -> anyhow::Result<ExitCode> {
    let ModelCommand::Verify(args) = command;
    let ca = std::fs::read_to_string(&args.ca)
        .with_context(|| format!("the certificate {} cannot be read", args.ca.display()))?;
    print!("{}", verify_folder(&args.model, &ca)?.describe(SystemTime::now()));
    Ok(ExitCode::SUCCESS)
}
