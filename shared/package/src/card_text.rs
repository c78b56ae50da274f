//! The card for people, in Markdown. Made from the card alone: equal cards have equal texts.

use std::fmt::Write as _;

use consilium_domain::{Arm, Modality};

use crate::card::{BaseNote, Card, PatientCounts};
use crate::figures::{Figure, Figures};
use crate::verified::shown;

impl Card {
    /// The text of `card.md`. The line of `card.md` itself is not in it.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::new();
        self.write_heading(&mut text);
        self.write_figures(&mut text);
        self.write_origin(&mut text);
        self.write_models(&mut text);
        self.write_files(&mut text);
        text
    }

    fn write_heading(&self, text: &mut String) {
        let _ = writeln!(text, "# Model card: {}, arm {}\n", escaped(&self.name), self.arm);
        let _ = writeln!(text, "**Research, not diagnosis.** {}\n", self.intended_use);
        for limit in &self.limits {
            let _ = writeln!(text, "- {limit}");
        }
        text.push('\n');
    }

    fn write_figures(&self, text: &mut String) {
        let _ = writeln!(text, "## What the models are worth\n");
        let _ = writeln!(
            text,
            "Hold-out patients, who neither trained nor chose anything, pooled over sites; probabilities averaged over \
             the fold models, then over modalities. In brackets: 95 % confidence intervals, for AP what the score \
             histograms leave open. The threshold was fixed on the out-of-fold validation patients.\n"
        );
        let _ = writeln!(
            text,
            "| modalities | patients (methylated) | threshold | AUC | AP | sensitivity | specificity |\n\
             |---|---|---|---|---|---|---|"
        );
        for group in &self.groups {
            let name = match group.members[..] {
                [_] => group.name.clone(),
                _ => format!("{} ({})", group.name, names(&group.members)),
            };
            let _ = writeln!(text, "| {name} | {} |", row(&group.holdout, group.threshold));
        }
        let _ =
            writeln!(text, "\nThe same models on their validation patients, where they were also chosen:\n");
        let _ = writeln!(
            text,
            "| modalities | patients (methylated) | threshold | AUC | AP | sensitivity | specificity |\n\
             |---|---|---|---|---|---|---|"
        );
        for group in &self.groups {
            let _ = writeln!(text, "| {} | {} |", group.name, row(&group.validation, group.threshold));
        }
        text.push('\n');
    }

    fn write_origin(&self, text: &mut String) {
        let sites = self.sites;
        let _ = writeln!(text, "## Where they come from\n");
        let _ = writeln!(
            text,
            "{} of {} invited sites took part; {} pieces of work went on without a site that was asked.\n",
            sites.took_part, sites.invited, sites.work_without_a_site
        );
        let _ = writeln!(
            text,
            "| modality | cross-validation patients (methylated) | hold-out patients (methylated) |"
        );
        let _ = writeln!(text, "|---|---|---|");
        for cohort in &self.cohort {
            let [cross_validation, holdout] = [cohort.cross_validation, cohort.holdout].map(patients);
            let _ = writeln!(text, "| {} | {cross_validation} | {holdout} |", cohort.modality);
        }
        let _ = writeln!(text, "\n- Study hash: `{}`", self.study_hash);
        if let Some(BaseNote { name, licence }) = &self.base {
            let name = name.as_deref().map_or("of unrecorded name".to_owned(), |name| format!("`{name}`"));
            let licence =
                licence.as_deref().unwrap_or("not recorded: ask the coordinator before passing it on");
            let _ = writeln!(text, "- Pretrained backbone: {name}; licence: {licence}");
        }
        let _ = writeln!(text, "- Written by: {}", self.software);
        if let Some(date) = &self.date {
            let _ = writeln!(text, "- Exported on: {date}");
        }
        text.push('\n');
    }

    fn write_models(&self, text: &mut String) {
        let _ = writeln!(text, "## The models\n");
        let _ = writeln!(
            text,
            "A 3D ResNet-{} of width {}, arm {}, normalisation `{}`: one single-channel network a modality and fold.\n\
             Input: {}.\n",
            self.network.depth.layers(),
            self.network.width,
            self.arm,
            // As in study files.
            serde_json::to_string(&self.norm).unwrap_or_default().trim_matches('"'),
            self.input.description
        );
        if self.arm == Arm::Spottune {
            let routing = match self.route_samples {
                0 => "each block takes the path that the policy prefers".to_owned(),
                samples => format!("probabilities are the mean of {samples} routings drawn from the policy"),
            };
            let _ = writeln!(text, "Routing behind the figures: {routing}.\n");
        }
        let _ = writeln!(text, "| modality | fold | round | validation AUC |\n|---|---|---|---|");
        for model in &self.models {
            let auc = figure(model.validation.and_then(|figures| figures.auc));
            let _ = writeln!(text, "| {} | {} | {} | {auc} |", model.modality, model.fold, model.round);
        }
        text.push('\n');
    }

    fn write_files(&self, text: &mut String) {
        let _ = writeln!(text, "## Files\n\n| file | bytes | SHA-256 |\n|---|---|---|");
        for file in &self.files {
            let _ = writeln!(text, "| {} | {} | `{}` |", file.path, file.bytes, file.sha256);
        }
        let _ = writeln!(
            text,
            "\nThe digests bind when the signature holds: `consilium-client model verify --model DIR --ca ca.pem`."
        );
    }
}

fn row(figures: &Figures, threshold: Option<f64>) -> String {
    format!(
        "{} | {} | {} | {} | {} | {}",
        patients(figures.patients),
        threshold.map_or("-".to_owned(), |threshold| format!("{threshold:.3}")),
        figure(figures.auc),
        figure(figures.average_precision),
        figure(figures.sensitivity),
        figure(figures.specificity)
    )
}

fn patients(counts: PatientCounts) -> String {
    format!("{} ({})", counts.methylated.saturating_add(counts.unmethylated), counts.methylated)
}

fn figure(figure: Option<Figure>) -> String {
    figure.map_or("-".to_owned(), |figure| {
        format!("{:.3} [{:.2}, {:.2}]", figure.value, figure.lower, figure.upper)
    })
}

fn names(modalities: &[Modality]) -> String {
    modalities.iter().map(|modality| modality.name()).collect::<Vec<_>>().join(", ")
}

/// A name with nothing in it that Markdown or HTML would act upon.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for c in shown(name).chars() {
        if c.is_ascii_punctuation() && c != '-' {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_text_tells_what_a_reader_must_know() {
        let text = sample::card().to_markdown();
        for part in [
            "# Model card: mgmt\\_pilot, arm spottune",
            "Research, not diagnosis",
            "no better than chance",
            "| t1gd | 10 (5) | 0.500 | 0.700 [0.50, 0.90] | - |",
            "| struct (t1gd, flair) |",
            "2 of 2 invited sites took part",
            "| t1gd | 20 (10) | 10 (5) |",
            "licence: MIT",
            "each block takes the path that the policy prefers",
            "ResNet-10 of width 1, arm spottune, normalisation `batch`",
            "| flair | 1 | 2 | - |",
            "models/flair-fold1.safetensors",
        ] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
        assert!(text.lines().all(|line| line.trim_end() == line));
    }

    #[test]
    fn names_act_on_nothing() {
        assert_eq!(escaped("<b>[x](y)\n"), r"\<b\>\[x\]\(y\)\?");
    }
}
