//! Writing a package: beside its place, complete, verified, and only then there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consilium_domain::network::TensorSpec;
use consilium_domain::{Arm, Fold, Modality, Round, Study};
use consilium_weights::{Weights, WeightsError};
use tempfile::TempDir;

use crate::card::{
    BaseNote, CARD_SCHEMA, Card, CohortCard, FileCard, GroupCard, InputCard, ModelCard, SiteCounts, place,
};
use crate::card_check::CardError;
use crate::digests::Digests;
use crate::folder::{
    BASE_FILE, CARD_FILE, CARD_TEXT_FILE, MODELS_DIR, SIGNATURE_FILE, base_manifest, listed_paths,
    model_manifest, model_path, model_places,
};
use crate::signing::{SigningError, SigningKit};
use crate::verified::{UnverifiedError, Verified, verify_folder};
use crate::{Figures, wording};

/// Begins the name of a folder that is being written; one that stays was interrupted and may be deleted.
const UNFINISHED: &str = ".unfinished-model-";

/// A package being written. Dropped before [`PackageWriter::finish`], it leaves nothing.
pub struct PackageWriter {
    out: PathBuf,
    unfinished: TempDir,
    study: Study,
    arm: Arm,
    files: Vec<FileCard>,
    models: Vec<ModelCard>,
}

/// One lane's chosen model.
#[derive(Debug, Clone, Copy)]
pub struct ExportedModel<'a> {
    /// What it sees.
    pub modality: Modality,
    /// The fold it was not trained on.
    pub fold: Fold,
    /// The chosen round.
    pub round: Round,
    /// Its figures on that fold.
    pub validation: Option<Figures>,
    /// Its trained tensors, as safetensors.
    pub safetensors: &'a [u8],
}

/// What the card says of the study's course.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyFacts {
    /// The program that exports, with its version.
    pub software: String,
    /// The day of the export (YYYY-MM-DD).
    pub date: Option<String>,
    /// The sites in numbers.
    pub sites: SiteCounts,
    /// The patients of all sites, one entry a modality in the study's order.
    pub cohort: Vec<CohortCard>,
    /// What is known of the backbone. Ignored for an arm without one.
    pub base: BaseNote,
    /// The figures of late fusion.
    pub groups: Vec<GroupCard>,
}

/// Why no package was written. Nothing is left where it should have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Something has the name already.
    #[error("{0} already exists: name another folder; an export never overwrites")]
    Exists(PathBuf),
    /// The file system refuses.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The study has no such arm.
    #[error("the study has no arm {0}: name one of its own")]
    NoSuchArm(Arm),
    /// The study has no such file, or it was given before.
    #[error("{0} is not a file of this package, or was added twice")]
    Misplaced(String),
    /// Files that were not added.
    #[error("the package still lacks {}", .0.join(", "))]
    Incomplete(Vec<String>),
    /// Bytes that are not the network's weights.
    #[error("the weights for {path} are refused: {source}")]
    Weights {
        /// The file they were for.
        path: String,
        /// What is wrong with them.
        source: WeightsError,
    },
    /// Facts that no card can hold.
    #[error("the card would be refused: {0}")]
    Card(#[from] CardError),
    /// It cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// It was written and is not what it should be: the disk, or the authority.
    #[error("what was written does not verify: {0}")]
    Unverified(#[from] UnverifiedError),
}

impl PackageWriter {
    /// Begins a package of `arm` at `out`, which must not exist; folders above it are created.
    ///
    /// # Errors
    /// Where something is at `out`, the study lacks the arm, or the disk refuses.
    pub fn create(out: &Path, study: &Study, arm: Arm) -> Result<Self, WriteError> {
        if !study.arms.contains(&arm) {
            return Err(WriteError::NoSuchArm(arm));
        }
        refuse_existing(out)?;
        let above = match out.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let write = |source| WriteError::Write { path: above.to_owned(), source };
        fs::create_dir_all(above).map_err(write)?;
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(above).map_err(write)?;
        let writer = Self {
            out: out.to_owned(),
            unfinished,
            study: study.clone(),
            arm,
            files: Vec::new(),
            models: Vec::new(),
        };
        let models = writer.folder().join(MODELS_DIR);
        fs::create_dir_all(&models).map_err(|source| WriteError::Write { path: models, source })?;
        Ok(writer)
    }

    /// Adds the pretrained backbone, as safetensors.
    ///
    /// # Errors
    /// Where the arm has none, the tensors are not the network's, or the disk refuses.
    pub fn add_base(&mut self, safetensors: &[u8]) -> Result<(), WriteError> {
        self.add_weights(BASE_FILE.to_owned(), base_manifest(&self.study), safetensors)
    }

    /// Adds a model.
    ///
    /// # Errors
    /// Where the study has no such lane, it was added before, the tensors are not the network's, or the disk refuses.
    pub fn add_model(&mut self, model: ExportedModel<'_>) -> Result<(), WriteError> {
        let ExportedModel { modality, fold, round, validation, safetensors } = model;
        let manifest = model_manifest(&self.study, self.arm);
        self.add_weights(model_path(modality, fold), manifest, safetensors)?;
        self.models.push(ModelCard { modality, fold, round, validation });
        Ok(())
    }

    /// Writes the card, signs it, verifies the whole and gives the folder its name.
    ///
    /// # Errors
    /// Where a model is missing, the facts contradict the study, it cannot be signed, or the disk refuses.
    pub fn finish(mut self, facts: StudyFacts, kit: &SigningKit) -> Result<Verified, WriteError> {
        let mut paths = listed_paths(&self.study, self.arm);
        paths.retain(|path| path != CARD_TEXT_FILE);
        let mut card = self.card(facts, self.listed(&paths)?);
        let text = card.to_markdown();
        self.add(CARD_TEXT_FILE.to_owned(), text.as_bytes())?;
        card.files = self.listed(&listed_paths(&self.study, self.arm))?;
        let json = card.to_json();
        Card::parse(json.as_bytes())?;
        let signature = kit.sign(json.as_bytes())?.to_json();
        write_file(&self.folder().join(CARD_FILE), json.as_bytes())?;
        write_file(&self.folder().join(SIGNATURE_FILE), signature.as_bytes())?;
        let Verified { package, signer } = verify_folder(&self.folder(), kit.ca_pem())?;
        refuse_existing(&self.out)?;
        fs::rename(self.folder(), &self.out)
            .map_err(|source| WriteError::Write { path: self.out.clone(), source })?;
        Ok(Verified { package: package.moved_to(self.out), signer })
    }

    /// The folder that becomes the package. Not the temporary folder itself, which only its owner may read.
    fn folder(&self) -> PathBuf {
        self.unfinished.path().join("package")
    }

    fn add_weights(
        &mut self,
        path: String,
        manifest: Arc<[TensorSpec]>,
        safetensors: &[u8],
    ) -> Result<(), WriteError> {
        let expected = listed_paths(&self.study, self.arm).contains(&path);
        if !expected || self.files.iter().any(|file| file.path == path) {
            return Err(WriteError::Misplaced(path));
        }
        if let Err(source) = Weights::from_safetensors(safetensors, manifest) {
            return Err(WriteError::Weights { path, source });
        }
        self.add(path, safetensors)
    }

    fn add(&mut self, path: String, content: &[u8]) -> Result<(), WriteError> {
        write_file(&place(&self.folder(), &path), content)?;
        let Digests { bytes, blake3, sha256 } = Digests::of(content);
        self.files.push(FileCard { path, bytes, blake3, sha256 });
        Ok(())
    }

    /// The files at `paths`, in that order.
    fn listed(&self, paths: &[String]) -> Result<Vec<FileCard>, WriteError> {
        let file = |path: &String| self.files.iter().find(|file| file.path == *path).cloned();
        let missing: Vec<String> = paths.iter().filter(|path| file(path).is_none()).cloned().collect();
        if missing.is_empty() {
            Ok(paths.iter().filter_map(file).collect())
        } else {
            Err(WriteError::Incomplete(missing))
        }
    }

    /// The card of `files`, which lack `card.md`: that one is made from it.
    fn card(&self, facts: StudyFacts, files: Vec<FileCard>) -> Card {
        let model = |(modality, fold)| {
            self.models.iter().find(|model| (model.modality, model.fold) == (modality, fold)).copied()
        };
        let study = &self.study;
        Card {
            schema: CARD_SCHEMA.to_owned(),
            software: facts.software,
            date: facts.date,
            name: study.name.clone(),
            study_hash: study.hash(),
            study: study.to_json(),
            arm: self.arm,
            network: study.network,
            norm: study.training.norm,
            route_samples: study.evaluation.route_samples,
            input: InputCard {
                preprocessing: study.preprocessing,
                shape: study.preprocessing.input_shape(),
                description: wording::describe(study.preprocessing),
            },
            modalities: study.modalities.clone(),
            folds: study.evaluation.folds,
            sites: facts.sites,
            cohort: facts.cohort,
            base: self.arm.is_pretrained().then_some(facts.base),
            models: model_places(study).into_iter().filter_map(model).collect(),
            groups: facts.groups,
            intended_use: wording::INTENDED_USE.to_owned(),
            limits: wording::LIMITS.map(str::to_owned).to_vec(),
            files,
        }
    }
}

/// A link that leads nowhere exists too.
fn refuse_existing(out: &Path) -> Result<(), WriteError> {
    match fs::symlink_metadata(out) {
        Ok(_) => Err(WriteError::Exists(out.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(WriteError::Write { path: out.to_owned(), source }),
    }
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|source| WriteError::Write { path: path.to_owned(), source })
}
