//! The agent's program: PID 1, the session, and FAI's tools, by the name it is called under.

#[cfg(target_feature = "crt-static")]
mod nss_guard;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let name = args.next().unwrap_or_default();
    hostwright_agent::program::run(&name, &args.collect::<Vec<_>>())
}
