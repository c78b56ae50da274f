//! The identity of a patient, which nothing prints by accident.

/// A patient's name in the hospital's table. It has no `Display`, its `Debug` shows nothing, and it is never
/// serialised: it cannot slip into a log, an error or a message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatientId(String);

impl PatientId {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name itself, for files and screens inside the hospital only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Needed so that collections of cases can be compared in tests; shows that there is a patient, not which.
impl std::fmt::Debug for PatientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_name() {
        let patient = PatientId::new("UPENN-GBM-00042");
        assert!(!format!("{patient:?}").contains("42"));
        assert_eq!(patient.reveal(), "UPENN-GBM-00042");
    }
}
