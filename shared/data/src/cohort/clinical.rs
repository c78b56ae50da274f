//! What a clinical table says of a patient beside the label: age, sex, and when the scan was made.
//!
//! All of it is optional, in tables and in use: a patient without age or sex takes part in everything but the baseline
//! on age and sex. It stays at the site, as sums over many patients leave (docs/threat-model.md).

use std::fmt;

use super::table::{Column, Row};

/// Nobody is older.
const MOST_YEARS: f64 = 120.0;

/// The sex in the hospital's table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

/// Age and sex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Demographics {
    /// Hundredths of a year, the finest that public tables have.
    hundredths: u16,
    sex: Sex,
}

/// The day of a scan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanDate {
    year: u16,
    month: u8,
    day: u8,
}

/// What is known of a patient.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Clinical {
    /// Age at the scan, and sex; only where both are known.
    pub demographics: Option<Demographics>,
    /// The day of the scan.
    pub scanned: Option<ScanDate>,
}

impl Demographics {
    /// Both as a table has them; `None` where one is blank or no such thing: `NA`, `Not Available`, `>89`.
    pub(super) fn read(age: &str, sex: &str) -> Option<Self> {
        let years: f64 = age.parse().ok()?;
        let sex = match sex.to_ascii_lowercase().as_str() {
            "f" | "female" => Sex::Female,
            "m" | "male" => Sex::Male,
            _ => return None,
        };
        let known = (0.0..=MOST_YEARS).contains(&years);
        known.then(|| Self { hundredths: (years * 100.0).round() as u16, sex })
    }

    /// What the baseline on age and sex sees: decades from sixty years on, and 1 for men.
    pub fn features(&self) -> [f64; 2] {
        let male = if self.sex == Sex::Male { 1.0 } else { 0.0 };
        [(f64::from(self.hundredths) / 100.0 - 60.0) / 10.0, male]
    }
}

impl Clinical {
    /// What a row says in these columns of age and sex.
    pub(super) fn of(row: &Row, age: Option<Column>, sex: Option<Column>) -> Self {
        let demographics =
            age.zip(sex).and_then(|(age, sex)| Demographics::read(row.cell(age), row.cell(sex)));
        Self { demographics, scanned: None }
    }
}

impl ScanDate {
    /// `2019-06-30`, and nothing else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let form = |(place, byte): (usize, u8)| {
            if matches!(place, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() }
        };
        if text.len() != 10 || !text.bytes().enumerate().all(form) {
            return None;
        }
        let (year, month, day) = (text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?);
        let (months, days) = (1..=12u8, 1..=31u8);
        (months.contains(&month) && days.contains(&day)).then_some(Self { year, month, day })
    }

    /// Its year, the coarsest that is of use.
    pub(crate) const fn year(self) -> u16 {
        self.year
    }
}

macro_rules! private {
    ($($name:ident),*) => {$(
        /// Shows that there is something, not what.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

private!(Sex, Demographics, ScanDate, Clinical);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sexes_of_the_public_tables_are_understood() {
        let features = |age, sex| Demographics::read(age, sex).map(|known| known.features());
        assert_eq!(features("52.16", "F"), Some([(52.16 - 60.0) / 10.0, 0.0]));
        assert_eq!(features("66", "M"), Some([0.6, 1.0]));
        assert_eq!(features("60", "male"), Some([0.0, 1.0]));
        for (age, sex) in [
            ("", "F"),
            ("NA", "M"),
            ("61", ""),
            ("61", "Not Available"),
            (">89", "F"),
            ("NaN", "F"),
            ("-1", "F"),
        ] {
            assert_eq!(features(age, sex), None, "{age} {sex}");
        }
    }

    #[test]
    fn dates_are_days_in_order_and_nothing_is_shown() {
        let date = |text| ScanDate::read(text);
        assert!(date("2019-06-30") < date("2019-07-01") && date("2019-12-31") < date("2020-01-01"));
        for bad in [
            "",
            "30.06.2019",
            "2019-13-01",
            "2019-00-10",
            "2019-06-32",
            "2019-6-30",
            "2019-06-3\u{e9}",
            "+019-06-30",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
        let known = Clinical { demographics: Demographics::read("52.16", "F"), scanned: date("2019-06-30") };
        assert_eq!(format!("{known:?} {:?}", known.scanned), "Clinical(..) Some(ScanDate(..))");
    }
}
