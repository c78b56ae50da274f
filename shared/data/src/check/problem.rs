//! What can be wrong with a site's data: the kinds, how bad each is, and one problem with its place.
//!
//! A problem names patients and files: it is for the site's own eyes.

use std::path::PathBuf;

use consilium_domain::Modality;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file, case or site must not be used as it is.
    Error,
    /// It can be used, and somebody should look at it first.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Which file of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The image of a modality.
    Image(Modality),
    /// The tumour mask.
    Mask,
}

impl Role {
    /// The modality's name, or `mask`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image(modality) => modality.name(),
            Self::Mask => "mask",
        }
    }
}

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The site's data as a whole.
    Site,
    /// A table, folder or file that belongs to no case.
    Path(PathBuf),
    /// A scan that the layout left out.
    Scan {
        /// Its name.
        name: String,
        /// The folder that was given.
        folder: PathBuf,
        /// The table's line, from 1.
        line: Option<u64>,
    },
    /// A case as a whole, by its index in the report.
    Case(usize),
    /// One file of a case.
    File {
        /// The case's index in the report.
        case: usize,
        /// Which file.
        role: Role,
        /// Where it lies.
        path: PathBuf,
    },
}

impl Place {
    /// The case's index in the report, where there is one.
    pub const fn case(&self) -> Option<usize> {
        match self {
            Self::Case(case) | Self::File { case, .. } => Some(*case),
            Self::Site | Self::Path(_) | Self::Scan { .. } => None,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind.
    pub kind: ProblemKind,
    /// What it is about.
    pub place: Place,
    /// What is wrong, with the numbers.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(
        kind: ProblemKind,
        place: Place,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { kind, place, reason: reason.into(), remedy: remedy.into() }
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        self.kind.severity()
    }
}

/// Declares the kinds with all that is known of each: a kind cannot lack its name or severity.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident: $severity:ident, $code:literal, $title:literal;)*) => {
        /// The kinds of problems, the gravest first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl ProblemKind {
            /// Every kind, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name in JSON.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)* }
            }

            /// The heading in reports.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)* }
            }
        }
    };
}

kinds! {
    /// The layout could not be opened: the table or the folder is wrong.
    CannotOpen: Error, "cannot-open", "the folder or its table cannot be used";
    /// Nothing is left.
    NothingUsable: Error, "nothing-usable", "no usable case";
    /// A fold would lack a class.
    TooFewCases: Error, "too-few-cases", "fewer cases of a class than folds";
    /// The design needs days, and a case has none.
    NoDate: Error, "no-date", "scan without the day that the design needs";
    /// A file named in a manifest is absent.
    FileMissing: Error, "file-missing", "a file named in the table is missing";
    /// The scans of one patient contradict each other.
    LabelsDiffer: Error, "labels-differ", "a patient's scans have different labels";
    /// The system does not let the file be read.
    Unreadable: Error, "unreadable", "file cannot be read";
    /// Cut off, or its compression is broken.
    Damaged: Error, "damaged", "file is damaged";
    /// Not NIfTI, or a header that cannot be true.
    BadHeader: Error, "bad-header", "header is not one of a usable image";
    /// NaN or infinity.
    NotFinite: Error, "not-finite", "voxels are NaN or infinite";
    /// One file for two purposes.
    SameFile: Error, "same-file", "one file used twice";
    /// Image and mask do not share a grid.
    OtherGrid: Error, "other-grid", "image and mask on different grids";
    /// Only background.
    EmptyImage: Error, "empty-image", "image holds only background";
    /// One value for the whole brain.
    ConstantImage: Error, "constant-image", "image is constant";
    /// No tumour.
    EmptyMask: Error, "empty-mask", "mask marks no tumour";
    /// Values that no tumour mask has.
    UnknownLabels: Error, "unknown-labels", "mask holds unknown labels";
    /// The mask marks mostly background.
    MaskOutside: Error, "mask-outside", "mask lies outside the brain";
    /// The same voxels under two patients.
    DuplicateImage: Error, "duplicate-image", "same image under two patients";
    /// The same voxels under two modalities.
    DuplicateModality: Error, "duplicate-modality", "same image under two modalities";
    /// The same mask under two patients.
    DuplicateMask: Warning, "duplicate-mask", "same mask under two patients";
    /// Some of the mask marks background.
    MaskPartlyOutside: Warning, "mask-partly-outside", "mask reaches outside the brain";
    /// The study resamples the image.
    Resampled: Warning, "resampled", "image on another grid than its mask";
    /// More tumour than brain.
    MaskTooLarge: Warning, "mask-too-large", "mask covers most of the brain";
    /// The image does not show the tumour.
    ImageMissesTumour: Warning, "image-misses-tumour", "image is background in most of the tumour";
    /// An image of labels.
    LooksLikeMask: Warning, "looks-like-mask", "image looks like a mask";
    /// Background that is not 0.
    NotStripped: Warning, "not-stripped", "background is not zero";
    /// The header does not say where the axes point.
    UnknownOrientation: Warning, "unknown-orientation", "orientation is unknown";
    /// Voxels of an unlikely size.
    OddSpacing: Warning, "odd-spacing", "unlikely voxel spacing";
    /// Two statements of the voxels' size.
    SpacingDisagrees: Warning, "spacing-disagrees", "header contradicts itself about spacing";
    /// The same grid at another place.
    Shifted: Warning, "shifted", "image and mask lie apart";
    /// No segmentation.
    NoMask: Warning, "no-mask", "scan without a tumour mask";
    /// No image.
    NoImage: Warning, "no-image", "scan without an image";
    /// Images that no row names.
    NotInTable: Warning, "not-in-table", "images without a row in the table";
    /// Named like an image, and no file.
    NotAFile: Warning, "not-a-file", "named like an image but not a file";
    /// A modality that the study may want is thin.
    ModalityTooFew: Warning, "modality-too-few", "modality with fewer cases of a class than folds";
    /// The hold-out cannot judge a class that it lacks.
    HoldoutLacksClass: Warning, "holdout-lacks-class", "nobody of a class would be set aside";
    /// A modality that was asked for is absent.
    ModalityAbsent: Warning, "modality-absent", "modality without a usable case";
    /// The profile schmitz2024 does not fit.
    NotAtlas: Note, "not-atlas", "not on the SRI24 grid";
    /// Images that nothing names.
    UnusedFiles: Note, "unused-files", "image files of no case";
}

impl ProblemKind {
    /// Whether the whole site cannot take part while the problem lasts.
    pub const fn stops_site(self) -> bool {
        matches!(self, Self::CannotOpen | Self::NothingUsable | Self::TooFewCases | Self::NoDate)
    }

    /// Whether the client leaves such a file or case out of a study by itself. Errors for which this is false
    /// would be trained on: only the site can mend them.
    pub const fn left_out_by_study(self) -> bool {
        matches!(
            self,
            Self::FileMissing
                | Self::LabelsDiffer
                | Self::Unreadable
                | Self::Damaged
                | Self::BadHeader
                | Self::NotFinite
                | Self::OtherGrid
                | Self::EmptyImage
                | Self::EmptyMask
                | Self::NoMask
                | Self::NoImage
                | Self::NotInTable
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_titles_are_distinct_and_kinds_are_sorted_by_severity() {
        let codes: BTreeSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
        let titles: BTreeSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.title()).collect();
        assert_eq!([codes.len(), titles.len()], [ProblemKind::ALL.len(); 2]);
        assert!(ProblemKind::ALL.is_sorted_by_key(|kind| kind.severity()));
        let stops = |kind: &&ProblemKind| kind.stops_site();
        assert!(ProblemKind::ALL.iter().filter(stops).all(|kind| kind.severity() == Severity::Error));
    }

    /// The document's table says of each kind what the code says.
    #[test]
    fn the_document_lists_every_kind_with_its_severity() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check.md");
        let document = std::fs::read_to_string(path).unwrap();
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        for kind in ProblemKind::ALL {
            let name = format!("`{}`", kind.code());
            let row =
                rows.iter().find(|row| row.contains(&name)).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(row.contains(&format!("| {} |", kind.severity().name())), "{row}");
            let error_of_file = kind.severity() == Severity::Error && !kind.stops_site();
            assert_eq!(row.contains('●'), error_of_file && !kind.left_out_by_study(), "{row}");
        }
    }
}
