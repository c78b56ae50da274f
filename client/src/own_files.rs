//! What a site keeps for its own later work, and cannot keep or find any more.

use crate::predictions::PredictionsError;
use crate::residuals::ResidualsError;

/// Why a file of the state folder stops the client.
///
/// The order it was needed for can be carried out once the disk takes files again. So it is not answered with a failure,
/// which would cost the round this site's share; the client ends, and takes it up again when it is started.
#[derive(Debug, thiserror::Error)]
pub enum OwnFilesError {
    /// The probabilities that late fusion needs.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// The rounding errors that the next update needs.
    #[error(transparent)]
    Residuals(#[from] ResidualsError),
}
