//! Placeholder for the first build.

pub mod shell;
pub mod tools;
