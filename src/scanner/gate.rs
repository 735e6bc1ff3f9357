//! What a gate lets through: pure.
