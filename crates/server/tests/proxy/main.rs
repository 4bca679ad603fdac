//! The package proxy: against origins that misbehave on demand, and against real apt.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod caching;
mod origin;
mod real_apt;
mod trouble;
