//! Two checklists for publications, filled with what the system knows. What only a person can know stays blank.
//!
//! The items are named in our own short words; their meaning is defined by the guidelines.

mod claim;
mod tripod;

use super::markup::{Element, tag};
use crate::report::Report;

/// One item: its number in the guideline, what it asks about, and what the system knows of it.
type Item = (&'static str, &'static str, Option<fn(&Report) -> String>);

/// Both lists.
pub(super) fn elements(report: &Report) -> Vec<Element> {
    let intro = "What this system knows of each item stands in the third column. The yellow cells are for the authors: the system \
                 cannot know what belongs there, and an empty cell says nothing about what was done.";
    vec![
        tag("p").text(intro),
        list(report, "tripod", "TRIPOD+AI (Collins and others, BMJ 2024;385:e078378)", tripod::ITEMS),
        list(
            report,
            "claim",
            "CLAIM (Mongan, Moy and Kahn, Radiology: AI 2020;2:e200029), numbered as in 2020",
            claim::ITEMS,
        ),
    ]
}

fn list(report: &Report, id: &str, caption: &str, items: &[Item]) -> Element {
    let heads = ["item", "about", "known to the system", "for the authors"];
    let heads = heads.map(|head| tag("th").with("scope", "col").text(head));
    let rows = items.iter().map(|(number, about, known)| {
        let known = known.map_or_else(String::new, |known| known(report));
        tag("tr")
            .child(tag("th").with("scope", "row").text(number))
            .child(tag("td").text(about))
            .child(tag("td").text(known))
            .child(tag("td").with("class", "blank"))
    });
    let grid = tag("table")
        .with("id", format!("table-{id}"))
        .child(tag("caption").text(caption))
        .child(tag("thead").child(tag("tr").children(heads)))
        .child(tag("tbody").children(rows));
    let scroll = tag("div").with("class", "scroll").with("role", "region").with("tabindex", "0");
    scroll.with("aria-label", format!("Table: {id}")).child(grid)
}

/// What several items of both lists are answered with.
mod facts {
    use consilium_domain::{Arm, Study};

    use crate::report::Report;

    fn words<T: ToString>(things: &[T]) -> String {
        things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn objective(report: &Report) -> String {
        let Study { arms, modalities, .. } = &report.study;
        format!(
            "Predict the methylation of the MGMT promoter from MRI ({}) by {}, trained over {} sites without moving images.",
            words(modalities),
            words(arms),
            report.sites.len()
        )
    }

    pub(super) fn sites(report: &Report) -> String {
        let named =
            report.sites.iter().filter(|site| site.cohort.is_some()).map(|site| site.site.to_string());
        format!("Sites that took part: {}.", named.collect::<Vec<_>>().join(", "))
    }

    pub(super) fn participants(report: &Report) -> String {
        let by_modality = report.labels.iter().map(|shift| {
            let patients: u32 = shift.sites.values().map(|share| share.methylated + share.unmethylated).sum();
            format!("{} {patients}", shift.modality)
        });
        let told = report.sites.iter().filter_map(|site| site.cohort.as_ref());
        let excluded: u32 = told.flat_map(|cohort| cohort.excluded.values()).sum();
        let duplicates: u32 = report.sites.iter().filter_map(|site| site.duplicates).sum();
        format!(
            "Patients by modality: {}. {excluded} scans were left out for reasons in the table of exclusions, {duplicates} \
             cases because the copy of another site stayed.",
            by_modality.collect::<Vec<_>>().join(", ")
        )
    }

    pub(super) fn partitions(report: &Report) -> String {
        let evaluation = &report.study.evaluation;
        format!(
            "At each site, by patient and stratified by class: {:.0} % held out, the rest in {} folds. Every model was \
             validated on the fold it did not train on; the hold-out was scored once, by the chosen models. Assigned by a keyed \
             hash of the case, not by hand.",
            100.0 * evaluation.holdout_fraction,
            evaluation.folds
        )
    }

    pub(super) fn preprocessing(report: &Report) -> String {
        let [z, y, x] = report.study.preprocessing.input_shape();
        format!(
            "A fixed pipeline at every site to {z} x {y} x {x} voxels; its settings are in the table of settings."
        )
    }

    pub(super) fn missing(_: &Report) -> String {
        "A patient without a modality is left out of that modality's models; late fusion averages over those there are. \
         Nothing is imputed."
            .into()
    }

    pub(super) fn model(report: &Report) -> String {
        let network = report.study.network;
        let arms = report.study.arms.iter().map(|arm| match arm {
            Arm::Spottune => {
                "SpotTune over a frozen pretrained copy (a policy network chooses a path in each block)"
            }
            Arm::Medicalnet => "fine-tuning of the pretrained network",
            Arm::Random => "the same network from random weights",
        });
        format!(
            "3D residual network of {} layers, one single-channel network a modality. {}.",
            network.depth.layers(),
            arms.collect::<Vec<_>>().join("; ")
        )
    }

    pub(super) fn initial(report: &Report) -> String {
        let base = report
            .base_model
            .map_or("No pretrained weights.".into(), |digest| format!("Pretrained backbone {digest}."));
        format!(
            "{base} Study seed {}. Digests of the first models are in the table of digests.",
            report.study.seed
        )
    }

    pub(super) fn training(report: &Report) -> String {
        let training = &report.study.training;
        format!(
            "Federated averaging weighted by cases: {} rounds of {} local epochs, batches of {}, Adam at {} (policy {}), \
             class balance {:?}. All settings are in the table of settings, losses by round in the training figures.",
            training.rounds,
            training.local_epochs,
            training.batch_size,
            training.learning_rate,
            training.policy_learning_rate,
            training.class_balance
        )
    }

    pub(super) fn selection(report: &Report) -> String {
        format!(
            "Of each lane the round that was best on its pooled validation fold, by {:?}; `chosen_by` in report.json names \
             the rule that decided.",
            report.study.evaluation.selection
        )
    }

    pub(super) fn fusion(_: &Report) -> String {
        "The mean of a patient's probabilities over the fold models, then over the modalities of a group, taken at the site."
            .into()
    }

    pub(super) fn measures(_: &Report) -> String {
        "AUC (DeLong), average precision, sensitivity, specificity, predictive values, F1 and balanced accuracy at three \
         thresholds (Wilson), Brier score, calibration slope, intercepts and error; sources in docs/statistics.md."
            .into()
    }

    pub(super) fn tests(report: &Report) -> String {
        format!(
            "Permutation tests of the AUC against 0.5, pooled and within sites; DeLong's comparison of arms within sites. \
             {} tests, uncorrected.",
            report.tests
        )
    }

    pub(super) fn heterogeneity(_: &Report) -> String {
        "AUC by site, combined by random effects with I\u{00b2} and a prediction interval; label shift by site.".into()
    }

    pub(super) fn performance(report: &Report) -> String {
        let groups = report.arms.iter().flat_map(|arm| arm.groups.iter().map(move |group| (arm.arm, group)));
        let best = groups.filter_map(|(arm, group)| {
            let auc = group.holdout.pooled.auc?;
            let name = &group.group.name;
            Some(format!(
                "{arm} {name} {:.3} ({:.3} to {:.3})",
                auc.value, auc.interval.lower, auc.interval.upper
            ))
        });
        let told: Vec<String> = best.collect();
        if told.is_empty() {
            return "No arm is evaluated yet.".into();
        }
        format!("Hold-out AUC with 95 % intervals: {}.", told.join("; "))
    }

    pub(super) fn specification(report: &Report) -> String {
        let chosen =
            report.arms.iter().flat_map(|arm| &arm.lanes).filter(|lane| lane.chosen_model.is_some()).count();
        format!(
            "{chosen} chosen models, by digest; `consilium-coordinator model export` makes a signed package of them."
        )
    }

    pub(super) fn software(report: &Report) -> String {
        format!("{}; {}.", report.software, report.schema)
    }
}
