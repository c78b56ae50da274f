//! `consilium-client evaluate`: a finished study's models on this hospital's labelled patients, who were no part of it.
//!
//! External validation on one's own: the cohort is read as for a study, every patient is predicted by the package's fold models, and the
//! figures are those of a report. Connects to nothing; figures over several hospitals are a study's (docs/designs.md).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use consilium_data::{Cohort, Layout, Subject};
use consilium_domain::{Arm, Label, Seed};
use consilium_metrics::{
    Appraisal, AppraisalSettings, AucEstimate, Confusion, Estimate, ScoreHistogram, auc,
};
use consilium_model::{ComputeDevice, Routes};
use consilium_package::Package;
use serde::Serialize;

use crate::forecasting::{Figures, Forecast, Predictor, RESEARCH_ONLY};

/// Resampling derives from this number, so that the same patients give the same figures.
const SEED: u64 = 1;

/// What `evaluate` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct EvaluateArgs {
    /// The model package: the folder that `consilium-coordinator model export` wrote.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A folder of labelled patients, once for each there is.
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// How those folders are laid out. See docs/layouts.md.
    #[arg(long)]
    layout: Layout,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The processor to compute on.
    #[arg(long, default_value = "auto")]
    device: ComputeDevice,
}

/// How the models did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExternalValidation {
    /// The study's name.
    pub study: String,
    /// The package's arm.
    pub arm: Arm,
    /// Patients of either class who were predicted.
    pub patients: [u32; 2],
    /// Labelled patients who were not, by reason.
    pub not_predicted: BTreeMap<String, u32>,
    /// Scans without a usable label, mask or image, by reason.
    pub excluded: BTreeMap<String, u32>,
    /// Area under the ROC curve; needs both classes. The scores are binned as in the study.
    pub auc: Option<AucEstimate>,
    /// Tests, curves and calibration.
    pub figures: Appraisal,
    /// At the study's threshold.
    pub sensitivity: Option<Estimate>,
    /// At the study's threshold.
    pub specificity: Option<Estimate>,
    /// What the study found on its own hold-out, for patients with all of the package's modalities.
    pub in_the_study: Option<Figures>,
}

/// Carries out `args`.
pub(crate) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let predictor = Predictor::new(Package::open(&args.model)?, args.device.clone(), Routes::Preferred)?;
    let cohort = Cohort::open(args.layout, &args.data)?;
    let found = validate(&predictor, &cohort)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{found}");
    }
    eprintln!("{RESEARCH_ONLY}");
    Ok(ExitCode::SUCCESS)
}

/// The package's models on every case of `cohort`.
///
/// # Errors
/// What went wrong with the models. A patient whose images cannot be used is counted and left out.
pub fn validate(predictor: &Predictor, cohort: &Cohort) -> anyhow::Result<ExternalValidation> {
    let subjects: Vec<Subject> = cohort
        .cases
        .iter()
        .map(|case| Subject { name: case.scan.clone(), images: case.images.clone(), mask: case.mask.clone() })
        .collect();
    let answers = predictor.predict(&subjects)?;
    let mut scores =
        ScoreHistogram::new(predictor.bins()).context("the package's study has no such histogram")?;
    let nobody = Confusion { true_positives: 0, false_negatives: 0, true_negatives: 0, false_positives: 0 };
    let (mut confusion, mut judged) = (nobody, true);
    let (mut not_predicted, mut in_the_study) = (BTreeMap::new(), None);
    for (case, answer) in cohort.cases.iter().zip(answers) {
        let positive = case.label == Label::Methylated;
        match answer {
            Ok(forecast) => {
                scores.record(forecast.probability, positive)?;
                judged &= count(&mut confusion, &forecast, positive);
                if forecast.modalities.len() == predictor.card().modalities.len() {
                    in_the_study = forecast.figures;
                }
            }
            Err(error) => {
                tracing::warn!("a patient is left out: {error}");
                *not_predicted.entry("an image cannot be used, or is missing".to_owned()).or_insert(0) += 1;
            }
        }
    }
    let totals = scores.totals();
    let figures = Appraisal::of(&scores, &[], AppraisalSettings::default(), Seed::from_number(SEED))?;
    let excluded = cohort.exclusions().into_iter();
    Ok(ExternalValidation {
        study: predictor.card().name.clone(),
        arm: predictor.card().arm,
        patients: [totals.positives, totals.negatives],
        not_predicted,
        excluded: excluded.map(|(reason, count)| (reason.reason().to_owned(), count)).collect(),
        auc: auc(&scores),
        figures,
        sensitivity: confusion.sensitivity().filter(|_| judged),
        specificity: confusion.specificity().filter(|_| judged),
        in_the_study,
    })
}

/// Counts a patient by class and call; whether there was a threshold to call by.
fn count(confusion: &mut Confusion, forecast: &Forecast, positive: bool) -> bool {
    let Some(called) = forecast.methylated else { return false };
    let counted = match (positive, called) {
        (true, true) => &mut confusion.true_positives,
        (true, false) => &mut confusion.false_negatives,
        (false, true) => &mut confusion.false_positives,
        (false, false) => &mut confusion.true_negatives,
    };
    *counted += 1;
    true
}

impl fmt::Display for ExternalValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [methylated, unmethylated] = self.patients;
        writeln!(f, "Study {}, arm {}, on patients who were no part of it", self.study, self.arm)?;
        writeln!(f, "{methylated} methylated and {unmethylated} unmethylated patients. 95 % intervals.")?;
        for (reason, count) in self.not_predicted.iter().chain(&self.excluded) {
            writeln!(f, "  left out: {count}, {reason}")?;
        }
        match &self.auc {
            Some(auc) => writeln!(
                f,
                "AUC          {:.3} ({:.3} to {:.3}), bins \u{b1} {:.4}",
                auc.value, auc.interval.lower, auc.interval.upper, auc.quantisation_bound
            )?,
            None => writeln!(f, "AUC          unknown: both classes are needed")?,
        }
        if let Some(chance) = self.figures.chance {
            writeln!(f, "p, chance    {:.4} (permutation test against 0.5)", chance.two_sided)?;
        }
        for (name, estimate) in [("sensitivity", &self.sensitivity), ("specificity", &self.specificity)] {
            if let Some(Estimate { value, interval }) = estimate {
                writeln!(
                    f,
                    "{name}  {value:.3} ({:.3} to {:.3}), at the study's threshold",
                    interval.lower, interval.upper
                )?;
            }
        }
        if let Some(auc) = self.in_the_study.as_ref().and_then(|figures| figures.auc.as_ref()) {
            let (value, lower, upper) = (auc.value, auc.lower, auc.upper);
            write!(f, "In the study the AUC was {value:.3} ({lower:.3} to {upper:.3}), on its hold-out.")?;
        }
        Ok(())
    }
}
