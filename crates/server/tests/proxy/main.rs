//! The package proxy: against origins that misbehave on demand, and against real apt.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]
#![expect(clippy::disallowed_methods, reason = "tests start the programs that they look at")]

mod caching;
mod origin;
mod real_apt;
mod trouble;
