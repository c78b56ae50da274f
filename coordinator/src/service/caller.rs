//! Who asks, and what they may.

use consilium_domain::{Role, SiteId};
use consilium_protocol::admin::{AdminRefusal, AdminRequest};

/// A person on a connection of their own, as their certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) name: SiteId,
    pub(super) may_change: bool,
}

impl Caller {
    /// The person whom `role` stands for, if it is one.
    pub(super) fn of(role: &Role) -> Option<Self> {
        match role {
            Role::Admin(name) => Some(Self { name: name.clone(), may_change: true }),
            Role::Observer(name) => Some(Self { name: name.clone(), may_change: false }),
            Role::Site(_) | Role::Coordinator => None,
        }
    }

    /// Whether the caller may ask that.
    pub(super) const fn admit(&self, request: &AdminRequest) -> Result<(), AdminRefusal> {
        if request.changes() && !self.may_change { Err(AdminRefusal::ReadOnly) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_are_callers_and_only_admins_change_things() {
        let name: SiteId = "alice".parse().unwrap();
        assert_eq!(Caller::of(&Role::Site(name.clone())), None);
        assert_eq!(Caller::of(&Role::Coordinator), None);
        let pause = AdminRequest::PauseStudy { study: "01234567".into() };
        let admin = Caller::of(&Role::Admin(name.clone())).unwrap();
        let observer = Caller::of(&Role::Observer(name)).unwrap();
        assert_eq!(admin.admit(&pause), Ok(()));
        assert_eq!(observer.admit(&pause), Err(AdminRefusal::ReadOnly));
        assert_eq!(observer.admit(&AdminRequest::ListStudies), Ok(()));
    }
}
