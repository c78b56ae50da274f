//! The names of patients and scans, which nothing prints by accident.
//!
//! None of these types has a `Display`, their `Debug` shows nothing and they are never serialised: a name
//! cannot slip into a log, an error or a message.

use std::fmt;

/// Longest name of a patient or scan; the public ones have 18 characters. File systems allow 255 for a name
/// with its suffix.
pub(crate) const MAX_NAME_CHARS: usize = 128;

macro_rules! private_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub(crate) fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name itself, for files and screens inside the hospital only.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        /// Needed so that collections can be compared in tests; shows that there is a name, not which.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

private_name! {
    /// A patient's name in the hospital's table.
    PatientId
}

private_name! {
    /// A scan's name in the hospital's table or among its folders. It usually contains the patient's.
    ScanName
}

private_name! {
    /// A name under which a public collection knows a patient, as `collection:id`: `brats21:00017`.
    ///
    /// Always in one spelling, so that two sites that hold a copy of one patient hold an equal alias.
    Alias
}

/// Letters, digits, `-` and `_` only: such a name can be part of a path and leads nowhere else.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_name() {
        let patient = PatientId::new("UPENN-GBM-00042");
        assert_eq!(format!("{patient:?}"), "PatientId(..)");
        assert_eq!(patient.reveal(), "UPENN-GBM-00042");
        assert_eq!(format!("{:?}", ScanName::new("A_11")), "ScanName(..)");
        assert_eq!(format!("{:?}", Alias::new("brats21:00042")), "Alias(..)");
    }

    #[test]
    fn a_name_that_could_lead_elsewhere_is_not_plain() {
        assert!(is_plain("UPENN-GBM-00001_11"));
        let long = "a".repeat(MAX_NAME_CHARS + 1);
        for bad in ["", ".", "..", "../a", "/a", "a/b", "a\\b", "a b", "a\0", "a\n", "C:", "ä", long.as_str()]
        {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
