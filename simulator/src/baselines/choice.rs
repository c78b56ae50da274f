//! Which baselines a simulation has: those that were named, or all that apply to it.

use std::collections::BTreeSet;

use anyhow::bail;
use consilium_domain::{ClinicalBaseline, Design, Study};

use crate::cli::SimulateArgs;

/// What a model is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Baseline {
    /// Each site's models, trained on its own patients alone: one more study a site.
    LocalOnly,
    /// Models trained on all patients in one place: one more study.
    Pooled,
    /// A logistic regression on age and sex, fitted over all sites at the study's end.
    AgeSex,
    /// The share of methylated patients. It takes nothing but counts, and is in every report.
    Majority,
}

/// The baselines of a simulation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Choice(BTreeSet<Baseline>);

impl Choice {
    /// Whether `baseline` is among them.
    pub(crate) fn has(&self, baseline: Baseline) -> bool {
        self.0.contains(&baseline)
    }

    /// Whether a study of its own is needed for one of them.
    pub(crate) fn trains(&self) -> bool {
        self.has(Baseline::LocalOnly) || self.has(Baseline::Pooled)
    }
}

/// What `--baselines` means for `study`, whose own baseline is changed to fit. Without the option nothing is trained twice
/// and the regression is as the preset has it; without names it is all that apply, and why another does not is told.
///
/// # Errors
/// When a baseline was named that this study cannot have.
pub(crate) fn chosen(args: &SimulateArgs, study: &mut Study) -> anyhow::Result<Choice> {
    if args.no_clinical_baseline {
        study.evaluation.baseline = ClinicalBaseline::None;
    }
    let Some(named) = &args.baselines else { return Ok(Choice::default()) };
    let all = named.is_empty();
    let wanted = match all {
        true => vec![Baseline::LocalOnly, Baseline::Pooled, Baseline::AgeSex, Baseline::Majority],
        false => named.clone(),
    };
    let mut chosen = BTreeSet::new();
    for baseline in wanted {
        match objection(baseline, args, study.evaluation.design) {
            None => _ = chosen.insert(baseline),
            Some(why) if all => println!("left out of --baselines: {why}"),
            Some(why) => bail!("{why}"),
        }
    }
    study.evaluation.baseline = match chosen.contains(&Baseline::AgeSex) {
        true => ClinicalBaseline::AgeSex,
        false => ClinicalBaseline::None,
    };
    Ok(Choice(chosen))
}

/// Why there is no such baseline.
fn objection(baseline: Baseline, args: &SimulateArgs, design: Design) -> Option<String> {
    let several_layouts = args.layout.iter().any(|layout| *layout != args.layout[0]);
    match baseline {
        Baseline::LocalOnly | Baseline::Pooled if design != Design::KFold => Some(format!(
            "local-only and pooled train another number of sites, which has no meaning with --design {}",
            design.name()
        )),
        Baseline::Pooled if several_layouts => {
            Some("pooled has all patients at one site: the folders must be in one layout".into())
        }
        Baseline::AgeSex if args.no_clinical_baseline => {
            Some("age-sex is what --no-clinical-baseline leaves out".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::preset::Preset;
    use crate::sites;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        simulate: SimulateArgs,
    }

    fn choose(options: &str) -> anyhow::Result<(Choice, ClinicalBaseline)> {
        let line = std::iter::once("consilium").chain(options.split_whitespace());
        let args = Line::try_parse_from(line)?.simulate;
        let mut study = Preset::Demo.study(1, sites::names(&args));
        study.evaluation.design = args.design.unwrap_or_default();
        Ok((chosen(&args, &mut study)?, study.evaluation.baseline))
    }

    fn of(baselines: &[Baseline]) -> Choice {
        Choice(baselines.iter().copied().collect())
    }

    #[test]
    fn what_is_named_is_chosen_and_nothing_else() {
        use Baseline::{LocalOnly, Majority, Pooled};
        let none = ClinicalBaseline::None;
        assert_eq!(choose("--baselines local-only").unwrap(), (of(&[LocalOnly]), none));
        assert_eq!(choose("--baselines pooled,majority").unwrap(), (of(&[Pooled, Majority]), none));
        assert!(!choose("--baselines age-sex").unwrap().0.trains());
        assert!(choose("--baselines luck").is_err());
    }

    #[test]
    fn without_names_it_is_all_that_apply() {
        use Baseline::{AgeSex, LocalOnly, Majority, Pooled};
        let (age_sex, none) = (ClinicalBaseline::AgeSex, ClinicalBaseline::None);
        assert_eq!(choose("").unwrap(), (Choice::default(), age_sex), "as the preset has it");
        assert_eq!(choose("--baselines").unwrap(), (of(&[LocalOnly, Pooled, AgeSex, Majority]), age_sex));
        let without = choose("--baselines --no-clinical-baseline --seed 3").unwrap();
        assert_eq!(without, (of(&[LocalOnly, Pooled, Majority]), none));
        let temporal = choose("--baselines --design temporal").unwrap();
        assert_eq!(temporal, (of(&[AgeSex, Majority]), age_sex));
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_was_named() {
        choose("--baselines local-only --design leave-one-site-out").unwrap_err();
        choose("--baselines age-sex --no-clinical-baseline").unwrap_err();
        choose("--baselines pooled --site-data a --site-data b --layout manifest --layout upenn-gbm")
            .unwrap_err();
    }
}
