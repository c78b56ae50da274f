//! What leaves the site: the bytes of a protected update, and the few numbers told beside them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ProtectedUpdate, payload};

/// What a site tells of its update beside the payload. All of it is a claim: nothing here is proof.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedSummary")]
pub struct UpdateSummary {
    /// Patients trained on: the weight of the update. Positive.
    pub cases: u32,
    /// Coordinates that were cut to the clip.
    pub saturated: u64,
    /// Euclidean norm of the clipped update. It reveals nothing that an unmasked payload does not.
    pub norm: f64,
}

/// A summary that no update has.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "an update of {cases} cases with norm {norm} is refused: \
     cases must be positive, the norm finite and not negative"
)]
pub struct ImplausibleSummary {
    /// The claimed cases.
    pub cases: u32,
    /// The claimed norm.
    pub norm: f64,
}

#[derive(Deserialize)]
struct UncheckedSummary {
    cases: u32,
    saturated: u64,
    norm: f64,
}

impl TryFrom<UncheckedSummary> for UpdateSummary {
    type Error = ImplausibleSummary;

    fn try_from(sent: UncheckedSummary) -> Result<Self, Self::Error> {
        let UncheckedSummary { cases, saturated, norm } = sent;
        if cases > 0 && norm.is_finite() && norm >= 0.0 {
            Ok(Self { cases, saturated, norm })
        } else {
            Err(ImplausibleSummary { cases, norm })
        }
    }
}

/// A sealed update. The site keeps it until it is acknowledged.
#[derive(Clone, PartialEq)]
pub struct UpdateEnvelope {
    payload: Vec<u8>,
    summary: UpdateSummary,
}

impl ProtectedUpdate {
    /// Writes the plain payload, which every version reads.
    pub fn seal(self) -> UpdateEnvelope {
        let (units, summary) = self.into_parts();
        UpdateEnvelope { payload: payload::write(&units), summary }
    }
}

impl UpdateEnvelope {
    pub(crate) const fn new(payload: Vec<u8>, summary: UpdateSummary) -> Self {
        Self { payload, summary }
    }

    /// The bytes to send; [`crate::UpdatePayload::parse`] reads them.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What is told beside them.
    pub const fn summary(&self) -> UpdateSummary {
        self.summary
    }

    /// Both, without a copy.
    pub fn into_parts(self) -> (Vec<u8>, UpdateSummary) {
        (self.payload, self.summary)
    }
}

impl fmt::Debug for UpdateEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpdateEnvelope({} bytes, {:?})", self.payload.len(), self.summary)
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::FixedPoint;

    use super::*;
    use crate::{Grid, LocalUpdate};

    #[test]
    fn the_bytes_are_these() {
        let grid = Grid::new(FixedPoint { clip: 1, fraction_bits: 8 }).unwrap();
        let update = LocalUpdate::between(&[0.0; 3], vec![1.0 / 256.0, -2.0, 0.5], 9).unwrap();
        let (payload, summary) = update.clip(grid).quantise().seal().into_parts();
        let expected = b"CONSUPD1\x03\0\0\0\0\0\0\0\x01\0\0\0\x00\xff\xff\xff\x80\0\0\0";
        assert_eq!(payload, expected);
        let norm = (1.0f64 / 65536.0 + 1.0 + 0.25).sqrt();
        assert_eq!(summary, UpdateSummary { cases: 9, saturated: 1, norm });
    }

    #[test]
    fn implausible_summaries_are_refused() {
        let sound = r#"{"cases":3,"saturated":0,"norm":1.5}"#;
        assert!(serde_json::from_str::<UpdateSummary>(sound).is_ok());
        for bad in [sound.replace('3', "0"), sound.replace("1.5", "-1.5")] {
            let message = serde_json::from_str::<UpdateSummary>(&bad).unwrap_err().to_string();
            assert!(message.contains("is refused"), "{message}");
        }
        for norm in [f64::NAN, f64::INFINITY] {
            assert!(UpdateSummary::try_from(UncheckedSummary { cases: 1, saturated: 0, norm }).is_err());
        }
    }
}
