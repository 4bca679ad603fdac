//! What the program does under each of its names.

use crate::planner::SpacePackages;
use crate::{
    WORK_DIR, attendant, fault, modprobe, session, setup_storage, standalone, supervisor,
    tools_root, verbs,
};
use hostwright_engine::{FAT_STAGE, tools};
use hostwright_host::boot::process::{self, Power};
use hostwright_host::real::{RealHost, RealOptions};
use hostwright_model::fault::Fault;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: hostwright-agent VERB

Verbs for the rescue shell of a machine whose installation failed:
  resume     go on with the installation where it stopped
  undo [RECORD]
             put partition tables and signatures back as they were, while that can be done
  reboot     restart the machine, without unmounting anything
  install    install this machine from a config space that is at hand
  poweroff   switch the machine off, without unmounting anything
  hold       keep an installed machine from restarting; 'release' lets it go

Verbs for flows of one's own:
  list-drives               name, bytes, model and serial number of each disk
  dhcp-request [INTERFACE]  what a DHCP server offers
  load-configuration [DIR]  fetch the site's configuration files into DIR

The agent itself uses:
  session        install the machine
  attend [DIR [PORT]]
                 page, metrics and remote shell; of the record in DIR
  report-crash   tell the server that the session crashed too often
";

/// Runs what `name`, the path the program was started under, and its arguments ask for.
pub fn run(name: &str, args: &[String]) -> ExitCode {
    let name = name.rsplit('/').next().unwrap_or(name);
    if std::process::id() == 1 {
        supervisor::run();
    }
    if is_tool(name) {
        return run_tool(name, args);
    }
    match (name, args.first().map(String::as_str)) {
        ("modprobe", _) => status(i32::from(!modprobe::load(args))),
        (_, Some("session")) => status(session::run()),
        (_, Some("report-crash")) => status(session::report_crash()),
        (_, Some("attend")) => {
            let word = |index: usize| args.get(index).map(String::as_str);
            status(attendant::run(word(1), word(2)))
        }
        (_, Some("hold")) => hold(true),
        (_, Some("release")) => hold(false),
        (_, Some("install")) => status(standalone::run(&args[1..])),
        (_, Some("resume")) => match session::run() {
            session::INSTALLED => end(Power::Reboot),
            failed => status(failed),
        },
        (_, Some("list-drives")) => tell(verbs::list_drives().map_err(|e| fault::of_host(&e))),
        (_, Some("dhcp-request")) => tell(verbs::dhcp_request(args.get(1).map(String::as_str))),
        (_, Some("load-configuration")) => {
            tell(verbs::load_configuration(args.get(1).map(String::as_str)).map(|()| String::new()))
        }
        (_, Some("deconfig" | "bound" | "renew" | "leasefail" | "nak"))
            if std::env::var_os(verbs::PRINT).is_some() =>
        {
            let var = |name: &str| std::env::var(name).ok();
            tell(Ok(if args[0] == "bound" { verbs::lease(&var) } else { String::new() }))
        }
        (_, Some("undo")) => undo(&args.get(1).cloned().unwrap_or_else(session::record_dir)),
        (_, Some("reboot")) => end(Power::Reboot),
        (_, Some("poweroff")) => end(Power::Off),
        _ => {
            complain(USAGE);
            ExitCode::from(2)
        }
    }
}

/// True for the names of FAI's tools.
pub fn is_tool(name: &str) -> bool {
    tools::NAMES.contains(&name) || tools::PROGRAMS.contains(&name)
}

/// One of FAI's tools, called by a script of the config space.
pub fn run_tool(name: &str, args: &[String]) -> ExitCode {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let env = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    match name {
        setup_storage::NAME => return status(setup_storage::run(args, &env)),
        "faireboot" => return faireboot(),
        _ => {}
    }
    let fat_stage_dir = std::env::var(FAT_STAGE).ok();
    let mut host = RealHost::new(RealOptions { fat_stage_dir, ..RealOptions::default() });
    let dir = std::env::current_dir().map(|dir| text(dir.into_os_string()));
    let mut session = tools::Session {
        env,
        dir: dir.unwrap_or_else(|_| "/".to_owned()),
        host: &mut host,
        packages: &SpacePackages,
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
    };
    status(tools::main(name, args, &mut session))
}

/// Restarts the machine that is being installed, and no other: scripts are also run where images are
/// built.
fn faireboot() -> ExitCode {
    if !tools_root::is_entered() {
        complain("faireboot: this is not the installer of a machine, and is not restarted\n");
        return ExitCode::FAILURE;
    }
    end(Power::Reboot)
}

/// Takes back what the run of this machine did to its disks, as far as it can be.
fn undo(record_dir: &str) -> ExitCode {
    match hostwright_engine::undo_record(&mut RealHost::default(), record_dir) {
        Ok(changed) => {
            complain(&format!("{changed} devices were put back\n"));
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&format!("hostwright-agent: {fault}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what a verb found, or why it did not.
fn tell(found: Result<String, Box<Fault>>) -> ExitCode {
    match found {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(fault) => {
            complain(&format!("hostwright-agent: {fault}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Keeps PID 1 from ending the machine after the installation, or lets it.
fn hold(on: bool) -> ExitCode {
    let path = Path::new(WORK_DIR).join(supervisor::HOLD_FILE);
    let done = match on {
        true => std::fs::create_dir_all(WORK_DIR).and_then(|()| std::fs::write(&path, "")),
        false => std::fs::remove_file(&path),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("hostwright-agent: {}: {error}\n", path.display()));
            ExitCode::FAILURE
        }
    }
}

fn end(how: Power) -> ExitCode {
    match process::power(how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("hostwright-agent: {}\n", crate::fault::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

fn complain(text: &str) {
    // Nothing is left to be done where standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn status(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}
