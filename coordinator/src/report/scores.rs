//! Pooling the histograms of a gathering into the figures of a report.

use std::collections::BTreeMap;

use consilium_domain::SiteId;
use consilium_metrics::{BinEdge, MergeError, ScoreEnds, ScoreHistogram, Scorecard, SiteScores, youden};
use consilium_protocol::coordinator::{Coordinator, Gathering};

use super::{ReportError, Scores};

/// The threshold that maximises Youden's J on the sum of all sites' histograms. `None` without both classes.
pub(super) fn threshold<T>(
    gathering: &Gathering<T>,
    pick: impl Fn(&T) -> &ScoreHistogram,
) -> Result<Option<BinEdge>, MergeError> {
    Ok(pool(gathering, pick)?.as_ref().and_then(youden))
}

/// The figures of all sites together and of each, with bounds that hold where sites tell scores by groups of patients. `None`
/// when nobody answered.
pub(super) fn scores<T>(
    state: &Coordinator,
    gathering: &Gathering<T>,
    pick: impl Fn(&T) -> &ScoreHistogram,
    threshold: Option<BinEdge>,
) -> Result<Option<Scores>, ReportError> {
    let Some(pooled) = pool(gathering, &pick)? else { return Ok(None) };
    let mut sites = BTreeMap::new();
    for (site, answer) in gathering.answers() {
        sites.insert(site.clone(), Scorecard::of(pick(&answer.value), threshold)?);
    }
    let mut card = Scorecard::of(&pooled, threshold)?;
    if let Some(ends) = ends(state, gathering, &pick)? {
        ends.widen(&pooled, &mut card);
    }
    Ok(Some(Scores { pooled: card, sites, missing: missing(gathering) }))
}

/// Between what the scores may lie that were told by groups of patients; `None` where no site groups.
pub(super) fn ends<T>(
    state: &Coordinator,
    gathering: &Gathering<T>,
    pick: impl Fn(&T) -> &ScoreHistogram,
) -> Result<Option<ScoreEnds>, MergeError> {
    let told = gathering.answers().iter().map(|(site, answer)| SiteScores {
        told: pick(&answer.value),
        grouped: state.fewest_per_score(site).is_some(),
    });
    ScoreEnds::of(&told.collect::<Vec<_>>())
}

/// Who was asked and did not answer, and why.
pub(super) fn missing<T>(gathering: &Gathering<T>) -> BTreeMap<SiteId, String> {
    gathering.closing().map(|closing| closing.missing.clone()).unwrap_or_default()
}

/// The sum of all sites' histograms; `None` when nobody answered.
pub(super) fn pool<T>(
    gathering: &Gathering<T>,
    pick: impl Fn(&T) -> &ScoreHistogram,
) -> Result<Option<ScoreHistogram>, MergeError> {
    let mut answers = gathering.answers().values();
    let Some(first) = answers.next() else { return Ok(None) };
    let mut pooled = pick(&first.value).clone();
    for answer in answers {
        pooled.merge(pick(&answer.value))?;
    }
    Ok(Some(pooled))
}
