//! `consilium-client net test`: which congestion control suits this line?
//!
//! It measures over QUIC with each controller in turn, and leaves nothing behind. Each side's controller governs what that
//! side sends: ours the uploads, the coordinator's the downloads, which are therefore measured and not compared. Whether
//! the coordinator is reached at all is the doctor's question.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use consilium_process::start_logging;
use consilium_transport::{Congestion, Dialler, Identity, PathSeen, Way};
use serde::Serialize;

use crate::config::Config;

/// A controller is better where it sends so many times as fast: two measurements of one line a few seconds apart differ by
/// less.
const CLEARLY_FASTER: f64 = 1.25;

/// Fewer packets, and a share of them that was lost means nothing.
const TELLING_PACKETS: u64 = 500;

/// What can be asked about the network.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum NetCommand {
    /// Measure the line to the coordinator with each congestion control, and recommend one. Takes up to a minute.
    Test(NetTestArgs),
}

/// What `net test` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct NetTestArgs {
    /// The configuration (TOML); see docs/samples/client.toml.
    #[arg(long)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one controller did.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trial {
    congestion: Congestion,
    up_mbit_per_s: f64,
    down_mbit_per_s: f64,
    path: PathSeen,
}

/// What was measured, and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LineReport {
    coordinator: String,
    trials: Vec<TrialReport>,
    /// What `client.toml` says now.
    present: String,
    recommended: String,
    reason: String,
}

/// A trial as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct TrialReport {
    congestion: String,
    up_mbit_per_s: f64,
    down_mbit_per_s: f64,
    round_trip_ms: f64,
    /// The share of our packets.
    loss: f64,
}

/// Measures, prints, and tells by the exit code whether it could.
pub(crate) fn net(command: &NetCommand) -> anyhow::Result<ExitCode> {
    start_logging();
    let NetCommand::Test(args) = command;
    let config = Config::read(&args.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let report = runtime.block_on(examine(&config))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn examine(config: &Config) -> anyhow::Result<LineReport> {
    let identity = Identity::load(&config.identity)?;
    let mut trials = Vec::new();
    for congestion in [Congestion::Cubic, Congestion::Bbr] {
        trials.push(measure(&config.dialler, congestion, &identity).await?);
    }
    let (recommended, reason) = recommend(&trials);
    Ok(LineReport {
        coordinator: config.coordinator.clone(),
        trials: trials.iter().map(TrialReport::of).collect(),
        present: config.tuning.congestion.to_string(),
        recommended: recommended.to_string(),
        reason,
    })
}

async fn measure(dialler: &Dialler, congestion: Congestion, identity: &Identity) -> anyhow::Result<Trial> {
    let mut dialler = dialler.clone();
    dialler.tuning.congestion = congestion;
    let (probe, _) = dialler.probe(Way::Quic, identity).await;
    let probe = probe.context(
        "the coordinator is not reached over UDP; over TCP the system's own congestion control decides, and \
         `congestion` in client.toml means nothing; `consilium-client doctor` tells what is closed",
    )?;
    let measured = async {
        let up = probe.upload().await?;
        let down = probe.download().await?;
        Ok::<_, anyhow::Error>((up.mbit_per_s(), down.mbit_per_s()))
    };
    let measured = measured.await.with_context(|| format!("nothing was measured with {congestion}"));
    let path = probe.connection().path_seen().unwrap_or_default();
    probe.end().await;
    let (up_mbit_per_s, down_mbit_per_s) = measured?;
    Ok(Trial { congestion, up_mbit_per_s, down_mbit_per_s, path })
}

/// The controller for this line, and why.
fn recommend(trials: &[Trial]) -> (Congestion, String) {
    let speed = |wanted| {
        let of = trials.iter().filter(|trial| trial.congestion == wanted).map(|trial| trial.up_mbit_per_s);
        of.fold(0.0, f64::max)
    };
    let (cubic, bbr) = (speed(Congestion::Cubic), speed(Congestion::Bbr));
    let rates = format!("{bbr:.1} Mbit/s instead of {cubic:.1}");
    if bbr < CLEARLY_FASTER * cubic {
        let reason = if cubic >= CLEARLY_FASTER * bbr {
            format!("bbr is slower here ({rates})")
        } else {
            format!("bbr is not clearly faster here ({rates}), and cubic is fairer to others on the line")
        };
        return (Congestion::Cubic, reason);
    }
    let lossy = |trial: &&Trial| trial.path.packets_sent >= TELLING_PACKETS && trial.path.packets_lost > 0;
    let loss = trials.iter().filter(lossy).map(|trial| trial.path.loss()).fold(0.0, f64::max);
    let why = if loss > 0.0 {
        format!("; {:.2} % of packets are lost on the way, which cubic takes for a full line", loss * 100.0)
    } else {
        String::new()
    };
    (Congestion::Bbr, format!("bbr sends much faster over this line ({rates}){why}"))
}

impl TrialReport {
    fn of(trial: &Trial) -> Self {
        Self {
            congestion: trial.congestion.to_string(),
            up_mbit_per_s: trial.up_mbit_per_s,
            down_mbit_per_s: trial.down_mbit_per_s,
            round_trip_ms: trial.path.round_trip.as_secs_f64() * 1e3,
            loss: trial.path.loss(),
        }
    }
}

impl fmt::Display for LineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The line to {}, over UDP", self.coordinator)?;
        writeln!(f, "{:>12} {:>14} {:>14} {:>12} {:>8}", "congestion", "up", "down", "round trip", "loss")?;
        for trial in &self.trials {
            writeln!(
                f,
                "{:>12} {:>7.1} Mbit/s {:>7.1} Mbit/s {:>9.1} ms {:>6.2} %",
                trial.congestion,
                trial.up_mbit_per_s,
                trial.down_mbit_per_s,
                trial.round_trip_ms,
                trial.loss * 100.0
            )?;
        }
        let change = if self.present == self.recommended { "as it is" } else { "in client.toml" };
        writeln!(f, "\nRecommended: congestion = \"{}\" {change}: {}.", self.recommended, self.reason)?;
        write!(
            f,
            "Downloads go by the coordinator's own choice (`--congestion`): its admin decides that for all sites."
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use consilium_certs::Authority;
    use consilium_transport::{LinkChoice, Listener, ProxyChoice, Tuning};

    use super::*;

    fn trial(congestion: Congestion, up_mbit_per_s: f64, packets_lost: u64) -> Trial {
        let path = PathSeen { round_trip: Duration::from_millis(100), packets_sent: 10_000, packets_lost };
        Trial { congestion, up_mbit_per_s, down_mbit_per_s: 20.0, path }
    }

    #[test]
    fn bbr_is_for_lines_on_which_it_is_clearly_faster() {
        let lossy = [trial(Congestion::Cubic, 1.5, 100), trial(Congestion::Bbr, 45.0, 100)];
        let (recommended, reason) = recommend(&lossy);
        assert_eq!(recommended, Congestion::Bbr);
        assert!(reason.contains("45.0 Mbit/s instead of 1.5") && reason.contains("1.00 %"), "{reason}");
        let same = [trial(Congestion::Cubic, 90.0, 0), trial(Congestion::Bbr, 99.0, 0)];
        let (recommended, reason) = recommend(&same);
        assert_eq!(recommended, Congestion::Cubic);
        assert!(reason.contains("fairer"), "{reason}");
        let slower = [trial(Congestion::Cubic, 90.0, 0), trial(Congestion::Bbr, 40.0, 0)];
        assert!(recommend(&slower).1.contains("slower"));
    }

    #[test]
    fn the_report_says_what_to_write_where() {
        let trials = [trial(Congestion::Cubic, 1.5, 100), trial(Congestion::Bbr, 45.0, 100)];
        let (recommended, reason) = recommend(&trials);
        let report = LineReport {
            coordinator: "c.example.org:4433".into(),
            trials: trials.iter().map(TrialReport::of).collect(),
            present: "cubic".into(),
            recommended: recommended.to_string(),
            reason,
        };
        let text = report.to_string();
        assert!(text.contains("congestion = \"bbr\" in client.toml"), "{text}");
        assert!(text.lines().any(|line| line.contains("cubic") && line.contains("1.00 %")), "{text}");
    }

    #[tokio::test]
    async fn both_controllers_are_measured_at_a_real_door() {
        let authority = Authority::create("North").unwrap();
        let folder = tempfile::tempdir().unwrap();
        authority.issue_coordinator::<&str>(&[]).unwrap().write(&folder.path().join("c")).unwrap();
        authority.issue_site(&"north".parse().unwrap()).unwrap().write(&folder.path().join("s")).unwrap();
        let load = |name: &str| Identity::load(&folder.path().join(name)).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, &load("c"), Tuning::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let dialler = Dialler {
            host: address.ip().to_string(),
            port: address.port(),
            tcp_port: address.port(),
            link: LinkChoice::Auto,
            proxy: ProxyChoice::None,
            tuning: Tuning::default(),
        };
        for congestion in [Congestion::Cubic, Congestion::Bbr] {
            let trial = measure(&dialler, congestion, &load("s")).await.unwrap();
            assert_eq!(trial.congestion, congestion);
            assert!(trial.up_mbit_per_s > 0.0 && trial.down_mbit_per_s > 0.0, "{trial:?}");
            assert!(trial.path.packets_sent > 0 && trial.path.round_trip > Duration::ZERO, "{trial:?}");
        }
    }
}
