//! Level 3: the real server and the real client in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]
#![expect(clippy::disallowed_methods, reason = "tests start the programs that they look at")]

mod events;
mod life;
mod machines;
mod monitor;
mod page;
mod remote_store;
mod site;
mod stream;
mod sudden_death;
mod tokens;
mod unknown;
