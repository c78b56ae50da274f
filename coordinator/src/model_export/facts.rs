//! What a card says of a study's course, from its report: sums over sites, never a site's own row.

use consilium_domain::{ClassCounts, Digest, ModalityCounts};
use consilium_package::{BaseNote, CohortCard, Figures, GroupCard, SiteCounts, StudyFacts};

use crate::report::{ArmReport, GroupReport, Report, Scores};
use crate::weights::{StoreError, WeightsStore};

/// The facts of `arm`.
pub(super) fn of(report: &Report, arm: &ArmReport, date: Option<String>, base: BaseNote) -> StudyFacts {
    StudyFacts {
        software: concat!("consilium-coordinator ", env!("CARGO_PKG_VERSION")).to_owned(),
        date,
        sites: SiteCounts {
            invited: count(report.sites.len()),
            took_part: count(report.sites.iter().filter(|site| site.cohort.is_some()).count()),
            work_without_a_site: count(work_without_a_site(arm)),
        },
        cohort: cohort(report),
        base,
        groups: arm.groups.iter().map(group).collect(),
    }
}

/// What the store of imported weights knows of the backbone. Weights that were given as a file are not in it: then
/// the card says that nothing was recorded.
pub(super) fn base_note(digest: Digest, store: &WeightsStore) -> Result<BaseNote, StoreError> {
    let entry = store.entries()?.into_iter().find(|entry| entry.record.digest == digest);
    Ok(match entry {
        Some(entry) => BaseNote { name: Some(entry.record.name), licence: entry.record.licence },
        None => BaseNote { name: None, licence: None },
    })
}

/// Each order of the arm that a site was asked for and did not answer.
fn work_without_a_site(arm: &ArmReport) -> usize {
    let missing = |scores: &Option<Scores>| scores.as_ref().map_or(0, |scores| scores.missing.len());
    let rounds = arm.lanes.iter().flat_map(|lane| &lane.rounds);
    let of_rounds: usize = rounds.map(|round| round.missing.len() + missing(&round.validation)).sum();
    let of_holdouts: usize = arm.lanes.iter().map(|lane| missing(&lane.holdout)).sum();
    // One order fuses all groups.
    let of_fusion = arm.groups.first().map_or(0, |group| group.holdout.missing.len());
    of_rounds + of_holdouts + of_fusion
}

fn cohort(report: &Report) -> Vec<CohortCard> {
    let of = |modality| {
        let sites = report.sites.iter().filter_map(|site| Some(site.cohort.as_ref()?.counts(modality)));
        let counts: Vec<ModalityCounts> = sites.collect();
        CohortCard {
            modality,
            cross_validation: counts.iter().flat_map(|site| &site.folds).copied().sum::<ClassCounts>().into(),
            holdout: counts.iter().map(|site| site.holdout).sum::<ClassCounts>().into(),
        }
    };
    report.study.modalities.iter().copied().map(of).collect()
}

fn group(report: &GroupReport) -> GroupCard {
    GroupCard {
        name: report.group.name.clone(),
        members: report.group.members.clone(),
        threshold: report.threshold,
        validation: Figures::from(&report.validation.pooled),
        holdout: Figures::from(&report.holdout.pooled),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
