//! Fields of saves: left out, null, or a value.

use async_graphql::MaybeUndefined;

use crate::app::change::Change;

impl<T> From<MaybeUndefined<T>> for Change<T> {
    fn from(field: MaybeUndefined<T>) -> Self {
        match field {
            MaybeUndefined::Undefined => Self::Keep,
            MaybeUndefined::Null => Self::Clear,
            MaybeUndefined::Value(value) => Self::Set(value),
        }
    }
}
