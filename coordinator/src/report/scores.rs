//! Pooling the histograms of a gathering into the figures of a report.

use std::collections::BTreeMap;

use consilium_domain::SiteId;
use consilium_metrics::{BinEdge, MergeError, ScoreHistogram, Scorecard, youden};
use consilium_protocol::coordinator::Gathering;

use super::{ReportError, Scores};

/// The threshold that maximises Youden's J on the sum of all sites' histograms. `None` without both classes.
pub(super) fn threshold<T>(
    gathering: &Gathering<T>,
    pick: impl Fn(&T) -> &ScoreHistogram,
) -> Result<Option<BinEdge>, MergeError> {
    Ok(pool(gathering, pick)?.as_ref().and_then(youden))
}

/// The figures of all sites together and of each. `None` when nobody answered.
pub(super) fn scores<T>(
    gathering: &Gathering<T>,
    pick: impl Fn(&T) -> &ScoreHistogram,
    threshold: Option<BinEdge>,
) -> Result<Option<Scores>, ReportError> {
    let Some(pooled) = pool(gathering, &pick)? else { return Ok(None) };
    let mut sites = BTreeMap::new();
    for (site, answer) in gathering.answers() {
        sites.insert(site.clone(), Scorecard::of(pick(&answer.value), threshold)?);
    }
    Ok(Some(Scores { pooled: Scorecard::of(&pooled, threshold)?, sites, missing: missing(gathering) }))
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
