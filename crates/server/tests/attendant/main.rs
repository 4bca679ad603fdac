//! Level 3: the real server, the real attendant of a machine and the real client in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]
#![expect(clippy::disallowed_methods, reason = "tests start the programs that they look at")]

mod certificates;
mod machine;
mod page;
mod resume;
mod shell;
#[path = "../api/site.rs"]
#[allow(dead_code, reason = "the tests of the API use more of it")]
mod site;
