//! What any process needs: configuration, telemetry, an admin port, an orderly end, names and patience.
//!
//! This crate touches the environment and signals so that no other has to. It does not know what the
//! process is for.

pub mod admin;
pub mod backoff;
pub mod collector;
pub mod config;
pub mod descriptors;
pub mod dns;
pub mod rustls_provider;
pub mod shutdown;
pub mod telemetry;
