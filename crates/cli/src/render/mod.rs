//! How things look in a terminal, and as JSON.

pub mod diagnostics;
pub mod json;
pub mod progress;
pub mod sarif;
pub mod table;
