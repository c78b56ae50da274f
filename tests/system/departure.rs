//! A site that is killed in the middle of a study: the others finish, and the report hides nothing.

use std::fs;
use std::path::Path;

use consilium_coordinator::report::RoundReport;
use consilium_domain::SiteId;
use consilium_simulator::SimulationReport;

use crate::process::{Process, is_running, send};

/// Three sites, of which two suffice. Twenty rounds take seconds, which leaves time to kill one in their midst.
const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 3 --cases 20 --folds 2 --rounds 10 --local-epochs 3";

/// The process of a site of the simulation that writes to `out`.
fn process_id(out: &Path, site: &str) -> u32 {
    fs::read_to_string(out.join(site).join("process-id")).unwrap().parse().unwrap()
}

fn log(out: &Path) -> String {
    fs::read_to_string(out.join("logs/coordinator.log")).unwrap_or_default()
}

fn contributes(round: &RoundReport, site: &SiteId) -> bool {
    round.contributors.iter().any(|contributor| contributor.site == *site)
}

#[test]
fn the_others_finish_and_the_report_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let options: Vec<&str> = OPTIONS.split_whitespace().collect();
    let mut simulation = Process::simulate(&out, &options);
    simulation.wait_until("some rounds have been validated", |_| {
        log(&out).contains("validate random/t1gd/0 round 2")
    });
    let victim = process_id(&out, "site-2");
    assert!(is_running(victim));
    send(victim, "KILL");
    let stdout = simulation.end().successfully().stdout;

    let text = fs::read_to_string(out.join("report.json")).unwrap();
    let report = serde_json::from_str::<SimulationReport>(&text).unwrap().federated;
    assert_eq!(report.outcome.status, "finished");
    let victim: SiteId = "site-2".parse().unwrap();
    let lanes = &report.arms[0].lanes;
    let rounds: Vec<&RoundReport> = lanes.iter().flat_map(|lane| &lane.rounds).collect();
    assert_eq!(rounds.len(), 20);

    // Nothing it did is lost, nothing it did not do is claimed, and each of its absences has its reason.
    let with_it = rounds.iter().filter(|round| contributes(round, &victim)).count();
    assert!((2..20).contains(&with_it), "{with_it} of 20 rounds had the killed site");
    for round in &rounds {
        assert_eq!(round.contributors.len() + round.missing.len(), 3);
        assert_eq!(contributes(round, &victim), !round.missing.contains_key(&victim));
        assert!(
            round.missing.values().all(|reason| reason.starts_with("connection gone: ")),
            "{:?}",
            round.missing
        );
        assert_eq!(round.missing.keys().filter(|site| **site != victim).count(), 0, "the others took part");
    }
    for lane in lanes {
        let absences: Vec<bool> = lane.rounds.iter().map(|round| !round.missing.is_empty()).collect();
        assert!(absences.is_sorted(), "it never came back: {absences:?}");
        assert!(lane.holdout.as_ref().unwrap().missing.contains_key(&victim));
    }
    let group = &report.arms[0].groups[0];
    assert!(group.holdout.missing.contains_key(&victim) && !group.holdout.sites.contains_key(&victim));

    for missing in ["training of random/t1gd/0 round 10", "hold-out of random/t1gd/1", "fusion of random"] {
        let warning = format!("{missing} went on without site-2: connection gone: ");
        assert!(
            report.warnings.iter().any(|line| line.starts_with(&warning)),
            "{warning}\n{:#?}",
            report.warnings
        );
        assert!(stdout.contains(&format!("warning: {warning}")), "{warning}\n{stdout}");
    }
    assert!(stdout.contains("warning: site-2 ended: signal: 9"), "{stdout}");
}
