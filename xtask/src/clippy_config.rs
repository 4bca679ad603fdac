//! Writes each crate's clippy.toml. Clippy reads only the nearest file and merges nothing, so every
//! crate needs a whole one, made here from one table of bans.

use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A kind of effect, the methods that have it, and what to use instead.
struct Ban {
    reason: &'static str,
    methods: &'static [&'static str],
}

const PROCESSES: Ban = Ban {
    reason: "only host starts processes: pass a host::Command to a Host",
    methods: &["std::process::Command::new", "tokio::process::Command::new"],
};

const ENVIRONMENT: Ban = Ban {
    reason: "only binaries read the environment: take the value as an argument",
    methods: &[
        "std::env::var",
        "std::env::var_os",
        "std::env::vars",
        "std::env::vars_os",
        "std::env::set_var",
        "std::env::remove_var",
        "std::env::current_dir",
    ],
};

const CLOCK: Ban = Ban {
    reason: "this crate is pure: take the time as an argument",
    methods: &["std::time::SystemTime::now", "std::time::Instant::now", "std::thread::sleep"],
};

const FILES: Ban = Ban {
    reason: "effects go through the Host, so that they can be simulated",
    methods: &[
        "std::fs::read",
        "std::fs::read_to_string",
        "std::fs::read_dir",
        "std::fs::read_link",
        "std::fs::write",
        "std::fs::copy",
        "std::fs::rename",
        "std::fs::remove_file",
        "std::fs::remove_dir",
        "std::fs::remove_dir_all",
        "std::fs::create_dir",
        "std::fs::create_dir_all",
        "std::fs::metadata",
        "std::fs::symlink_metadata",
        "std::fs::set_permissions",
        "std::fs::hard_link",
        "std::fs::File::open",
        "std::fs::File::create",
        "std::fs::OpenOptions::open",
        "std::fs::exists",
        "tokio::fs::read",
        "tokio::fs::write",
        "std::path::Path::exists",
        "std::path::Path::is_file",
        "std::path::Path::is_dir",
        "std::path::Path::is_symlink",
        "std::path::Path::metadata",
        "std::path::Path::symlink_metadata",
        "std::path::Path::read_dir",
        "std::path::Path::read_link",
        "std::path::Path::canonicalize",
        "std::path::Path::try_exists",
    ],
};

const NETWORK: Ban = Ban {
    reason: "this crate is pure: whoever calls it does the talking",
    methods: &[
        "std::net::TcpStream::connect",
        "std::net::TcpListener::bind",
        "std::net::UdpSocket::bind",
        "std::os::unix::net::UnixStream::connect",
        "std::os::unix::net::UnixListener::bind",
    ],
};

const MACHINE: Ban = Ban {
    reason: "only host mounts, unmounts and restarts",
    methods: &[
        "rustix::mount::mount",
        "rustix::mount::mount_bind",
        "rustix::mount::mount_bind_recursive",
        "rustix::mount::mount_remount",
        "rustix::mount::unmount",
        "rustix::system::reboot",
    ],
};

/// Each crate's directory and what it must not do.
const CRATES: &[(&str, &[&Ban])] = &[
    ("crates/model", &[&PROCESSES, &ENVIRONMENT, &CLOCK, &FILES, &NETWORK, &MACHINE]),
    ("crates/plan", &[&PROCESSES, &ENVIRONMENT, &CLOCK, &FILES, &NETWORK, &MACHINE]),
    ("crates/host", &[&ENVIRONMENT]),
    ("crates/store", &[&PROCESSES, &ENVIRONMENT, &MACHINE]),
    ("crates/client", &[&PROCESSES, &ENVIRONMENT, &MACHINE]),
    ("crates/engine", &[&PROCESSES, &ENVIRONMENT, &FILES, &NETWORK, &MACHINE]),
    ("crates/media", &[&PROCESSES, &ENVIRONMENT, &MACHINE]),
    ("crates/netboot", &[&PROCESSES, &ENVIRONMENT, &MACHINE]),
    ("crates/server", &[&PROCESSES, &ENVIRONMENT, &MACHINE]),
    ("crates/agent", &[&PROCESSES, &MACHINE]),
    ("crates/cli", &[&PROCESSES, &MACHINE]),
    // The lab is a user of the product: it starts it, and the machines, as a user would.
    ("crates/lab", &[]),
    ("fuzz", &[]),
    ("xtask", &[]),
];

/// Writes the files, or with `check_only` compares them.
pub fn generate(root: &Path, check_only: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (directory, bans) in CRATES {
        let path = root.join(directory).join("clippy.toml");
        let wanted = render(bans);
        if fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
            continue;
        }
        match check_only {
            true => stale.push(format!("{directory}/clippy.toml")),
            false => {
                fs::write(&path, wanted).with_context(|| format!("cannot write {directory}"))?
            }
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!("out of date, run `cargo xtask generate`: {}", stale.join(", "))
}

fn render(bans: &[&Ban]) -> String {
    let mut text = String::from(
        "# Made by `cargo xtask generate` from xtask/src/clippy_config.rs.\n\
         too-many-lines-threshold = 70\n\
         allow-unwrap-in-tests = true\n\
         allow-print-in-tests = true\n",
    );
    if bans.is_empty() {
        return text;
    }
    text.push_str("disallowed-methods = [\n");
    for ban in bans {
        for method in ban.methods {
            let reason = ban.reason;
            // A method of a crate that is not linked is no mistake.
            writeln!(
                text,
                "    {{ path = \"{method}\", reason = \"{reason}\", allow-invalid = true }},"
            )
            .expect("invariant: writing to a String works");
        }
    }
    text.push_str("]\n");
    text
}
