//! The labels of what KIOPS makes, the same on every kind of runtime.

use crate::domain::spec::Target;

/// Says that an object is ours.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const KIOPS: &str = "kiops";
/// The organization's id.
pub const ORGANIZATION: &str = "kiops.dev/organization";
/// The service's id.
pub const SERVICE: &str = "kiops.dev/service";
/// The environment's id.
pub const ENVIRONMENT: &str = "kiops.dev/environment";
/// The service's name for the container.
pub const CONTAINER: &str = "kiops.dev/container";
/// The revision's number.
pub const REVISION: &str = "kiops.dev/revision";
/// On a namespace whose environment was removed and whose volumes were kept: the next environment of the organization
/// that wants the namespace has it, with them.
pub const KEPT: &str = "kiops.dev/kept";
/// repository:tag of what runs.
pub const IMAGE: &str = "kiops.dev/image";

/// The labels of everything that belongs to an environment.
pub fn of<M: FromIterator<(String, String)>>(target: &Target) -> M {
    [
        (MANAGED_BY, KIOPS),
        (ORGANIZATION, &target.organization_id),
        (SERVICE, &target.service_id),
        (ENVIRONMENT, &target.environment_id),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}
