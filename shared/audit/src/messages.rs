//! Messages as contents. A new message needs a line here, or the workspace does not compile: nothing leaves unnoticed.

use consilium_domain::{OrderId, Study, Task};
use consilium_metrics::{ScoreHistogram, Totals};
use consilium_protocol::admin::{AdminReply, AdminRequest};
use consilium_protocol::{
    BaselineOutcome, FusionDetail, GroupScores, Outcome, Progress, ScoringDetail, ScoringOutcome,
    ToCoordinator, ToSite,
};

use crate::content::{Content, Work};
use crate::words::Code;

impl Content {
    /// What a site says; none for the heads of audit logs, which have records of their own. `task` tells what an
    /// order was about.
    pub fn of_site(message: &ToCoordinator, task: impl FnOnce(&OrderId) -> Option<Task>) -> Option<Self> {
        Some(match message {
            ToCoordinator::Hello { versions, .. } => {
                Self::Hello { oldest_version: versions.oldest, newest_version: versions.newest }
            }
            ToCoordinator::Enlist { study, cohort } => {
                let patients = cohort.modalities.values().map(|counts| {
                    counts.folds.iter().chain([&counts.holdout]).map(|count| u64::from(count.total())).sum()
                });
                Self::Enlistment {
                    study: *study,
                    modalities: cohort.modalities.len() as u32,
                    patients: patients.max().unwrap_or(0),
                    excluded: cohort.excluded.values().map(|count| u64::from(*count)).sum(),
                }
            }
            ToCoordinator::Ready => Self::Ready {},
            ToCoordinator::Answer { order, outcome } => {
                let work = task(order).as_ref().map(Work::of);
                answer(*order, work, outcome)
            }
            ToCoordinator::Failed { order, reason } => Self::Failure {
                order: *order,
                work: task(order).as_ref().map(Work::of),
                reason_bytes: reason.len() as u32,
            },
            ToCoordinator::Fingerprints { study, part, cases, .. } => {
                Self::Fingerprints { study: *study, part: *part, cases: cases.len() as u32 }
            }
            ToCoordinator::Withdraw { study, reason } => {
                Self::Withdrawal { study: *study, reason_bytes: reason.len() as u32 }
            }
            ToCoordinator::Renew { request } => Self::CertificateRequest { bytes: request.len() as u32 },
            ToCoordinator::Progress { order, progress } => {
                let Progress { steps, of, mebibytes } = *progress;
                Self::Progress { order: *order, steps, of, mebibytes }
            }
            ToCoordinator::AuditHead(_) | ToCoordinator::Countersigned(_) => return None,
        })
    }

    /// What the coordinator says; none for the heads of audit logs, which have records of their own.
    pub fn of_coordinator(message: &ToSite) -> Option<Self> {
        Some(match message {
            ToSite::Welcome { version, study, base, .. } => {
                let study = Study::from_json(study).ok().map(|study| study.hash());
                Self::Welcome { version: *version, study, base: *base }
            }
            ToSite::Enlisted => Self::Enlisted {},
            ToSite::Work(order) => Self::WorkOrder {
                order: order.id,
                study: order.study,
                work: Work::of(&order.task),
                model: order.task.model(),
            },
            ToSite::Accepted { order } => Self::Accepted { order: *order },
            ToSite::Rejected { order, rejection } => {
                Self::Rejected { order: *order, reason: Code::new(rejection.code()) }
            }
            ToSite::Finished => Self::Finished {},
            ToSite::Halted { reason } => Self::Halted { reason_bytes: reason.len() as u32 },
            ToSite::Duplicates { exclude, .. } => Self::Duplicates { cases: exclude.len() as u32 },
            ToSite::Withdrawn => Self::Withdrawn {},
            ToSite::Waiting => Self::Waiting {},
            ToSite::Renewed { chain } => Self::CertificateIssued { bytes: chain.len() as u32 },
            ToSite::RenewalRefused { reason } => {
                Self::CertificateRefusal { reason_bytes: reason.len() as u32 }
            }
            ToSite::AuditHead(_) | ToSite::Countersigned(_) => return None,
            ToSite::Delta(delta) => Self::DeltaOffer { model: delta.to, delta: delta.delta },
        })
    }

    /// What an admin or an observer asks for.
    pub fn of_request(request: &AdminRequest) -> Self {
        Self::AdminRequest { command: admin_command(request) }
    }

    /// What an admin or an observer is answered.
    pub fn of_reply(reply: &AdminReply) -> Self {
        match reply {
            AdminReply::Welcome { .. } => Self::AdminWelcome {},
            AdminReply::Page { last, .. } => Self::AdminPage { last: *last },
            AdminReply::Refused(refusal) => Self::AdminRefused { reason: Code::new(refusal.code()) },
        }
    }
}

/// The word for what an admin asks.
pub fn admin_command(request: &AdminRequest) -> Code {
    Code::new(match request {
        AdminRequest::SubmitStudy { .. } => "study-submit",
        AdminRequest::ListStudies => "study-list",
        AdminRequest::ShowStudy { .. } => "study-show",
        AdminRequest::PauseStudy { .. } => "study-pause",
        AdminRequest::ResumeStudy { .. } => "study-resume",
        AdminRequest::AbortStudy { .. } => "study-abort",
        AdminRequest::Report { .. } => "report",
        AdminRequest::AddSite { .. } => "site-add",
        AdminRequest::ListSites => "site-list",
        AdminRequest::RevokeSite { .. } => "site-revoke",
        AdminRequest::RevokeCertificate { .. } => "certificate-revoke",
    })
}

fn answer(order: OrderId, work: Option<Work>, outcome: &Outcome) -> Content {
    match outcome {
        Outcome::Trained(training) => Content::Training {
            order,
            work,
            update: training.update,
            cases: training.cases,
            norm: Some(training.norm).filter(|norm| norm.is_finite()),
            saturated: training.saturated,
        },
        Outcome::Scored(scoring) => scores(order, work, scoring, Vec::new()),
        Outcome::ScoredInDetail(scoring, ScoringDetail { sums, routing, fewest_per_score }) => {
            let beyond = [
                sums.is_some().then_some(Code::new("score-sums")),
                routing.is_some().then_some(Code::new("routing-counts")),
                (*fewest_per_score > 1).then_some(Code::new("scores-of-groups")),
            ];
            scores(order, work, scoring, beyond.into_iter().flatten().collect())
        }
        Outcome::Fused(fusion) => fused_scores(order, work, &fusion.groups, Vec::new()),
        Outcome::FusedInDetail(fusion, FusionDetail { sums, comparisons, folds, fewest_per_score }) => {
            let beyond = [
                sums.iter().any(Option::is_some).then_some(Code::new("score-sums")),
                (!comparisons.is_empty()).then_some(Code::new("arm-comparisons")),
                folds.iter().any(|folds| !folds.is_empty()).then_some(Code::new("scores-by-fold")),
                (*fewest_per_score > 1).then_some(Code::new("scores-of-groups")),
            ];
            fused_scores(order, work, &fusion.groups, beyond.into_iter().flatten().collect())
        }
        Outcome::Regressed(sums) => {
            let most = |count: fn(&Totals) -> u32| {
                sums.iter().map(|sums| u64::from(count(&sums.class_counts()))).max().unwrap_or(0)
            };
            Content::RegressionSums {
                order,
                work,
                folds: sums.len() as u32,
                positives: most(|classes| classes.positives),
                negatives: most(|classes| classes.negatives),
            }
        }
        Outcome::BaselineScored(BaselineOutcome { scores, detail, .. }) => {
            let beyond = [
                detail.sums.iter().any(Option::is_some).then_some(Code::new("score-sums")),
                (!detail.comparisons.is_empty()).then_some(Code::new("arm-comparisons")),
                (detail.fewest_per_score > 1).then_some(Code::new("scores-of-groups")),
            ];
            let beyond = beyond.into_iter().flatten().collect();
            fused_scores(order, work, std::slice::from_ref(scores), beyond)
        }
    }
}

fn scores(order: OrderId, work: Option<Work>, scoring: &ScoringOutcome, beyond: Vec<Code>) -> Content {
    let (positives, negatives) = patients([&scoring.scores]);
    Content::Scores { order, work, bins: bins(&scoring.scores), positives, negatives, beyond }
}

fn fused_scores(order: OrderId, work: Option<Work>, groups: &[GroupScores], beyond: Vec<Code>) -> Content {
    let histograms = groups.iter().flat_map(|group| [&group.validation, &group.holdout]);
    let (positives, negatives) = patients(histograms);
    Content::FusedScores {
        order,
        work,
        groups: groups.len() as u32,
        bins: groups.first().map_or(0, |group| bins(&group.holdout)),
        positives,
        negatives,
        beyond,
    }
}

fn bins(histogram: &ScoreHistogram) -> u32 {
    histogram.positives().len() as u32
}

fn patients<'a>(histograms: impl IntoIterator<Item = &'a ScoreHistogram>) -> (u64, u64) {
    let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
    histograms.into_iter().fold((0, 0), |(positives, negatives), histogram| {
        (positives + sum(histogram.positives()), negatives + sum(histogram.negatives()))
    })
}
