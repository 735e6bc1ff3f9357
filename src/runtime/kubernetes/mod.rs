//! Kubernetes.

pub mod manifest;
