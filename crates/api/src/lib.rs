//! The management API: dialects, authentication, OpenAPI, and the process around them.
//!
//! Status codes and JSON shapes live here and nowhere below. A request enters at the edge (`http`), is handled by
//! the dialect of its path (`dialects`), which calls one use case of `plumbline_engine`, and leaves by the edge.

pub mod config;
mod console;
mod dialects;
mod figures;
mod http;
mod names;
pub mod probe;
mod serve;
mod watch;

pub use serve::{Server, StartError, program, serve};
