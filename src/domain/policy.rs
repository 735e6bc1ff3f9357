//! The one table that says which role may do what.
