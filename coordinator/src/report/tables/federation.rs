//! Who took part, with what, and how the rounds went.

use std::collections::BTreeMap;

use consilium_domain::{Arm, SiteId};

use super::{Cell, Table, estimate, number, text};
use crate::report::{ContributorReport, LaneReport, Report, RoundReport};

fn every_round(report: &Report) -> impl Iterator<Item = (Arm, &LaneReport, &RoundReport)> {
    let lanes = report.arms.iter().flat_map(|arm| arm.lanes.iter().map(move |lane| (arm.arm, lane)));
    lanes.flat_map(|(arm, lane)| lane.rounds.iter().map(move |round| (arm, lane, round)))
}

/// What each site did in all rounds.
#[derive(Default)]
struct Part {
    contributions: u64,
    missed: u64,
    bytes: u64,
    norms: f64,
    /// Sum and number of the cosines that are known.
    cosines: (f64, u64),
}

pub(super) fn sites(report: &Report) -> Table {
    let mut parts: BTreeMap<&SiteId, Part> = BTreeMap::new();
    for (_, _, round) in every_round(report) {
        for told in &round.contributors {
            let part = parts.entry(&told.site).or_default();
            part.contributions += 1;
            part.bytes += told.update_bytes;
            part.norms += told.norm;
            if let Some(cosine) = told.cosine {
                part.cosines = (part.cosines.0 + cosine, part.cosines.1 + 1);
            }
        }
        round.missing.keys().for_each(|site| parts.entry(site).or_default().missed += 1);
    }
    let none = Part::default();
    let rows = report.sites.iter().map(|site| {
        let part = parts.get(&site.site).unwrap_or(&none);
        let standing = match (&site.withdrawn, &site.cohort) {
            (Some(reason), _) => format!("withdrew: {reason}"),
            (None, Some(_)) => "took part".to_owned(),
            (None, None) => "never enlisted".to_owned(),
        };
        let busy = &site.busy_seconds;
        vec![
            Cell::text(&site.site),
            Cell::text(standing),
            Cell::text(site.software.join(", ")),
            Cell::Count(site.duplicates.map(Into::into)),
            Cell::Count(site.fewest_per_score.map(Into::into)),
            Cell::count(part.contributions),
            Cell::count(part.missed),
            Cell::Number((part.contributions > 0).then(|| part.norms / part.contributions as f64), 4),
            Cell::Number((part.cosines.1 > 0).then(|| part.cosines.0 / part.cosines.1 as f64), 3),
            Cell::count(part.bytes),
            Cell::count(site.bytes_sent),
            Cell::count(site.bytes_received),
            Cell::Number(Some(busy.train), 1),
            Cell::Number(Some(busy.validate + busy.predict_holdout + busy.fuse), 1),
        ]
    });
    Table {
        name: "sites",
        caption:
            "Sites: participation over all rounds, bytes over the network, and seconds each says it worked. Where a number \
             of patients of a score stands, the site told neighbouring scores together, each of at least so many."
                .into(),
        columns: vec![
            text("site", "site"),
            text("standing", "standing"),
            text("software", "program"),
            number("duplicates", "duplicates left out"),
            number("fewest_per_score", "patients of a score"),
            number("contributions", "contributions"),
            number("missed", "rounds missed"),
            number("mean_norm", "mean norm of updates"),
            number("mean_cosine", "mean cosine to the aggregate"),
            number("update_bytes", "bytes of updates"),
            number("bytes_sent", "bytes to it"),
            number("bytes_received", "bytes from it"),
            number("train_secs", "seconds training"),
            number("other_secs", "seconds scoring"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn labels(report: &Report) -> Table {
    let rows = report.labels.iter().flat_map(|shift| {
        shift.sites.iter().map(|(site, share)| {
            vec![
                Cell::text(shift.modality),
                Cell::text(site),
                Cell::count(share.methylated),
                Cell::count(share.unmethylated),
                Cell::of(share.share.as_ref()),
                Cell::Number(share.distance, 3),
            ]
        })
    });
    Table {
        name: "labels",
        caption:
            "Label shift: the classes at each site, folds and hold-out together, with Wilson's interval, and how far the \
             share is from that of all sites together."
                .into(),
        columns: vec![
            text("modality", "modality"),
            text("site", "site"),
            number("methylated", "methylated"),
            number("unmethylated", "unmethylated"),
            estimate("share", "share methylated"),
            number("distance", "from all sites'"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn exclusions(report: &Report) -> Table {
    let told = report.sites.iter().filter_map(|site| Some((&site.site, site.cohort.as_ref()?)));
    let rows = told.flat_map(|(site, cohort)| {
        let row = move |(reason, scans): (&String, &u32)| {
            vec![Cell::text(site), Cell::text(reason), Cell::count(*scans)]
        };
        cohort.excluded.iter().map(row)
    });
    Table {
        name: "exclusions",
        caption: "Scans that were left out, by reason.".into(),
        columns: vec![text("site", "site"), text("reason", "reason"), number("scans", "scans")],
        rows: rows.collect(),
    }
}

/// The mean loss of a round's contributors, weighted as their updates.
pub(in crate::report) fn training_loss(round: &RoundReport) -> Option<f64> {
    (!round.contributors.is_empty())
        .then(|| round.contributors.iter().map(|told| told.weight * told.mean_loss).sum())
}

pub(super) fn rounds(report: &Report) -> Table {
    let row = |(arm, lane, round): (Arm, &LaneReport, &RoundReport)| {
        let missing: Vec<String> =
            round.missing.iter().map(|(site, reason)| format!("{site}: {reason}")).collect();
        let auc = round.validation.as_ref().and_then(|scores| scores.pooled.auc);
        vec![
            Cell::text(arm),
            Cell::text(lane.modality),
            Cell::count(lane.fold.0),
            Cell::count(round.round.0),
            Cell::text(if lane.chosen_round == Some(round.round) { "yes" } else { "" }),
            Cell::count(round.contributors.len() as u64),
            Cell::text(missing.join("; ")),
            Cell::Number(Some(round.opened_secs), 1),
            Cell::Number(round.trained_secs, 1),
            Cell::Number(round.validated_secs, 1),
            Cell::Number(training_loss(round), 4),
            Cell::Number(round.movement.map(|movement| movement.norm), 4),
            Cell::Number(round.movement.map(|movement| movement.drift), 4),
            Cell::Number(round.validation_loss, 4),
            Cell::Estimate(auc.map(|auc| [auc.value, auc.interval.lower, auc.interval.upper])),
        ]
    };
    Table {
        name: "rounds",
        caption: "Every round of every lane. Drift is the root mean square distance between the updates of two sites, drawn \
                  with the weight of their cases."
            .into(),
        columns: vec![
            text("arm", "arm"),
            text("modality", "modality"),
            number("fold", "fold"),
            number("round", "round"),
            text("chosen", "chosen"),
            number("contributors", "contributors"),
            text("missing", "missing"),
            number("opened_secs", "opened, s"),
            number("trained_secs", "trained, s"),
            number("validated_secs", "validated, s"),
            number("training_loss", "training loss"),
            number("movement", "norm of the mean update"),
            number("drift", "drift"),
            number("validation_loss", "validation loss"),
            estimate("validation_auc", "validation AUC"),
        ],
        rows: every_round(report).map(row).collect(),
    }
}

pub(super) fn contributions(report: &Report) -> Table {
    let row = |arm: Arm, lane: &LaneReport, round: &RoundReport, told: &ContributorReport| {
        vec![
            Cell::text(arm),
            Cell::text(lane.modality),
            Cell::count(lane.fold.0),
            Cell::count(round.round.0),
            Cell::text(&told.site),
            Cell::count(told.cases),
            Cell::Number(Some(told.weight), 4),
            Cell::Number(Some(told.norm), 4),
            Cell::Number(told.cosine, 3),
            Cell::count(told.saturated),
            Cell::Number(Some(told.mean_loss), 4),
            Cell::Number(told.tuned_share, 3),
            Cell::Number(Some(told.answered_secs), 1),
            Cell::Number(Some(told.busy_secs), 1),
            Cell::count(told.update_bytes),
            Cell::text(told.update),
        ]
    };
    let rows = every_round(report).flat_map(|(arm, lane, round)| {
        round.contributors.iter().map(move |told| row(arm, lane, round, told))
    });
    Table {
        name: "contributions",
        caption: "Every admitted update.".into(),
        columns: vec![
            text("arm", "arm"),
            text("modality", "modality"),
            number("fold", "fold"),
            number("round", "round"),
            text("site", "site"),
            number("cases", "cases"),
            number("weight", "weight"),
            number("norm", "norm"),
            number("cosine", "cosine to the aggregate"),
            number("saturated", "coordinates cut"),
            number("mean_loss", "training loss"),
            number("tuned_share", "share tuned"),
            number("answered_secs", "came, s"),
            number("busy_secs", "worked, s"),
            number("update_bytes", "bytes"),
            text("update", "digest"),
        ],
        rows: rows.collect(),
    }
}

pub(super) fn routing(report: &Report) -> Table {
    let mut rows = Vec::new();
    for (arm, lane, round) in every_round(report) {
        let Some(routing) = &round.routing else { continue };
        let told = routing.sites.iter().map(|(site, shares)| (site.to_string(), shares));
        for (who, shares) in std::iter::once(("all sites".to_owned(), &routing.pooled)).chain(told) {
            for (block, share) in shares.all.iter().enumerate() {
                let of =
                    |class: &Option<Vec<f64>>| Cell::Number(class.as_ref().map(|shares| shares[block]), 3);
                rows.push(vec![
                    Cell::text(arm),
                    Cell::text(lane.modality),
                    Cell::count(lane.fold.0),
                    Cell::count(round.round.0),
                    Cell::text(&who),
                    Cell::count(block as u64 + 1),
                    Cell::Number(Some(*share), 3),
                    of(&shares.positives),
                    of(&shares.negatives),
                    Cell::Number(Some(shares.entropy), 3),
                ]);
            }
        }
    }
    Table {
        name: "routing",
        caption:
            "Share of validation patients that the policy sent through the fine-tuned copy of each block."
                .into(),
        columns: vec![
            text("arm", "arm"),
            text("modality", "modality"),
            number("fold", "fold"),
            number("round", "round"),
            text("site", "site"),
            number("block", "block"),
            number("share", "share"),
            number("share_methylated", "of methylated"),
            number("share_unmethylated", "of unmethylated"),
            number("entropy_bits", "entropy over blocks, bits"),
        ],
        rows,
    }
}
