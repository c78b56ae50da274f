//! From bytes to a card that agrees with itself.
//!
//! Paths of the card are never opened: the files that a study's arm must have are computed, and the card must list
//! exactly those.

use consilium_domain::{Digest, Modality, Study};
use serde::Deserialize;

use crate::card::{CARD_SCHEMA, Card, FileCard};
use crate::figures::is_threshold;
use crate::folder::{
    BASE_FILE, CARD_TEXT_FILE, MAX_CARD_TEXT_BYTES, base_manifest, listed_paths, model_manifest,
    model_places, most_bytes,
};

/// Longest note of a person: a sentence or two.
const MAX_NOTE_BYTES: usize = 500;

/// Why bytes are not a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Another layout.
    #[error("it has the schema `{0}`, this release reads `{CARD_SCHEMA}`: use the release that wrote it")]
    Schema(String),
    /// Not of this layout.
    #[error("it cannot be read: {0}")]
    Syntax(String),
    /// Two parts of it do not fit together.
    #[error("its `{key}` {problem}: it was not written by this program")]
    Contradiction {
        /// Where.
        key: &'static str,
        /// What is wrong there.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Versioned {
    schema: String,
}

impl Card {
    /// Reads and checks `bytes`; also the study that the card speaks of.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, Study), CardError> {
        let syntax = |error: serde_json::Error| CardError::Syntax(error.to_string());
        let Versioned { schema } = serde_json::from_slice(bytes).map_err(syntax)?;
        if schema != CARD_SCHEMA {
            return Err(CardError::Schema(schema.chars().filter(|c| !c.is_control()).take(80).collect()));
        }
        let card: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        let study = card.agreed_study()?;
        card.check_plan(&study)?;
        card.check_words()?;
        card.check_models(&study)?;
        card.check_files(&study)?;
        Ok((card, study))
    }

    /// The study, if it has the hash that the card says.
    fn agreed_study(&self) -> Result<Study, CardError> {
        unless(Digest::of(self.study.as_bytes()) == self.study_hash.digest(), "study_hash", || {
            "is not the digest of `study`".to_owned()
        })?;
        Study::from_json(&self.study)
            .map_err(|error| contradiction("study", format!("is no study ({error})")))
    }

    /// What the card repeats from the study.
    fn check_plan(&self, study: &Study) -> Result<(), CardError> {
        let differs = || "differs from the study's".to_owned();
        unless(self.name == study.name, "name", differs)?;
        unless(study.arms.contains(&self.arm), "arm", || format!("{} is not in the study", self.arm))?;
        unless(self.network == study.network, "network", differs)?;
        unless(self.norm == study.training.norm, "norm", differs)?;
        unless(self.route_samples == study.evaluation.route_samples, "route_samples", differs)?;
        unless(self.input.preprocessing == study.preprocessing, "input.preprocessing", differs)?;
        unless(self.input.shape == study.preprocessing.input_shape(), "input.shape", differs)?;
        unless(self.modalities == study.modalities, "modalities", differs)?;
        unless(self.folds == study.evaluation.folds, "folds", differs)?;
        unless(self.sites.took_part <= self.sites.invited, "sites", || "took part uninvited".to_owned())?;
        unless(self.sites.invited as usize == study.federation.sites.len(), "sites.invited", differs)?;
        unless(self.base.is_some() == self.arm.is_pretrained(), "base", || {
            format!("does not fit arm {}", self.arm)
        })
    }

    /// Texts that people read in a terminal, where control characters can hide or forge lines.
    fn check_words(&self) -> Result<(), CardError> {
        let control = || "holds control characters".to_owned();
        unless(is_plain(&self.software) && self.software.len() <= MAX_NOTE_BYTES, "software", control)?;
        unless(self.date.as_deref().is_none_or(is_date), "date", || "is not YYYY-MM-DD".to_owned())?;
        unless(is_plain(&self.input.description), "input.description", control)?;
        unless(is_plain(&self.intended_use), "intended_use", control)?;
        unless(self.limits.iter().all(|limit| is_plain(limit)), "limits", control)?;
        let notes = self.base.iter().flat_map(|base| [&base.name, &base.licence]).flatten();
        unless(notes.clone().all(|note| is_note(note)), "base", || {
            format!("must be one line of at most {MAX_NOTE_BYTES} bytes")
        })
    }

    fn check_models(&self, study: &Study) -> Result<(), CardError> {
        let modalities: Vec<Modality> = self.cohort.iter().map(|cohort| cohort.modality).collect();
        unless(modalities == study.modalities, "cohort", || "is not of the study's modalities".to_owned())?;
        let places: Vec<_> = self.models.iter().map(|model| (model.modality, model.fold)).collect();
        unless(places == model_places(study), "models", || {
            "are not one for each modality and fold, in order".to_owned()
        })?;
        for model in &self.models {
            let trained = (1..=study.training.rounds).contains(&model.round.0);
            unless(trained, "models.round", || format!("{} is no round of the study", model.round))?;
            unless(
                model.validation.is_none_or(|figures| figures.are_sound()),
                "models.validation",
                impossible,
            )?;
        }
        for (index, group) in self.groups.iter().enumerate() {
            let known =
                !group.members.is_empty() && group.members.iter().all(|m| study.modalities.contains(m));
            let twice = self.groups[..index].iter().any(|other| other.name == group.name);
            unless(known && !twice && is_plain(&group.name), "groups", || {
                "name modalities that the study lacks, or one group twice".to_owned()
            })?;
            let sound = [group.validation, group.holdout].iter().all(|figures| figures.are_sound());
            unless(sound && is_threshold(group.threshold), "groups", impossible)?;
        }
        Ok(())
    }

    fn check_files(&self, study: &Study) -> Result<(), CardError> {
        let listed: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        let expected = listed_paths(study, self.arm);
        if let Some(odd) = listed.iter().find(|path| expected.iter().all(|known| known != *path)) {
            let odd: String = odd.chars().flat_map(char::escape_default).take(120).collect();
            return Err(contradiction("files", format!("lists `{odd}`, which no package of this study has")));
        }
        unless(listed == expected, "files", || {
            "lacks a file, lists one twice, or is not in order".to_owned()
        })?;
        for FileCard { path, bytes, .. } in &self.files {
            let most = match path.as_str() {
                CARD_TEXT_FILE => MAX_CARD_TEXT_BYTES,
                BASE_FILE => most_bytes(&base_manifest(study)),
                _ => most_bytes(&model_manifest(study, self.arm)),
            };
            unless(*bytes <= most, "files.bytes", || {
                format!("says {bytes} for {path}, which has at most {most}")
            })?;
        }
        Ok(())
    }
}

fn unless(fine: bool, key: &'static str, problem: impl FnOnce() -> String) -> Result<(), CardError> {
    if fine { Ok(()) } else { Err(contradiction(key, problem())) }
}

fn contradiction(key: &'static str, problem: String) -> CardError {
    CardError::Contradiction { key, problem }
}

fn impossible() -> String {
    "holds figures that cannot be".to_owned()
}

pub(crate) fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Whether `text` is one line that a person may have written.
pub(crate) fn is_note(text: &str) -> bool {
    (1..=MAX_NOTE_BYTES).contains(&text.len()) && is_plain(text)
}

/// Whether `text` is a day as ISO 8601 has it; months and days within their usual bounds.
pub(crate) fn is_date(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shape && ("01"..="12").contains(&&text[5..7]) && ("01"..="31").contains(&&text[8..])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::sample;

    /// The card of a sample package, as text and as a tree.
    fn card() -> (String, Value) {
        let text = sample::card().to_json();
        let tree = serde_json::from_str(&text).unwrap();
        (text, tree)
    }

    fn refused(tree: &Value) -> CardError {
        Card::parse(tree.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn what_was_written_is_read() {
        let (text, _) = card();
        let (read, study) = Card::parse(text.as_bytes()).unwrap();
        assert_eq!((read.to_json(), study), (text, sample::study()));
    }

    #[test]
    fn another_schema_names_itself_before_anything_else_is_judged() {
        let error = Card::parse(br#"{"schema":"consilium-model-card/2","new":1}"#).unwrap_err();
        assert_eq!(error, CardError::Schema("consilium-model-card/2".into()));
        assert!(matches!(Card::parse(b"{}"), Err(CardError::Syntax(_))));
        assert!(matches!(Card::parse(b"\xff"), Err(CardError::Syntax(_))));
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for place in [
            "",
            "/input",
            "/sites",
            "/cohort/0",
            "/cohort/0/holdout",
            "/models/0",
            "/files/0",
            "/groups/0",
            "/groups/0/holdout",
            "/network",
            "/base",
        ] {
            let (_, mut tree) = card();
            tree.pointer_mut(place).unwrap()["surprise"] = json!(1);
            let error = refused(&tree);
            assert!(
                matches!(&error, CardError::Syntax(text) if text.contains("surprise")),
                "{place}: {error}"
            );
        }
    }

    #[test]
    fn a_key_that_is_given_twice_is_refused() {
        let (text, _) = card();
        let twice = text.replacen("\"arm\":", "\"arm\": \"random\",\n  \"arm\":", 1);
        assert!(matches!(Card::parse(twice.as_bytes()), Err(CardError::Syntax(_))));
    }

    #[test]
    fn what_contradicts_the_study_is_named() {
        for (place, value, key) in [
            ("/study", json!("{}"), "study_hash"),
            ("/name", json!("other"), "name"),
            ("/arm", json!("medicalnet"), "arm"),
            ("/arm", json!("random"), "base"),
            ("/network/width", json!(9), "network"),
            ("/norm", json!("fixed"), "norm"),
            ("/route_samples", json!(1), "route_samples"),
            ("/input/preprocessing", json!({"profile": "schmitz2024"}), "input.preprocessing"),
            ("/input/shape/0", json!(1), "input.shape"),
            ("/modalities", json!(["t2"]), "modalities"),
            ("/folds", json!(3), "folds"),
            ("/sites/took_part", json!(99), "sites"),
            ("/sites/invited", json!(99), "sites.invited"),
            ("/base", Value::Null, "base"),
            ("/base/licence", json!("a\u{1b}[2Jb"), "base"),
            ("/date", json!("2026-13-01"), "date"),
            ("/software", json!("a\nb"), "software"),
            ("/limits/0", json!("\u{7}"), "limits"),
            ("/cohort/0/modality", json!("t2"), "cohort"),
            ("/models/0/fold", json!(1), "models"),
            ("/models/0/round", json!(0), "models.round"),
            ("/models/0/round", json!(60_000), "models.round"),
            ("/models/0/validation/auc/value", json!(7), "models.validation"),
            ("/groups/0/members", json!(["t2"]), "groups"),
            ("/groups/0/threshold", json!(-1), "groups"),
            ("/files/1/bytes", json!(u64::MAX), "files.bytes"),
        ] {
            let (_, mut tree) = card();
            *tree.pointer_mut(place).unwrap() = value;
            let error = refused(&tree);
            assert!(
                matches!(&error, CardError::Contradiction { key: found, .. } if *found == key),
                "{place}: {error}"
            );
        }
    }

    #[test]
    fn hostile_paths_are_refused_and_shown_harmlessly() {
        for path in [
            "../../etc/passwd",
            "/etc/passwd",
            "models/../card.json",
            "models\\x",
            "card.json",
            "signature.json",
            "",
            "models/t1gd-fold0.safetensors/",
            "a\u{1b}[2Jb",
        ] {
            let (_, mut tree) = card();
            tree["files"][1]["path"] = json!(path);
            let error = refused(&tree);
            let CardError::Contradiction { key: "files", problem } = &error else {
                panic!("{path}: {error}")
            };
            assert!(is_plain(problem) && problem.contains("which no package"), "{problem}");
        }
        let (_, mut tree) = card();
        tree["files"][2] = tree["files"][1].clone();
        assert!(matches!(refused(&tree), CardError::Contradiction { key: "files", .. }));
        assert_eq!(crate::card::place(Path::new("a"), "models/b"), Path::new("a").join("models").join("b"));
    }

    #[test]
    fn days_are_days() {
        assert!(is_date("2026-02-28"));
        for text in ["", "2026-2-28", "2026-02-32", "2026-00-01", "20260228", "2026-02-28T", "２026-02-2"] {
            assert!(!is_date(text), "{text}");
        }
    }
}
