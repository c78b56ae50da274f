//! Times rounds of a large model and of a tiny one: ours, and in alternation other systems where their scripts are at hand.
//! What else the machine does meets all of them.
//!
//! Ours is `simulator/examples/trial round`: real processes, QUIC and mutual TLS over loopback, both daemons whole with
//! their event log, audit logs and disks; only the training is missing. The others are started by a script `one.sh` that
//! appends a line of JSON for each run; a raw-socket floor with mutual TLS tells what the machine can do at all.

mod peers;
mod row;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::building::{build_example, succeed};
use peers::Peers;
use row::{Row, table};

/// Options of `bench-round`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run the other systems too: the folder of their `one.sh`.
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// Which of them.
    #[arg(long, value_delimiter = ',', default_value = "floor,nvflare,flower")]
    systems: Vec<String>,
    /// Their virtual environments; else what `one.sh` takes by itself.
    #[arg(long, value_name = "DIR", requires = "peers")]
    venvs: Option<PathBuf>,
    /// Numbers of sites.
    #[arg(long, value_delimiter = ',', default_value = "2,4")]
    sites: Vec<u16>,
    /// Rounds of each of the two lanes of ours; the others do as many as one lane.
    #[arg(long, default_value_t = 4)]
    rounds: u16,
    /// How often everything is run.
    #[arg(long, default_value_t = 1)]
    repeat: u16,
    /// Where our daemons keep their state; else in the system's temporary folder.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Where to write all that was measured, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is moved: the network, as ours and as the others call it, and our wires.
const WORKLOADS: [(&str, &str, &[&str]); 2] =
    [("large", "resnet50", &["f32", "bf16", "int8"]), ("tiny", "tiny", &["f32"])];

/// Measures, prints.
///
/// # Errors
/// When a run of ours fails. One of another system that fails is told and left out.
pub(crate) fn run(options: &Options) -> Result<()> {
    let trial = build_example("consilium-simulator", "trial")?;
    let peers =
        options.peers.as_ref().map(|folder| Peers::new(folder, options.venvs.as_deref())).transpose()?;
    let mut rows = Vec::new();
    for _ in 0..options.repeat {
        for &sites in &options.sites {
            for (ours, theirs, wires) in WORKLOADS {
                for wire in wires {
                    let mut command = Command::new(&trial);
                    let (sites, rounds) = (sites.to_string(), options.rounds.to_string());
                    command.args([
                        "round", "--sites", &sites, "--rounds", &rounds, "--model", ours, "--wire", wire,
                    ]);
                    if let Some(scratch) = &options.scratch {
                        command.arg("--scratch").arg(scratch);
                    }
                    let told = succeed(&mut command)?;
                    let row =
                        Row::of_ours(&serde_json::from_slice(&told).context("our trial told no JSON")?)?;
                    eprintln!("{row}");
                    rows.push(row);
                }
                for system in peers.iter().flat_map(|_| &options.systems) {
                    let peers = peers.as_ref().expect("there are systems only where there are peers");
                    match peers.run(system, sites, theirs, options.rounds) {
                        Ok(row) => {
                            eprintln!("{row}");
                            rows.push(row);
                        }
                        Err(error) => eprintln!("{system}, {sites} sites, {theirs}: left out: {error:#}"),
                    }
                }
            }
        }
    }
    println!("{}", table(&rows));
    if let Some(file) = &options.out {
        let report = json!({ "schema": "consilium-bench-round/1", "rows": rows.iter().map(Row::json).collect::<Vec<_>>() });
        std::fs::write(file, format!("{report:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
