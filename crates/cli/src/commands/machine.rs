//! `hostwright machine`: what a boot server provisions.

use super::shell;
use crate::faults::Failure;
use crate::render::{json, table};
use clap::Subcommand;
use hostwright_client::OperatorClient;
use hostwright_model::api::{Machine, MachineSpec, NextBoot, Run, UnknownMachine};
use hostwright_model::ids::{MacAddr, MachineName};
use hostwright_model::manners::{FailurePolicy, Manners, Notice, Plugins};
use hostwright_model::monitored::MonitoredMachine;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Machines of a boot server: add, list, show, install, cancel, remove; a shell on them.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  hostwright machine add web1 --mac 52:54:00:12:34:56 --space prod --image web --address 10.0.0.21
  hostwright machine install web1        armed once: it is installed at its next network boot
  hostwright machine list --unknown      who asked for an address or a boot file and is not known
  hostwright machine shell web1          while it is being installed, and after a failure
  hostwright machine shell web1 -- dmesg
  hostwright machine copy web1:/tmp/fai/fai.log .")]
pub enum Verb {
    /// Describe a new machine.
    Add(AddArgs),
    /// All machines.
    List {
        /// Machines that asked and are not known.
        #[arg(long)]
        unknown: bool,
        /// Machines that tell of their tasks by FAI's monitor protocol.
        #[arg(long, conflicts_with = "unknown")]
        monitored: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// One machine.
    Show(OneArgs),
    /// Install it when it boots from the network the next time.
    Install(OneArgs),
    /// Take an installation back that has not begun.
    Cancel {
        #[command(flatten)]
        one: OneArgs,
        /// Take it back even if it has begun; the machine is left as it is.
        #[arg(long)]
        force: bool,
    },
    /// Forget a machine and its runs.
    Remove(OneArgs),
    /// A shell on a machine that is being installed; Ctrl-\ leaves it.
    Shell(shell::ShellArgs),
    /// Copy a file to or from a machine that is being installed.
    Copy(shell::CopyArgs),
}

/// What describes a machine.
#[derive(clap::Args)]
pub struct AddArgs {
    /// Its name, and its host name.
    name: String,
    /// Address of a boot interface; may be given several times.
    #[arg(long = "mac", required = true)]
    macs: Vec<MacAddr>,
    /// Name of the config space, as in the server's configuration.
    #[arg(long)]
    space: String,
    /// Image to lay down; without one packages are installed on the machine.
    #[arg(long)]
    image: Option<String>,
    /// The IPv4 address it always gets; without one it gets one of the pool.
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// Classes beside those that the space's class scripts give.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// A variable beside those of the space.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    #[command(flatten)]
    manners: MannersArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// How the installer of a machine behaves.
#[derive(clap::Args)]
pub struct MannersArgs {
    /// What follows a failure: hold, retry, retry=TIMES or power-off; hold unless given.
    #[arg(long)]
    on_failure: Option<FailurePolicy>,
    /// Program that fetches configuration files; see docs/reference/agent.md.
    #[arg(long, value_name = "PROGRAM")]
    configuration_loader: Option<String>,
    /// Program that chooses disks.
    #[arg(long, value_name = "PROGRAM")]
    drive_selector: Option<String>,
    /// Program that configures the network of the installed system.
    #[arg(long, value_name = "PROGRAM")]
    network_configurator: Option<String>,
    /// Program that hears of the end of the installation.
    #[arg(long, value_name = "PROGRAM")]
    completion_notifier: Option<String>,
    /// What the notifier hears of beside a success: failure, progress.
    #[arg(long, value_delimiter = ',')]
    notify: Vec<Notice>,
}

impl MannersArgs {
    fn manners(&self) -> Manners {
        Manners {
            on_failure: self.on_failure,
            plugins: Plugins {
                configuration_loader: self.configuration_loader.clone(),
                drive_selector: self.drive_selector.clone(),
                network_configurator: self.network_configurator.clone(),
                completion_notifier: self.completion_notifier.clone(),
                notify: self.notify.clone(),
            },
        }
    }
}

/// One machine of one server.
#[derive(clap::Args)]
pub struct OneArgs {
    /// The machine.
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Which server, and the right to use it.
#[derive(clap::Args)]
pub struct ServerArgs {
    /// The boot server.
    #[arg(long, env = "HOSTWRIGHT_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// File with the operator's token; the server makes it in its state directory.
    #[arg(
        long,
        env = "HOSTWRIGHT_TOKEN_FILE",
        default_value = "/var/lib/hostwright/operator.token"
    )]
    token_file: PathBuf,
}

impl ServerArgs {
    /// A client with the operator's token.
    pub fn client(&self) -> Result<OperatorClient, Failure> {
        let token = std::fs::read_to_string(&self.token_file)
            .map_err(|error| crate::faults::file("read the token in", &self.token_file, &error))?;
        Ok(OperatorClient::new(&self.server, token.trim()))
    }
}

/// Does it.
pub fn run(verb: Verb, as_json: bool) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Add(args) => {
            let machine = args.server.client()?.add_machine(&spec(&args)?)?;
            match as_json {
                true => json::print(&machine),
                false => println!(
                    "{} is known; install it with: hostwright machine install {0}",
                    args.name
                ),
            }
        }
        Verb::List { unknown: true, server, .. } => list_unknown(&server.client()?, as_json)?,
        Verb::List { monitored: true, server, .. } => list_monitored(&server.client()?, as_json)?,
        Verb::List { server, .. } => list(&server.client()?.machines()?, as_json),
        Verb::Show(one) => {
            show(&one.server.client()?.machine(&MachineName::new(one.name))?, as_json)
        }
        Verb::Install(one) => {
            let run = one.server.client()?.install(&MachineName::new(&one.name))?;
            let text = format!("{} is armed (run {}); boot it from the network", one.name, run.id);
            print_run(&run, &text, as_json);
        }
        Verb::Cancel { one, force } => {
            let (client, name) = (one.server.client()?, MachineName::new(&one.name));
            let run = if force { client.cancel_by_force(&name)? } else { client.cancel(&name)? };
            let text = format!("{} will boot from its disk (run {} taken back)", one.name, run.id);
            print_run(&run, &text, as_json);
        }
        Verb::Shell(args) => return shell::shell(&args),
        Verb::Copy(args) => return shell::copy(&args),
        Verb::Remove(one) => {
            one.server.client()?.remove_machine(&MachineName::new(&one.name))?;
            match as_json {
                true => json::print(&serde_json::json!({ "removed": one.name })),
                false => println!("{} is forgotten", one.name),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn spec(args: &AddArgs) -> Result<MachineSpec, Failure> {
    Ok(MachineSpec {
        name: MachineName::new(&args.name),
        macs: args.macs.clone(),
        address: args.address,
        classes: args.classes.clone(),
        space: args.space.clone(),
        image: args.image.clone(),
        vars: crate::space_args::parse_vars(&args.vars)?,
        manners: args.manners.manners(),
    })
}

fn print_run(run: &Run, text: &str, as_json: bool) {
    match as_json {
        true => json::print(run),
        false => println!("{text}"),
    }
}

fn list(machines: &[Machine], as_json: bool) {
    if as_json {
        return json::print(&machines);
    }
    let row = |machine: &Machine| {
        let spec = &machine.spec;
        let macs: Vec<String> = spec.macs.iter().map(ToString::to_string).collect();
        let run = machine.run.as_ref().map_or("never installed".to_owned(), super::run::state_of);
        let image = spec.image.clone().unwrap_or_else(|| "(packages)".to_owned());
        [spec.name.to_string(), macs.join(" "), image, next_boot(machine).to_owned(), run]
    };
    let rows: Vec<_> = machines.iter().map(row).collect();
    table::print(["NAME", "ADDRESSES", "IMAGE", "BOOTS", "LATEST RUN"], &rows);
}

fn next_boot(machine: &Machine) -> &'static str {
    match machine.next_boot {
        NextBoot::Disk => "its disk",
        NextBoot::Install => "to install",
    }
}

fn show(machine: &Machine, as_json: bool) {
    if as_json {
        return json::print(machine);
    }
    let spec = &machine.spec;
    println!("name       {}", spec.name);
    for mac in &spec.macs {
        println!("mac        {mac}");
    }
    if let Some(address) = spec.address {
        println!("address    {address}");
    }
    println!("space      {}", spec.space);
    println!("image      {}", spec.image.as_deref().unwrap_or("(packages on the machine)"));
    println!("boots      {}", next_boot(machine));
    if let Some(run) = &machine.run {
        println!("latest run {} {}", run.id, super::run::state_of(run));
    }
    if let Some(facts) = &machine.facts {
        for disk in &facts.disks {
            let size = hostwright_model::size::ByteSize(disk.size_bytes).rounded();
            println!("disk       {} {size} {}", disk.path(), disk.serial.as_deref().unwrap_or(""));
        }
    }
}

fn list_unknown(client: &OperatorClient, as_json: bool) -> Result<(), Failure> {
    let unknown = client.unknown_machines()?;
    if as_json {
        json::print(&unknown);
        return Ok(());
    }
    let row = |seen: &UnknownMachine| {
        let time = jiff::Timestamp::from_millisecond(seen.last_seen_ms);
        let time = time.map_or_else(|_| String::new(), |time| format!("{time:.0}"));
        [seen.mac.to_string(), seen.asked_for.clone(), time]
    };
    let rows: Vec<_> = unknown.iter().map(row).collect();
    table::print(["ADDRESS", "ASKED FOR", "LAST SEEN"], &rows);
    Ok(())
}

fn list_monitored(client: &OperatorClient, as_json: bool) -> Result<(), Failure> {
    let machines = client.monitored_machines()?;
    if as_json {
        json::print(&machines);
        return Ok(());
    }
    let row = |machine: &MonitoredMachine| {
        let worst = machine.tasks.iter().map(|task| task.error).max().unwrap_or_default();
        let last = machine.tasks.last();
        let task = last.map(|task| format!("{} {}", task.name, task.state.name()));
        [machine.name.clone(), task.unwrap_or_default(), worst.to_string()]
    };
    let rows: Vec<_> = machines.iter().map(row).collect();
    table::print(["MACHINE", "LATEST TASK", "WORST ERROR"], &rows);
    Ok(())
}
