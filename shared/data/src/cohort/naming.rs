//! How a collection calls the files of one scan: the scan's name, a separator, and an ending for each kind of
//! image. Each layout states its own once; finding a scan's files and recognising them both follow from that.
//!
//! Deliberately absent: in which folders they lie, and what a scan's name looks like.

use std::path::Path;

use consilium_domain::Modality;

use super::folder;
use super::settle::Files;

/// The names of a scan's files, without `.nii.gz`.
pub(crate) struct FileNames {
    /// Between the scan's name and the ending. Where it is empty, files have no scan's name before the ending.
    pub(crate) separator: &'static str,
    /// The ending of each modality that the collection has.
    pub(crate) images: &'static [(Modality, &'static str)],
    /// The endings of the tumour's mask, the preferred one first.
    pub(crate) masks: &'static [&'static str],
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Image(Modality),
    /// Place in [`FileNames::masks`].
    Mask(usize),
}

impl FileNames {
    /// A file's name without `.nii.gz`.
    pub(crate) fn stem(&self, scan: &str, ending: &str) -> String {
        format!("{scan}{}{ending}", self.separator)
    }

    /// The ending of a modality's images, if the collection has them.
    pub(crate) fn ending(&self, modality: Modality) -> Option<&'static str> {
        self.images.iter().find(|(other, _)| *other == modality).map(|(_, ending)| *ending)
    }

    /// The files of `scan` that lie in `folder`.
    pub(crate) fn files(&self, folder: &Path, scan: &str) -> Files {
        let find = |ending| folder::image(folder, &self.stem(scan, ending));
        Files {
            images: self.images.iter().filter_map(|&(kind, ending)| Some((kind, find(ending)?))).collect(),
            mask: self.masks.iter().find_map(|ending| find(ending)),
        }
    }

    /// Reads a file's name without `.nii.gz`: whose it is, and what. The longest ending counts:
    /// `P_automated_approx_segm` is not the `_segm` of a scan `P_automated_approx`.
    pub(crate) fn read<'a>(&self, stem: &'a str) -> Option<(&'a str, Role)> {
        let images = self.images.iter().map(|&(modality, ending)| (ending, Role::Image(modality)));
        let masks = self.masks.iter().enumerate().map(|(rank, &ending)| (ending, Role::Mask(rank)));
        images
            .chain(masks)
            .filter_map(|(ending, role)| {
                let scan = stem.strip_suffix(ending)?.strip_suffix(self.separator)?;
                (scan.is_empty() == self.separator.is_empty()).then_some((scan, role))
            })
            .min_by_key(|(scan, _)| scan.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: FileNames = FileNames {
        separator: "_",
        images: &[(Modality::T1, "T1"), (Modality::DtiFa, "DTI_FA")],
        masks: &["segm", "approx_segm"],
    };

    const PLAIN: FileNames = FileNames { separator: "", images: &[(Modality::T1, "t1")], masks: &["mask"] };

    #[test]
    fn the_longest_ending_tells_what_a_file_is() {
        for (stem, expected) in [
            ("P_11_T1", Some(("P_11", Role::Image(Modality::T1)))),
            ("P_DTI_FA", Some(("P", Role::Image(Modality::DtiFa)))),
            ("P_segm", Some(("P", Role::Mask(0)))),
            ("P_approx_segm", Some(("P", Role::Mask(1)))),
            ("PT1", None),
            ("_T1", None),
            ("T1", None),
            ("P_t1", None),
            ("P_T1_unstripped", None),
            ("", None),
        ] {
            assert_eq!(NAMES.read(stem), expected, "{stem}");
        }
    }

    #[test]
    fn without_a_separator_nothing_stands_before_the_ending() {
        assert_eq!(PLAIN.read("t1"), Some(("", Role::Image(Modality::T1))));
        assert_eq!(PLAIN.read("mask"), Some(("", Role::Mask(0))));
        assert_eq!((PLAIN.read("at1"), PLAIN.read("brainmask")), (None, None));
    }

    #[test]
    fn every_stem_reads_back_as_what_it_was_made_of() {
        for &(modality, ending) in NAMES.images {
            assert_eq!(NAMES.read(&NAMES.stem("P-1_11", ending)), Some(("P-1_11", Role::Image(modality))));
            assert_eq!(NAMES.ending(modality), Some(ending));
        }
        assert_eq!(NAMES.ending(Modality::T2), None);
    }
}
