//! The verbs about a config space, run as a user runs them: the program in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![allow(clippy::disallowed_methods, reason = "the program is started as a user would")]

mod check;
mod deploy;
mod described;
mod explain;
mod installer;
mod lab;
mod layout;
mod plan;
mod space;
