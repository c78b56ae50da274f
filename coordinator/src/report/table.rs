//! The report as a table for the terminal.

use std::fmt::{self, Display, Write};

use consilium_metrics::{AucEstimate, Estimate, Interval, Scorecard};

use super::Report;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = self.sites.iter().filter(|site| site.cohort.is_some()).count();
        writeln!(
            f,
            "Study {} ({}), {} of {} sites took part",
            self.study.name,
            short(&self.study_hash),
            sites,
            self.sites.len()
        )?;
        for (site, reason) in
            self.sites.iter().filter_map(|site| Some((&site.site, site.withdrawn.as_ref()?)))
        {
            writeln!(f, "{site} withdrew: {reason}")?;
        }
        if let Some(reason) = &self.outcome.reason {
            writeln!(f, "{}: {reason}", self.outcome.status.to_uppercase())?;
        }
        writeln!(f)?;
        writeln!(f, "Hold-out, pooled over sites; fold models and modalities averaged at each site.")?;
        writeln!(f, "Thresholds were fixed on the pooled out-of-fold validation. 95 % intervals.")?;
        writeln!(
            f,
            "{:<11} {:<12} {:>5}  {:<19} {:>6}  {:<19} {:<19}",
            "arm", "modalities", "n", "AUC", "AP", "sensitivity", "specificity"
        )?;
        for arm in &self.arms {
            for group in &arm.groups {
                writeln!(f, "{:<11} {:<12} {}", arm.arm, group.group.name, row(&group.holdout.pooled))?;
            }
        }
        if let Some(clinical) = &self.baselines.clinical {
            let card = clinical.holdout.as_ref().map(|scores| row(&scores.pooled));
            let found = card.or_else(|| clinical.absent.clone()).unwrap_or_else(|| "not scored yet".into());
            writeln!(f, "{:<11} {:<12} {found}", "age and sex", "-")?;
        }
        if !self.warnings.is_empty() {
            writeln!(f, "\n{} warning(s), the first of them:", self.warnings.len())?;
            for warning in self.warnings.iter().take(5) {
                writeln!(f, "  {warning}")?;
            }
        }
        Ok(())
    }
}

/// The figures of one scorecard, in the columns of the table.
pub(super) fn row(card: &Scorecard) -> String {
    let mut text = String::new();
    let precision = card.average_precision.map_or("-".to_owned(), |bracket| format!("{:.3}", bracket.value));
    let _ = write!(
        text,
        "{:>5}  {:<19} {:>6}  {:<19} {:<19}",
        card.positives + card.negatives,
        card.auc.as_ref().map_or("-".to_owned(), auc),
        precision,
        card.sensitivity.as_ref().map_or("-".to_owned(), estimate),
        card.specificity.as_ref().map_or("-".to_owned(), estimate),
    );
    text.trim_end().to_owned()
}

fn auc(auc: &AucEstimate) -> String {
    with_interval(auc.value, &auc.interval)
}

fn estimate(estimate: &Estimate) -> String {
    with_interval(estimate.value, &estimate.interval)
}

fn with_interval(value: f64, interval: &Interval) -> String {
    format!("{value:.3} ({:.2}-{:.2})", interval.lower, interval.upper)
}

fn short(hash: &consilium_domain::StudyHash) -> String {
    hash.digest().short()
}
