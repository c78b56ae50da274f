//! Who is in a model: beside every model that a round has made lies a list of the sites whose updates are in it, with
//! weight and digest, and of those who are missing and why, signed by the coordinator.
//!
//! A list is derived from the study's state and written when the model is there; one that a crash has kept from being
//! written is written at the next start. It is for people and for audits: the study never reads it back.

mod command;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use consilium_domain::{Digest, Lane, Role, Round, SiteId, StudyHash};
use consilium_protocol::coordinator::{Coordinator, RoundState};
use consilium_signing::{Authorities, CannotSign, Holder, Sign, SignatureError};
use serde::{Deserialize, Serialize};

use crate::whole_file::write_whole;

pub use command::show;

/// What is signed begins so: a signature over something else is none over this.
const PURPOSE: &str = "consilium contributors of a model 1\n";
/// The folder of the lists in a study's state folder.
const FOLDER: &str = "contributors";

/// Who is in the model of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contributors {
    /// The study.
    pub study: StudyHash,
    /// The lane.
    pub lane: Lane,
    /// The round.
    pub round: Round,
    /// The model it started from.
    pub start: Digest,
    /// The model it made.
    pub model: Digest,
    /// Whose updates are in it.
    pub contributors: Vec<Contributor>,
    /// Who was expected and is missing, and why.
    pub missing: BTreeMap<SiteId, String>,
}

/// One update of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contributor {
    /// Whose.
    pub site: SiteId,
    /// Its weight: cases it was trained on.
    pub cases: u32,
    /// The sealed update.
    pub update: Digest,
}

/// A list as it lies in its file. What is signed is `list` to the letter, so that no reading of it can differ.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedList {
    list: String,
    signature: String,
    certificates: Vec<String>,
}

/// Why a list cannot be written or believed.
#[derive(Debug, thiserror::Error)]
pub enum ContributorsError {
    /// The file system refuses.
    #[error("the list of contributors {path}: {source}; check the disk's space and permissions")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key.
    #[error(transparent)]
    CannotSign(#[from] CannotSign),
    /// The authority's certificate.
    #[error(transparent)]
    Authority(#[from] SignatureError),
    /// Not such a file.
    #[error("the list of contributors {path} was altered: {problem}; restore it from a backup")]
    Altered {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No lists.
    #[error(
        "{0} holds no lists of contributors: name the state folder of a study in which a round was closed"
    )]
    None(PathBuf),
}

impl Contributors {
    /// The list of the round `round` of `lane`, once its model is there.
    pub(crate) fn of_round(state: &Coordinator, lane: Lane, round: Round) -> Option<Self> {
        let rounds = &state.lanes().iter().find(|it| it.lane == lane)?.rounds;
        Self::of(state.hash(), lane, rounds.iter().find(|it| it.round == round)?)
    }

    /// The list of `round` of `lane`, once its model is there.
    pub(crate) fn of(study: StudyHash, lane: Lane, round: &RoundState) -> Option<Self> {
        let model = round.model?.digest;
        let answers = round.training.answers().iter();
        let contributors = answers.map(|(site, answer)| {
            let (cases, update) = (answer.value.cases, answer.value.update.digest);
            Contributor { site: site.clone(), cases, update }
        });
        let missing = round.training.closing().map(|closing| closing.missing.clone()).unwrap_or_default();
        let (round, start) = (round.round, round.start.digest);
        Some(Self { study, lane, round, start, model, contributors: contributors.collect(), missing })
    }

    fn file_name(&self) -> String {
        let Lane { arm, modality, fold } = self.lane;
        format!("{arm}-{modality}-fold{fold}-round{}.json", self.round)
    }

    fn signed(&self, signer: &dyn Sign) -> Result<SignedList, CannotSign> {
        let list = serde_json::to_string(self).expect("a list has only text keys");
        let signature = hex::encode(signer.sign(signed_text(&list).as_bytes())?);
        Ok(SignedList {
            list,
            signature,
            certificates: signer.certificates().iter().map(hex::encode).collect(),
        })
    }
}

/// Writes the lists of the models of `state` that have none in the study's state folder `dir`, signed by `signer`.
pub(crate) fn write_missing(
    dir: &Path,
    state: &Coordinator,
    signer: &dyn Sign,
) -> Result<(), ContributorsError> {
    let study = state.hash();
    let rounds = state.lanes().iter().flat_map(|lane| lane.rounds.iter().map(|round| (lane.lane, round)));
    for list in rounds.filter_map(|(lane, round)| Contributors::of(study, lane, round)) {
        if !dir.join(FOLDER).join(list.file_name()).exists() {
            write(dir, &list, signer)?;
        }
    }
    Ok(())
}

/// Writes `list` in the study's state folder `dir`, signed by `signer`.
pub(crate) fn write(dir: &Path, list: &Contributors, signer: &dyn Sign) -> Result<(), ContributorsError> {
    let folder = dir.join(FOLDER);
    fs::create_dir_all(&folder).map_err(io_at(&folder))?;
    let path = folder.join(list.file_name());
    let text = serde_json::to_string_pretty(&list.signed(signer)?).expect("text only");
    write_whole(&path, &text).map_err(io_at(&path))
}

/// The lists in the study's state folder `dir`, verified: each is signed by a coordinator for whom `authorities` vouch,
/// and lies under its own name.
///
/// # Errors
/// When there is none, or one was altered.
pub fn read_all(dir: &Path, authorities: &Authorities) -> Result<Vec<Contributors>, ContributorsError> {
    let folder = dir.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ContributorsError::None(dir.to_owned()));
        }
        Err(source) => return Err(ContributorsError::Io { path: folder, source }),
    };
    let mut lists = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_at(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            lists.push(read(&path, authorities)?);
        }
    }
    if lists.is_empty() {
        return Err(ContributorsError::None(dir.to_owned()));
    }
    lists.sort_by_key(|list| (list.lane, list.round));
    Ok(lists)
}

fn read(path: &Path, authorities: &Authorities) -> Result<Contributors, ContributorsError> {
    let altered = |problem: String| ContributorsError::Altered { path: path.to_owned(), problem };
    let text = fs::read_to_string(path).map_err(io_at(path))?;
    let SignedList { list, signature, certificates } =
        serde_json::from_str(&text).map_err(|error| altered(error.to_string()))?;
    let bytes = |text: &String| hex::decode(text).map_err(|error| altered(error.to_string()));
    let chain = certificates.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
    let holder = Holder::trusted(&chain, authorities).map_err(|error| altered(error.to_string()))?;
    if holder.role != Role::Coordinator {
        return Err(altered(format!("it is signed by {}", holder.role)));
    }
    let signed = holder.verify(signed_text(&list).as_bytes(), &bytes(&signature)?);
    signed.map_err(|error| altered(error.to_string()))?;
    let list: Contributors = serde_json::from_str(&list).map_err(|error| altered(error.to_string()))?;
    if path.file_name().is_none_or(|name| name != list.file_name().as_str()) {
        return Err(altered(format!("it is the list {}", list.file_name())));
    }
    Ok(list)
}

fn signed_text(list: &str) -> String {
    format!("{PURPOSE}{list}")
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> ContributorsError + use<> {
    let path = path.to_owned();
    move |source| ContributorsError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use consilium_certs::Authority;
    use consilium_transport::Identity;

    use super::*;
    use crate::scene::Scene;

    fn identity(dir: &Path, authority: &Authority) -> (Identity, Authorities) {
        let kit = dir.join("kit");
        authority.issue_coordinator::<&str>(&[]).unwrap().write(&kit).unwrap();
        (Identity::load(&kit).unwrap(), Authorities::read(&kit.join("ca.pem")).unwrap())
    }

    #[test]
    fn every_model_has_its_list_and_a_list_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let (identity, authorities) = identity(dir.path(), &Authority::create("test").unwrap());
        let running = Scene::running();
        assert!(matches!(read_all(dir.path(), &authorities), Err(ContributorsError::None(_))));
        write_missing(dir.path(), &running.state, &identity).unwrap();
        assert!(matches!(read_all(dir.path(), &authorities), Err(ContributorsError::None(_))));
        let state = Scene::finished().state;
        write_missing(dir.path(), &state, &identity).unwrap();
        let lists = read_all(dir.path(), &authorities).unwrap();
        let rounds = state.lanes().iter().map(|lane| lane.rounds.len()).sum::<usize>();
        assert_eq!(lists.len(), rounds);
        for list in &lists {
            let round = state.lane(&list.lane).unwrap().round(list.round).unwrap();
            assert_eq!(Some(list.model), round.model.map(|model| model.digest));
            assert_eq!(list.contributors.len() + list.missing.len(), 2, "{list:?}");
        }
        let path = dir.path().join(FOLDER).join(lists[0].file_name());
        let before = fs::read(&path).unwrap();
        fs::remove_file(dir.path().join(FOLDER).join(lists[1].file_name())).unwrap();
        write_missing(dir.path(), &state, &identity).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before, "what lies there is not signed again");
        assert_eq!(read_all(dir.path(), &authorities).unwrap(), lists);
    }

    #[test]
    fn an_altered_list_and_a_stranger_are_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let (identity, authorities) = identity(dir.path(), &Authority::create("test").unwrap());
        write_missing(dir.path(), &Scene::finished().state, &identity).unwrap();
        let name = read_all(dir.path(), &authorities).unwrap()[0].file_name();
        let path = dir.path().join(FOLDER).join(name);
        let sound = fs::read_to_string(&path).unwrap();
        let altered = sound.replace("\\\"site\\\":\\\"a\\\"", "\\\"site\\\":\\\"x\\\"");
        assert_ne!(altered, sound);
        for (text, name) in [(&altered, None), (&sound, Some("random-t1gd-fold0-round9.json"))] {
            fs::write(&path, &sound).unwrap();
            let other = name.map(|name| path.with_file_name(name));
            fs::write(other.as_ref().unwrap_or(&path), text).unwrap();
            let error = read_all(dir.path(), &authorities).unwrap_err();
            assert!(matches!(error, ContributorsError::Altered { .. }), "{error}");
            other.iter().for_each(|other| fs::remove_file(other).unwrap());
        }
        fs::write(&path, &sound).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (_, strangers) = self::identity(elsewhere.path(), &Authority::create("another").unwrap());
        assert!(matches!(read_all(dir.path(), &strangers), Err(ContributorsError::Altered { .. })));
    }
}
