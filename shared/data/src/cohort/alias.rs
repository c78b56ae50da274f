//! How the public collections name their patients, in one spelling each.
//!
//! The collections overlap: UCSF-PDGM and UPENN-GBM gave cases to BraTS. A table may link a patient to other
//! collections, and a patient's own public name is an alias too.
//!
//! Deliberately absent: guesses. A hospital's own `P-1` is no alias, for another hospital has one as well;
//! and equal numbers in BraTS 2021 and BraTS 2023 are not taken for equal patients.

use super::identity::{Alias, is_plain};
use super::table::RowProblem;
use super::ucsf_pdgm;

/// A public collection's way of naming patients: a prefix and digits.
struct Collection {
    /// Stands before the colon.
    name: &'static str,
    prefix: &'static str,
    digits: &'static [usize],
    /// From the digits to what stands behind the colon.
    canonical: fn(&str) -> String,
}

const COLLECTIONS: [Collection; 4] = [
    Collection {
        name: "upenn-gbm",
        prefix: "UPENN-GBM-",
        digits: &[5],
        canonical: |digits| format!("UPENN-GBM-{digits}"),
    },
    Collection {
        name: "ucsf-pdgm",
        prefix: "UCSF-PDGM-",
        digits: &[3, 4],
        canonical: |digits| ucsf_pdgm::patient_number(digits).into_owned(),
    },
    Collection { name: "brats21", prefix: "BraTS2021_", digits: &[5], canonical: str::to_owned },
    Collection { name: "brats23", prefix: "BraTS-GLI-", digits: &[5], canonical: str::to_owned },
];

impl Collection {
    fn recognise(&self, name: &str) -> Option<Alias> {
        let digits = name.strip_prefix(self.prefix)?;
        let fits = self.digits.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| Alias::new(format!("{}:{}", self.name, (self.canonical)(digits))))
    }
}

impl Alias {
    /// The alias of a patient's public name, such as `BraTS2021_00017` or `UCSF-PDGM-004`; `None` for any
    /// other name.
    pub(super) fn of_public_name(name: &str) -> Option<Self> {
        COLLECTIONS.iter().find_map(|collection| collection.recognise(name))
    }

    /// Reads the cell of a column `BraTS21 ID`; blank where there is no link.
    pub(super) fn brats21(cell: &str, column: &'static str) -> Result<Option<Self>, RowProblem> {
        if cell.is_empty() {
            return Ok(None);
        }
        let alias = Self::of_public_name(cell).filter(|_| cell.starts_with("BraTS2021_"));
        let form = "of the form BraTS2021_00017, or blank";
        alias.map(Some).ok_or(RowProblem::Name { column, form })
    }

    /// Reads an alias as somebody wrote it: a public name, or `collection:id`. The id of a collection known
    /// here must be one of its patients' names, with or without the prefix.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some((collection, id)) = text.split_once(':') else {
            return Self::of_public_name(text);
        };
        if let Some(known) = COLLECTIONS.iter().find(|known| known.name == collection) {
            return known.recognise(id).or_else(|| known.recognise(&format!("{}{id}", known.prefix)));
        }
        let lower = !collection.bytes().any(|b| b.is_ascii_uppercase());
        (lower && is_plain(collection) && is_plain(id)).then(|| Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        Alias::parse(text).map(|alias| alias.reveal().to_owned())
    }

    #[test]
    fn every_spelling_of_a_public_name_is_one_alias() {
        for (canonical, spellings) in [
            (
                "upenn-gbm:UPENN-GBM-00001",
                ["UPENN-GBM-00001", "upenn-gbm:UPENN-GBM-00001", "upenn-gbm:00001"],
            ),
            ("ucsf-pdgm:0004", ["UCSF-PDGM-004", "UCSF-PDGM-0004", "ucsf-pdgm:004"]),
            ("brats21:00017", ["BraTS2021_00017", "brats21:BraTS2021_00017", "brats21:00017"]),
            ("brats23:00017", ["BraTS-GLI-00017", "brats23:BraTS-GLI-00017", "brats23:00017"]),
            ("tcga-gbm:TCGA-02-0001", ["tcga-gbm:TCGA-02-0001"; 3]),
        ] {
            for spelling in spellings {
                assert_eq!(parse(spelling).as_deref(), Some(canonical), "{spelling}");
            }
        }
    }

    #[test]
    fn a_name_of_no_collection_is_no_alias() {
        for text in [
            "",
            ":",
            "P-1",
            "brats21:17",
            "brats21:",
            "BraTS2021_017",
            "BraTS21:00017",
            "a:b:c",
            "x:../y",
            "x:",
            "UPENN-GBM-00001_11",
            "UCSF-PDGM-00004",
            "ucsf-pdgm:x",
            "BraTS2021_0001٧",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
