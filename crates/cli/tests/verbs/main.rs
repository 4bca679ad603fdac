//! The verbs about a config space, run as a user runs them: the program in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod check;
mod explain;
mod layout;
mod plan;
mod space;
