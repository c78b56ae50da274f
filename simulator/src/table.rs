//! The closing table of a simulation.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use consilium_client::Gain;
use consilium_domain::SiteId;

use crate::report::{PretrainedWeights, SimulationReport};

impl Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.federated)?;
        if let Some(ideal) = self.simulation.ideal_auc_on_these_patients {
            writeln!(f, "\nAn ideal observer reaches an AUC of {ideal:.3} on these synthetic patients.")?;
        }
        if self.simulation.weights == PretrainedWeights::StandIn {
            writeln!(f, "Pretrained arms started from a stand-in backbone, not from MedicalNet.")?;
        }
        write_baselines(self, f)
    }
}

/// AUC on the same hold-out: each site alone (mean), federated, pooled.
fn write_baselines(report: &SimulationReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(baselines) = &report.simulation.baselines else { return Ok(()) };
    writeln!(f, "\nWhat federating bought (AUC on the same hold-out of all sites)")?;
    writeln!(
        f,
        "{:<11} {:<12} {:>18} {:>10} {:>8}",
        "arm", "modalities", "sites alone, mean", "federated", "pooled"
    )?;
    for arm in &report.federated.arms {
        for group in &arm.groups {
            let name = &group.group.name;
            let federated = group.holdout.pooled.auc.as_ref().map(|auc| auc.value);
            let mut line = format!("{:<11} {name:<12}", arm.arm);
            write!(line, " {:>18}", figure(baselines.mean_local_auc(arm.arm, name)))?;
            write!(line, " {:>10} {:>8}", figure(federated), figure(baselines.pooled_auc(arm.arm, name)))?;
            writeln!(f, "{line}")?;
        }
    }
    write_gains(&baselines.gains, f)
}

/// What each site gained on its own hold-out.
fn write_gains(gains: &BTreeMap<SiteId, Vec<Gain>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if gains.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nWhat each site gained by joining (AUC on its own hold-out, federated against alone)")?;
    for (site, gains) in gains {
        for gain in gains {
            let interval = gain.interval.map_or_else(
                || "unknown".to_owned(),
                |interval| format!("{:+.2} to {:+.2}", interval.lower, interval.upper),
            );
            writeln!(
                f,
                "{:<11} {:<11} {:<12} {:>6.3} {:>6.3}  {:+.3} ({interval})",
                site.as_str(),
                gain.arm,
                gain.group,
                gain.federated,
                gain.alone,
                gain.difference
            )?;
        }
    }
    Ok(())
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}
