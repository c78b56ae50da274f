//! What a design says that pooled figures do not.

use consilium_domain::{Arm, Design, Modality, SiteId, Study};
use consilium_metrics::Scorecard;
use serde::{Deserialize, Serialize};

use super::ArmReport;

/// A site under the model of the lane that left it out: no patient of it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOutSite {
    /// Which.
    pub site: SiteId,
    /// The arm.
    pub arm: Arm,
    /// The modality.
    pub modality: Modality,
    /// Its patients that other lanes trained on. The lane's round was chosen on them: of several rounds the best, so
    /// the figures flatter.
    pub validation: Option<Scorecard>,
    /// Its hold-out, which chose nothing, at the threshold of the validation.
    pub holdout: Option<Scorecard>,
}

/// Every site under every arm and modality, where the study leaves sites out one after the other.
pub(super) fn left_out(study: &Study, arms: &[ArmReport]) -> Vec<LeftOutSite> {
    if study.evaluation.design != Design::LeaveOneSiteOut {
        return Vec::new();
    }
    let mut found = Vec::new();
    for site in &study.federation.sites {
        let own = study.fold_of(site);
        for arm in arms {
            for lane in arm.lanes.iter().filter(|lane| Some(lane.fold) == own) {
                let of_it = |scores: &Option<super::Scores>| scores.as_ref()?.sites.get(site).copied();
                found.push(LeftOutSite {
                    site: site.clone(),
                    arm: arm.arm,
                    modality: lane.modality,
                    validation: of_it(&lane.validation),
                    holdout: of_it(&lane.holdout),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use consilium_protocol::Timestamp;

    use super::*;
    use crate::report::Report;
    use crate::scene::{Scene, study};

    #[test]
    fn each_site_is_listed_under_the_lane_that_left_it_out() {
        let mut study = study();
        study.evaluation.design = Design::LeaveOneSiteOut;
        let report = Report::of(&Scene::finished_with(study).state, Timestamp(100_000)).unwrap();
        let listed: Vec<_> = report.left_out.iter().map(|left| (left.site.to_string(), left.arm)).collect();
        assert_eq!(listed, [("a".to_owned(), Arm::Random), ("b".to_owned(), Arm::Random)]);
        assert!(report.left_out.iter().all(|left| left.holdout.is_some_and(|card| card.positives == 3)));
        let other = Report::of(&Scene::finished().state, Timestamp(100_000)).unwrap();
        assert!(other.left_out.is_empty());
    }
}
