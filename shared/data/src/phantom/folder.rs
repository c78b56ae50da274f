//! A synthetic hospital on disk, in the layout of UPENN-GBM.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use consilium_domain::{ClassCounts, Label, Modality, Seed};

use super::scanner::{Scanner, count, labels, prevalence};
use super::{Grid, PhantomCohort, PhantomPatient, ideal_auc, observed_auc};
use crate::WriteVolumeError;
use crate::cohort::upenn_gbm;

/// Patients are numbered `site * 10_000 + case`, so that no two sites share one.
const MAX_CASES_PER_SITE: usize = 9_999;
const MAX_SITES: usize = 999;

/// Largest distance between the classes: beyond it the ideal AUC is 1 to ten digits.
const MAX_SIGNAL: f64 = 10.0;

/// The header of the public table's version 2.1.
const COLUMNS: [&str; 12] = [
    "ID",
    "Gender",
    "Age_at_scan_years",
    "Survival_from_surgery_days_UPDATED",
    "Survival_Status",
    "Survival_Censor",
    "IDH1",
    "MGMT",
    "KPS",
    "GTR_over90percent",
    "Time_since_baseline_preop",
    "PsP_TP_score",
];

/// Why phantoms could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// A setting out of range.
    #[error("phantoms need {0}")]
    Setting(String),
    /// The folder holds something already.
    #[error("{}: exists already: choose another folder, or remove it", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder or table cannot be written.
    #[error(
        "{}: cannot be written ({cause}): check the folder, its permissions and the free space",
        path.display()
    )]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// An image cannot be written.
    #[error(transparent)]
    Volume(#[from] WriteVolumeError),
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct PhantomReport {
    /// The AUC of an observer who sees the latent score, over endless patients.
    pub ideal_auc: f64,
    /// The AUC of that observer on these very patients; `None` where a class is absent.
    pub observed_auc: Option<f64>,
    /// The sites in order.
    pub sites: Vec<PhantomSite>,
}

/// One site that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct PhantomSite {
    /// The folder to open with the layout `upenn-gbm`.
    pub folder: PathBuf,
    /// Its patients.
    pub counts: ClassCounts,
    /// Each patient's latent score, and whether the label is methylated, in the order of the table.
    pub latents: Vec<(f64, bool)>,
}

impl PhantomCohort {
    /// Writes every site to `out/site-1`, `out/site-2`, ...
    ///
    /// # Errors
    /// [`PhantomError`] where a setting is out of range, a site's folder exists, or the disk refuses.
    pub fn write(&self, out: &Path) -> Result<PhantomReport, PhantomError> {
        self.check()?;
        // All or nothing: find a folder in the way before hours of work.
        for site in 0..self.sites {
            refuse_existing(&site_folder(out, site))?;
        }
        let sites = (0..self.sites).map(|site| self.write_site(out, site)).collect::<Result<Vec<_>, _>>()?;
        let latents: Vec<(f64, bool)> = sites.iter().flat_map(|site| site.latents.iter().copied()).collect();
        Ok(PhantomReport { ideal_auc: ideal_auc(self.signal), observed_auc: observed_auc(&latents), sites })
    }

    /// Writes site number `site`, from 0, to `out/site-{site + 1}`. Sites may be written at the same time.
    ///
    /// # Errors
    /// As [`PhantomCohort::write`].
    pub fn write_site(&self, out: &Path, site: usize) -> Result<PhantomSite, PhantomError> {
        self.check()?;
        let folder = site_folder(out, site);
        refuse_existing(&folder)?;
        let images = folder.join("NIfTI-files");
        // Both always exist in the public archive, whatever else a site has.
        create_folder(&images.join("images_structural"))?;
        create_folder(&images.join("automated_segm"))?;
        let site_seed = self.site_seed(site);
        let mut table = format!("{}\n", COLUMNS.join(","));
        let mut latents = Vec::with_capacity(self.cases_per_site);
        for (index, (label, patient)) in self.patients(site).enumerate() {
            let id = format!("UPENN-GBM-{:05}_11", (site + 1) * (MAX_CASES_PER_SITE + 1) + index + 1);
            write_scan(&patient, &images, &id, self.grid, &self.modalities)?;
            table.push_str(&clinical_row(&id, label, &case_seed(&site_seed, index)));
            latents.push((patient.latent(), label == Label::Methylated));
        }
        let path = folder.join("UPENN-GBM_clinical_info_v2.1.csv");
        fs::write(&path, table).map_err(|cause| PhantomError::Io { path, cause })?;
        let counts = count(labels(prevalence(site), &site_seed).take(self.cases_per_site));
        Ok(PhantomSite { folder, counts, latents })
    }

    /// The patients of site number `site`, from 0, without writing anything.
    pub fn patients(&self, site: usize) -> impl Iterator<Item = (Label, PhantomPatient)> {
        let (seed, signal) = (self.site_seed(site), self.signal);
        let scanner = Scanner::draw(&seed);
        labels(prevalence(site), &seed).take(self.cases_per_site).enumerate().map(move |(index, label)| {
            (label, PhantomPatient::draw(&case_seed(&seed, index), label, signal, &scanner))
        })
    }

    fn site_seed(&self, site: usize) -> Seed {
        self.seed.derive(&format!("phantom/site/{site}"))
    }

    fn check(&self) -> Result<(), PhantomError> {
        let demand =
            |holds: bool, what: String| if holds { Ok(()) } else { Err(PhantomError::Setting(what)) };
        demand((1..=MAX_SITES).contains(&self.sites), format!("1 to {MAX_SITES} sites"))?;
        demand(
            (1..=MAX_CASES_PER_SITE).contains(&self.cases_per_site),
            format!("1 to {MAX_CASES_PER_SITE} cases at each site"),
        )?;
        demand((0.0..=MAX_SIGNAL).contains(&self.signal), format!("a signal from 0 to {MAX_SIGNAL}"))?;
        demand(!self.modalities.is_empty(), "at least one modality".to_owned())
    }
}

fn case_seed(site: &Seed, index: usize) -> Seed {
    site.derive(&format!("case/{index}"))
}

fn site_folder(out: &Path, site: usize) -> PathBuf {
    out.join(format!("site-{}", site + 1))
}

fn refuse_existing(folder: &Path) -> Result<(), PhantomError> {
    if folder.exists() { Err(PhantomError::Exists { folder: folder.to_owned() }) } else { Ok(()) }
}

fn create_folder(folder: &Path) -> Result<(), PhantomError> {
    fs::create_dir_all(folder).map_err(|cause| PhantomError::Io { path: folder.to_owned(), cause })
}

fn write_scan(
    patient: &PhantomPatient,
    images: &Path,
    id: &str,
    grid: Grid,
    modalities: &[Modality],
) -> Result<(), PhantomError> {
    let scene = patient.scene(grid);
    for &modality in modalities {
        let (folder, suffix) = upenn_gbm::place(modality);
        let mut folder = images.join(folder);
        // As the public archive unpacks.
        if folder.ends_with("images_DTI") {
            folder.push("images_DTI");
        }
        let folder = folder.join(id);
        create_folder(&folder)?;
        scene.image(modality).write_int16(&folder.join(format!("{id}_{suffix}.nii.gz")))?;
    }
    let mask = images.join("automated_segm").join(format!("{id}_automated_approx_segm.nii.gz"));
    Ok(scene.mask().write_int16(&mask)?)
}

/// One row of the table. Age, sex and survival are drawn without regard to the label.
fn clinical_row(id: &str, label: Label, seed: &Seed) -> String {
    let mut stream = seed.derive("clinic").stream();
    let gender = if stream.uniform() < 0.6 { "M" } else { "F" };
    let age = (63.0 + 11.0 * stream.normal()).clamp(19.0, 89.0);
    let survival = stream.between(20.0, 1200.0) as u32;
    let kps = ["60", "70", "80", "90", "100", "Not Available"][stream.below(6)];
    let resected = if stream.uniform() < 0.65 { "Y" } else { "N" };
    let mgmt = match label {
        Label::Methylated => "Methylated",
        Label::Unmethylated => "Unmethylated",
    };
    format!(
        "{id},{gender},{age:.2},{survival},Deceased,Not Available,Wildtype,{mgmt},{kps},{resected},0,NA\n"
    )
}
