//! Two arms on the same patients: is one area under the ROC curve larger than the other?
//!
//! Two ways, which ask for different things to leave a site (docs/adr/0018-paired-comparison.md):
//! - [`JointHistogram`]: patients counted by both arms' bins; sums over sites give DeLong's comparison of the
//!   pooled areas ([`compare_joint`]). Its cells are many and small, so it is meant for sums that nobody sees site
//!   by site.
//! - [`SiteDifference`]: each site compares its own patients ([`compare_rows`]) and tells a difference and its
//!   variance; these are combined over sites ([`compare_sites`]).

mod delong;
mod joint;
mod sites;

pub use delong::{PairedComparison, PairedScore, compare_joint, compare_rows};
pub use joint::{JointError, JointHistogram};
pub use sites::{SiteDifference, SiteDifferenceError, SiteDifferences, compare_sites};
