//! Reading what tools write.
