//! Runs FAI's own tools and Hostwright's side by side and compares what they leave behind.
//!
//! Each case is a small tree of files and a command line; both programs get a copy of the tree. The
//! trees afterwards (kind, mode, owner, content, time), the exit status and standard output must be
//! equal, unless the case says why they are not.
//!
//! The tests need FAI's programs (Debian package fai-client); without them they fail and say so.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts the other program, reads its files, and ends at the first surprise"
)]

mod ainsl;
mod bench;
mod class;
mod fcopy;
mod ftar;
mod ifclass;
mod link_and_sed;
mod mount2dir;
mod prelude;
mod random;
mod save_and_fetch;
mod scripts;
mod target;
