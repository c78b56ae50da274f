//! What a laboratory says of the MGMT promoter. Each layout maps its own words to this.

use consilium_domain::Label;

use super::Exclusion;

/// The laboratory's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mgmt {
    /// The promoter is methylated.
    Methylated,
    /// It is not.
    Unmethylated,
    /// The laboratory could not decide.
    Indeterminate,
    /// Not measured or not recorded.
    NotAvailable,
}

impl Mgmt {
    /// The label, or why there is none.
    pub(super) const fn label(self) -> Result<Label, Exclusion> {
        match self {
            Self::Methylated => Ok(Label::Methylated),
            Self::Unmethylated => Ok(Label::Unmethylated),
            Self::Indeterminate => Err(Exclusion::MgmtIndeterminate),
            Self::NotAvailable => Err(Exclusion::MgmtNotAvailable),
        }
    }
}
