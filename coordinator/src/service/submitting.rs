//! Taking in a study: read, checked, made ready to begin, and then on the shelf or not there at all.

use std::path::Path;
use std::sync::Arc;

use consilium_domain::{SiteId, Study};
use consilium_process::describe;
use consilium_protocol::admin::{AdminRefusal, MAX_STUDY_BYTES, MAX_WEIGHTS_BYTES, StudyState, StudySummary};
use consilium_protocol::coordinator::FirstModels;
use consilium_transport::BlobStore;

use super::Service;
use super::carrying::{Entry, Life};
use super::overview;
use super::shelf::{StudyFolder, Submission};
use crate::config::parse_study;
use crate::first_models::first_models;
use crate::surroundings::now;
use crate::weights::stored_weights;

/// Studies that may be under way or wait at once: each that runs has a log and a conductor of its own.
const MAX_UNFINISHED: usize = 100;
/// Longest canonical text of a study: it travels to sites in one frame of 64 KiB, with a site's name and standing.
const MAX_CANONICAL_BYTES: usize = 64_000;

impl Service {
    /// Takes in the study that `by` wrote, and begins it where nothing stands in its way.
    pub(super) async fn submit(
        self: &Arc<Self>,
        by: &SiteId,
        text: String,
        weights: Option<String>,
    ) -> Result<StudySummary, AdminRefusal> {
        let study = read(&text)?;
        let _one_at_a_time = self.submitting.lock().await;
        let number = self.admit(&study).await?;
        let prepared = self.shelf.prepare().map_err(|error| failed(&error))?;
        let models = self.first_models(&study, weights.as_deref(), &prepared).await?;
        let submission = Submission { number, at: now(), by: by.to_string(), weights, models };
        let name = study.hash().digest();
        let folder = self.shelf.put(&prepared, name, &text, &submission).map_err(|error| failed(&error))?;
        let entry = Entry { name, folder, submission, study: Some(Arc::new(study)), life: Life::Submitted };
        self.entries.lock().await.push(entry);
        self.advance().await;
        let entries = self.entries.lock().await;
        let entry = entries.iter().find(|entry| entry.name == name).expect("studies are never removed");
        Ok(overview::summary(entry, None))
    }

    /// Whether there is room for `study`; its number.
    async fn admit(&self, study: &Study) -> Result<u32, AdminRefusal> {
        let entries = self.entries.lock().await;
        let name = study.hash().digest();
        if let Some(same) = entries.iter().find(|entry| entry.name == name) {
            let state = overview::summary(same, None).state;
            return Err(AdminRefusal::SameStudy(format!("it is {} and {state}", name.short())));
        }
        let is_over = |state: StudyState| state.is_over();
        let unfinished = entries.iter().filter(|entry| !is_over(overview::summary(entry, None).state));
        if unfinished.count() >= MAX_UNFINISHED {
            let reason =
                format!("{MAX_UNFINISHED} studies are under way or wait: abort one, or wait for its end");
            return Err(AdminRefusal::Study(reason));
        }
        Ok(entries.iter().map(|entry| entry.submission.number).max().unwrap_or(0) + 1)
    }

    /// The models the study starts from, in its folder. Everything heavy runs off the runtime's threads.
    async fn first_models(
        &self,
        study: &Study,
        weights: Option<&str>,
        folder: &StudyFolder,
    ) -> Result<FirstModels, AdminRefusal> {
        match weights {
            None if study.needs_base() => {
                return refuse(
                    "an arm is pretrained: name weights of the coordinator's store with --weights",
                );
            }
            Some(_) if !study.needs_base() => {
                return refuse("no arm is pretrained: leave --weights out, or add an arm that needs them");
            }
            _ => {}
        }
        let blobs = BlobStore::open(&folder.path().join("blobs")).map_err(|error| failed(&error))?;
        let (study, weights, store) = (study.clone(), weights.map(str::to_owned), self.weights.clone());
        let runtime = tokio::runtime::Handle::current();
        let made = tokio::task::spawn_blocking(move || {
            let base = weights.map(|name| stored_weights(&name, &store, study.network)).transpose();
            let base = base.map_err(|error| AdminRefusal::Study(describe(&error)))?;
            let models = runtime.block_on(first_models(&study, base.as_deref(), &blobs));
            models.map_err(|error| AdminRefusal::Study(describe(&error)))
        });
        made.await.map_err(|error| failed(&error))?
    }
}

fn read(text: &str) -> Result<Study, AdminRefusal> {
    too_long("the study file", text.len(), MAX_STUDY_BYTES)?;
    let study =
        parse_study(text, Path::new("study.toml")).map_err(|error| AdminRefusal::Study(describe(&error)))?;
    too_long("the study's plan", study.to_json().len(), MAX_CANONICAL_BYTES)?;
    Ok(study)
}

/// Whether the texts of a submission may be read at all.
pub(super) fn check_lengths(text: &str, weights: Option<&str>) -> Result<(), AdminRefusal> {
    too_long("the study file", text.len(), MAX_STUDY_BYTES)?;
    too_long("the name of the weights", weights.map_or(0, str::len), MAX_WEIGHTS_BYTES)
}

fn too_long(what: &str, bytes: usize, limit: usize) -> Result<(), AdminRefusal> {
    if bytes <= limit {
        return Ok(());
    }
    Err(AdminRefusal::TooLong { what: what.to_owned(), bytes: bytes as u64, limit: limit as u64 })
}

fn refuse<T>(reason: &str) -> Result<T, AdminRefusal> {
    Err(AdminRefusal::Study(reason.to_owned()))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> AdminRefusal {
    tracing::error!(error = %describe(error), "a study could not be taken in");
    AdminRefusal::Failed(describe(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_study_is_read_as_strictly_as_a_file_and_problems_name_line_and_key() {
        assert!(read(&sample()).is_ok());
        let misspelt = read(&sample().replace("quorum", "qorum")).unwrap_err();
        assert_eq!(misspelt.code(), "study");
        let words = misspelt.to_string();
        assert!(words.contains("line") && words.contains("qorum"), "{words}");
        let impossible = read(&sample().replace("quorum = 2", "quorum = 9")).unwrap_err().to_string();
        assert!(impossible.contains("quorum"), "{impossible}");
    }

    #[test]
    fn a_text_that_is_too_long_is_not_even_read() {
        let long = format!("# {}\n{}", "x".repeat(MAX_STUDY_BYTES), sample());
        assert_eq!(read(&long).unwrap_err().code(), "too-long");
        assert!(check_lengths("", Some(&"w".repeat(MAX_WEIGHTS_BYTES + 1))).is_err());
        assert!(check_lengths("", Some("medicalnet-50")).is_ok());
    }
}
