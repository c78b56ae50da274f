//! What the models say of one scan, for people and for programs.

use std::fmt;

use consilium_domain::{Fold, Modality};
use consilium_package::{Card, Figure};
use serde::Serialize;

/// Said wherever a forecast is shown.
pub const RESEARCH_ONLY: &str = "Research software, no medical device: not for diagnosis or treatment. MGMT prediction from MRI is contested; \
     large studies find no better than chance.";

/// One model's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoldForecast {
    /// The fold that the model was not trained on.
    pub fold: Fold,
    /// Probability of methylation.
    pub probability: f32,
    /// Its logit.
    pub logit: f32,
    /// For each residual block the share of routings through its fine-tuned copy; empty without SpotTune.
    pub tuned: Vec<f32>,
}

/// The answers of all fold models of a modality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModalityForecast {
    /// Which modality.
    pub modality: Modality,
    /// The mean probability over the folds.
    pub probability: f32,
    /// The models.
    pub folds: Vec<FoldForecast>,
}

/// What such answers were worth on the study's hold-out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The group of modalities.
    pub group: String,
    /// Hold-out patients, methylated and unmethylated.
    pub patients: [u32; 2],
    /// Area under the ROC curve.
    pub auc: Option<Figure>,
    /// At the threshold.
    pub sensitivity: Option<Figure>,
    /// At the threshold.
    pub specificity: Option<Figure>,
}

/// What the models say of one scan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// The study's name.
    pub study: String,
    /// Probability of methylation: the mean over modalities of the means over folds.
    pub probability: f32,
    /// The lowest and the highest mean over modalities of one fold's models.
    pub spread: [f32; 2],
    /// The probability at and above which the study called a patient methylated; `None` where it has no figure for
    /// these modalities.
    pub threshold: Option<f64>,
    /// Whether the probability reaches the threshold.
    pub methylated: Option<bool>,
    /// Pooled hold-out figures of the same modalities.
    pub figures: Option<Figures>,
    /// By modality.
    pub modalities: Vec<ModalityForecast>,
    /// What it is not for.
    pub warning: &'static str,
}

impl ModalityForecast {
    pub(super) fn new(modality: Modality, folds: Vec<FoldForecast>) -> Self {
        Self { modality, probability: mean(folds.iter().map(|fold| fold.probability)), folds }
    }
}

impl Forecast {
    /// Of at least one modality.
    pub(super) fn new(card: &Card, modalities: Vec<ModalityForecast>) -> Self {
        let probability = mean(modalities.iter().map(|modality| modality.probability));
        let of_fold =
            |fold: usize| mean(modalities.iter().filter_map(|m| Some(m.folds.get(fold)?.probability)));
        let by_fold: Vec<f32> = (0..usize::from(card.folds)).map(of_fold).collect();
        let spread = by_fold.iter().fold([1.0f32, 0.0], |[low, high], &p| [low.min(p), high.max(p)]);
        let present: Vec<Modality> = modalities.iter().map(|modality| modality.modality).collect();
        let group = card.group_of(&present);
        let threshold = group.and_then(|group| group.threshold);
        Self {
            study: card.name.clone(),
            probability,
            spread,
            threshold,
            methylated: threshold.map(|threshold| f64::from(probability) >= threshold),
            figures: group.map(|group| Figures {
                group: group.name.clone(),
                patients: [group.holdout.patients.methylated, group.holdout.patients.unmethylated],
                auc: group.holdout.auc,
                sensitivity: group.holdout.sensitivity,
                specificity: group.holdout.specificity,
            }),
            modalities,
            warning: RESEARCH_ONLY,
        }
    }
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0f64, 0u32), |(sum, count), value| (sum + f64::from(value), count + 1));
    (sum / f64::from(count.max(1))) as f32
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.spread;
        writeln!(f, "P(methylated) = {:.3}, fold models {low:.3} to {high:.3}", self.probability)?;
        match (self.threshold, self.methylated) {
            (Some(threshold), Some(true)) => {
                writeln!(f, "at or above the study's threshold {threshold:.3}: methylated")?;
            }
            (Some(threshold), _) => writeln!(f, "below the study's threshold {threshold:.3}: unmethylated")?,
            (None, _) => writeln!(f, "the study has no threshold for just these modalities")?,
        }
        if let Some(figures) = &self.figures {
            let [methylated, unmethylated] = figures.patients;
            writeln!(
                f,
                "hold-out of `{}`, {methylated} methylated and {unmethylated} not: AUC {}, sensitivity {}, specificity {}",
                figures.group,
                told(figures.auc),
                told(figures.sensitivity),
                told(figures.specificity)
            )?;
        }
        for modality in &self.modalities {
            writeln!(f, "  {:<12} {:.3}", modality.modality, modality.probability)?;
            for fold in &modality.folds {
                write!(f, "    fold {}     {:.3}", fold.fold, fold.probability)?;
                if !fold.tuned.is_empty() {
                    write!(f, "  blocks {}", routing(&fold.tuned))?;
                }
                writeln!(f)?;
            }
        }
        if self.modalities.iter().flat_map(|modality| &modality.folds).any(|fold| !fold.tuned.is_empty()) {
            writeln!(f, "  blocks: F fine-tuned path, . frozen path, a digit: tenths of sampled routings")?;
        }
        write!(f, "{}", self.warning)
    }
}

fn told(figure: Option<Figure>) -> String {
    figure.map_or_else(
        || "undefined".to_owned(),
        |figure| format!("{:.3} ({:.3} to {:.3})", figure.value, figure.lower, figure.upper),
    )
}

/// One sign a block.
fn routing(tuned: &[f32]) -> String {
    let sign = |share: &f32| match (share * 10.0).round() as u8 {
        0 if *share == 0.0 => '.',
        _ if *share == 1.0 => 'F',
        tenths => char::from(b'0' + tenths.clamp(1, 9)),
    };
    tuned.iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routings_are_one_sign_a_block() {
        assert_eq!(routing(&[0.0, 1.0, 0.5, 0.01, 0.99]), ".F519");
    }

    #[test]
    fn a_modality_is_the_mean_of_its_folds() {
        let fold =
            |fold, probability| FoldForecast { fold: Fold(fold), probability, logit: 0.0, tuned: vec![] };
        let forecast = ModalityForecast::new(Modality::Flair, vec![fold(0, 0.25), fold(1, 0.75)]);
        assert_eq!(forecast.probability, 0.5);
    }
}
