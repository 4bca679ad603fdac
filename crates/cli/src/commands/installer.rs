//! `hostwright installer`: what a machine boots to be installed.

use crate::faults::Failure;
use crate::isolation;
use crate::render::json;
use clap::Subcommand;
use hostwright_host::namespace;
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_media::{InstallerOptions, Mirror, installer};
use hostwright_model::size::ByteSize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Kernel, initramfs and tools image for netboot: build.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  hostwright installer build --out /var/lib/hostwright/installer --agent /usr/lib/hostwright/hostwright-agent")]
pub enum Verb {
    /// Make kernel, initramfs and tools image, or those parts whose ingredients have changed.
    Build {
        /// Directory for the files.
        #[arg(long)]
        out: PathBuf,
        /// The static agent.
        #[arg(long, env = "HOSTWRIGHT_AGENT")]
        agent: PathBuf,
        /// Archive of Debian's packages, and the suite; without it this machine's apt sources.
        #[arg(long, value_name = "URL SUITE", num_args = 2)]
        mirror: Option<Vec<String>>,
        /// A Debian kernel package; without it the newest of the archive.
        #[arg(long, value_name = "DEB")]
        kernel: Option<PathBuf>,
    },
}

/// Does it.
pub fn run(verb: Verb, as_json: bool) -> Result<ExitCode, Failure> {
    let Verb::Build { out, agent, mirror, kernel } = verb;
    let why = "packages are unpacked and set up in a root of their own";
    if let Some(status) = isolation::own_processes(why)? {
        return Ok(status);
    }
    // First of all: threads that exist already would stay outside.
    namespace::own_mounts()?;
    namespace::show_own_processes()?;
    let mut host = RealHost::new(RealOptions::default());
    let options = InstallerOptions {
        out_dir: out,
        agent_binary: agent,
        mirror: mirror.map(mirror_of),
        kernel_package: kernel,
    };
    let made = installer::build(&mut host, &options, &mut |doing| eprintln!("installer: {doing}"))?;
    if as_json {
        json::print(&made);
        return Ok(ExitCode::SUCCESS);
    }
    println!("kernel     {}", made.kernel_release);
    for (name, file) in
        [("vmlinuz", &made.kernel), ("initrd", &made.initrd), ("tools", &made.tools)]
    {
        println!("{name:10} {:>10}  {}", ByteSize(file.size_bytes).rounded(), file.file);
    }
    Ok(ExitCode::SUCCESS)
}

fn mirror_of(mut words: Vec<String>) -> Mirror {
    let suite = words.pop().unwrap_or_default();
    Mirror { url: words.pop().unwrap_or_default(), suite }
}
