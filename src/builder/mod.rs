//! Making images of source trees. So far: what would be made, as data.

pub mod wizard;
