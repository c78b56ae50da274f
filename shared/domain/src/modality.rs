//! What a network looks at: one single-channel network a modality, fused late.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of image. Layouts map their own file names (`T1c`, `t1ce`, `T1GD`) to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are the field's own")]
pub enum Modality {
    T1,
    T1gd,
    T2,
    Flair,
    DtiAd,
    DtiFa,
    DtiRd,
    DtiTr,
    DscApRcbv,
    DscPh,
    DscPsr,
}

/// A text that names no modality.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a modality: use one of {known}", known = Modality::ALL.map(|m| m.name()).join(", "))]
pub struct UnknownModality(String);

impl Modality {
    /// The eleven modalities of Schmitz, Guo and Wang (doi:10.1088/2057-1976/ace9e2, arXiv:2310.12373).
    pub const ALL: [Self; 11] = [
        Self::T1,
        Self::T1gd,
        Self::T2,
        Self::Flair,
        Self::DtiAd,
        Self::DtiFa,
        Self::DtiRd,
        Self::DtiTr,
        Self::DscApRcbv,
        Self::DscPh,
        Self::DscPsr,
    ];

    /// The name used in study files, on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::T1 => "t1",
            Self::T1gd => "t1gd",
            Self::T2 => "t2",
            Self::Flair => "flair",
            Self::DtiAd => "dti-ad",
            Self::DtiFa => "dti-fa",
            Self::DtiRd => "dti-rd",
            Self::DtiTr => "dti-tr",
            Self::DscApRcbv => "dsc-ap-rcbv",
            Self::DscPh => "dsc-ph",
            Self::DscPsr => "dsc-psr",
        }
    }

    const fn family(self) -> Family {
        match self {
            Self::T1 | Self::T1gd | Self::T2 | Self::Flair => Family::Structural,
            Self::DtiAd | Self::DtiFa | Self::DtiRd | Self::DtiTr => Family::Dti,
            Self::DscApRcbv | Self::DscPh | Self::DscPsr => Family::Dsc,
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Modality {
    type Err = UnknownModality;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| UnknownModality(text.to_owned()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Structural,
    Dti,
    Dsc,
}

/// Modalities whose probabilities are averaged for one prediction (late fusion).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModalityGroup {
    /// `t1gd`, or a combination such as `struct` or `dsc+dti`.
    pub name: String,
    /// The members, sorted.
    pub members: Vec<Modality>,
}

impl ModalityGroup {
    /// What a study over `modalities` reports: each modality alone, then the paper's seven combinations as far as
    /// they hold at least two of the modalities and differ from each other.
    pub fn of_study(modalities: &[Modality]) -> Vec<Self> {
        use Family::{Dsc, Dti, Structural};
        let mut groups: Vec<Self> =
            modalities.iter().map(|&m| Self { name: m.name().to_owned(), members: vec![m] }).collect();
        let combinations: [(&str, &[Family]); 7] = [
            ("dsc", &[Dsc]),
            ("struct", &[Structural]),
            ("dti", &[Dti]),
            ("dsc+dti", &[Dsc, Dti]),
            ("dsc+struct", &[Dsc, Structural]),
            ("dti+struct", &[Dti, Structural]),
            ("all", &[Dsc, Dti, Structural]),
        ];
        for (name, families) in combinations {
            let mut members: Vec<Modality> =
                modalities.iter().copied().filter(|m| families.contains(&m.family())).collect();
            members.sort_unstable();
            if members.len() > 1 && groups.iter().all(|group| group.members != members) {
                groups.push(Self { name: name.to_owned(), members });
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_through_text_and_serde() {
        for modality in Modality::ALL {
            assert_eq!(modality.name().parse(), Ok(modality));
            assert_eq!(serde_json::to_string(&modality).unwrap(), format!("\"{modality}\""));
        }
        assert!("t3".parse::<Modality>().unwrap_err().to_string().contains("dsc-psr"));
    }

    #[test]
    fn the_papers_study_has_eleven_singles_and_seven_combinations() {
        assert_eq!(ModalityGroup::of_study(&Modality::ALL).len(), 18);
    }

    #[test]
    fn combinations_that_add_nothing_are_left_out() {
        let names = |modalities: &[Modality]| -> Vec<String> {
            ModalityGroup::of_study(modalities).into_iter().map(|group| group.name).collect()
        };
        assert_eq!(names(&[Modality::Flair]), ["flair"]);
        assert_eq!(names(&[Modality::Flair, Modality::T1gd]), ["flair", "t1gd", "struct"]);
    }
}
