//! The same seed gives the same study, to the last bit; another seed gives another.

use std::collections::BTreeSet;
use std::path::Path;

use consilium_coordinator::Report;
use consilium_domain::Digest;
use consilium_simulator::SimulationReport;

use crate::process::Process;
use crate::stand_in::backbone;
use crate::timeless::timeless;

const OPTIONS: &str =
    "--arms spottune,random --modalities t1gd --sites 3 --cases 12 --folds 2 --rounds 2 --local-epochs 2";

fn study(folder: &Path, name: &str, seed: &str) -> Report {
    let (out, weights) = (folder.join(name), backbone(folder));
    let mut options: Vec<&str> = OPTIONS.split_whitespace().collect();
    options.extend(["--weights", weights.to_str().unwrap(), "--seed", seed]);
    Process::simulate(&out, &options).end().successfully();
    let text = std::fs::read_to_string(out.join("report.json")).unwrap();
    serde_json::from_str::<SimulationReport>(&text).unwrap().federated
}

/// The digests of everything that was trained.
fn digests(report: &Report) -> BTreeSet<Digest> {
    let lanes = || report.arms.iter().flat_map(|arm| &arm.lanes);
    let rounds = || lanes().flat_map(|lane| &lane.rounds);
    let models = rounds().filter_map(|round| round.model);
    models.chain(rounds().flat_map(|round| &round.contributors).map(|who| who.update)).collect()
}

#[test]
fn a_seed_decides_everything_but_the_time_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let first = study(folder.path(), "first", "11");
    let again = study(folder.path(), "again", "11");
    let other = study(folder.path(), "other", "12");
    // Metrics with all that is resampled, contributors, updates and models.
    assert_eq!(timeless(&first), timeless(&again));
    assert_eq!((&first.labels, first.tests), (&again.labels, again.tests));
    assert_eq!(first.study_hash, again.study_hash);
    for (ours, theirs) in first.sites.iter().zip(&again.sites) {
        assert_eq!((&ours.site, &ours.cohort), (&theirs.site, &theirs.cohort));
    }
    // 2 arms, 2 folds, 2 rounds: 8 models of 3 updates each.
    assert_eq!(digests(&first).len(), 8 + 24);
    assert!(digests(&first).is_disjoint(&digests(&other)));
}
