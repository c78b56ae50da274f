//! `consilium-coordinator model`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Subcommand;
use consilium_domain::Arm;
use consilium_package::{Standing, Verified};

use super::{ModelExport, export};
use crate::contributors;
use crate::weights::{DEFAULT_STORE, WeightsStore};

/// Models of a finished study.
#[derive(Debug, Clone, Subcommand)]
pub enum ModelCommand {
    /// Write the models of one arm, with their card and signature, to a new folder.
    Export {
        /// The state folder of the study.
        #[arg(long)]
        state: PathBuf,
        /// Which arm: spottune, medicalnet or random.
        #[arg(long)]
        arm: Arm,
        /// Folder with ca.pem, cert.pem and key.pem of the coordinator, who signs.
        #[arg(long)]
        identity: PathBuf,
        /// The package's folder, which must not exist.
        #[arg(long)]
        out: PathBuf,
        /// The day of the export (YYYY-MM-DD). [default: none, so that the same study gives the same card]
        #[arg(long)]
        date: Option<String>,
        /// Folder of imported weights, which know the backbone's name and licence.
        #[arg(long, default_value = DEFAULT_STORE)]
        weights_store: PathBuf,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Verify and print the signed lists of who is in which model of a study, and who is missing and why.
    Contributors {
        /// The state folder of the study.
        #[arg(long)]
        state: PathBuf,
        /// The consortium's ca.pem.
        #[arg(long)]
        ca: PathBuf,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

impl ModelCommand {
    /// Carries the command out and prints what it wrote or found.
    ///
    /// # Errors
    /// When there is nothing to export or to show, or it cannot be read, signed or written.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (state, arm, identity, out, date, weights_store, json) = match self {
            Self::Export { state, arm, identity, out, date, weights_store, json } => {
                (state, arm, identity, out, date, weights_store, json)
            }
            Self::Contributors { state, ca, json } => {
                contributors::show(&state, &ca, json)?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        let weights_store = WeightsStore::new(&weights_store);
        let order = ModelExport { state_dir: state, arm, identity_dir: identity, out, date, weights_store };
        let written = export(&order).await?;
        if json {
            println!("{}", serde_json::to_string_pretty(&summary(&written))?);
        } else {
            print(&written);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(written: &Verified) {
    let now = SystemTime::now();
    print!("{}", written.describe(now));
    if written.signer.standing(now) != Standing::Current {
        eprintln!(
            "warning: readers will be told that the certificate is not valid today: export with a new kit"
        );
    }
    println!("\nResearch, not diagnosis: read card.md before use.");
}

fn summary(written: &Verified) -> serde_json::Value {
    let card = written.package.card();
    serde_json::json!({
        "package": written.package.folder(),
        "study": card.study_hash,
        "arm": card.arm,
        "files": card.files,
        "signer": written.signer,
    })
}
