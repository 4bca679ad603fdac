//! The session: everything between an interface without a driver and an installed machine.
//!
//! ```text
//! network ► order ► tools image ► udev ► config space ► facts ► plan, run ► events stored
//! ```
//!
//! It can be killed and started again at any point: what was fetched is verified and kept, and the
//! engine goes on by its journal. All of that is in RAM; after a power cut it begins anew.

use crate::attendant::take_resume;
use crate::boot_options::BootOptions;
use crate::configuration::{self, Source, Whoami};
use crate::console::Console;
use crate::fault;
use crate::images::StoreImages;
use crate::manners::{Next, after_failure};
use crate::planner::{NotedPlanner, ServerPlanner, SpacePlanner};
use crate::plugins::{self, Notifier, Places};
use crate::report::{self, Reporter};
use crate::space::{self, SPACE_DIR};
use crate::{WORK_DIR, network, tools_root};
use hostwright_client::AgentClient;
use hostwright_engine::{Session, Settings};
use hostwright_host::boot::{clock, next_boot, process, root};
use hostwright_host::real::RealHost;
use hostwright_host::{Command, Host, HostError, Tool};
use hostwright_model::api::{Blob, Order, RecoveryKey};
use hostwright_model::class::ClassList;
use hostwright_model::event::EventBody;
use hostwright_model::facts::Facts;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::manners::{FailurePolicy, Manners, Plugins};
use hostwright_model::overrides::Overrides;
use hostwright_model::plan::{Discovered, Inputs, TargetProfile};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Exit status: the machine is installed and the server knows.
pub const INSTALLED: i32 = 0;
/// Exit status: it failed, and said why; the machine waits.
pub const FAILED: i32 = 10;
/// Exit status: it failed, and the machine shall be switched off. Every other status is a crash.
pub const FAILED_OFF: i32 = 11;

/// Where the configuration files of plugins are.
pub(crate) const CONFIG_DIR: &str = "/run/hostwright/config";
/// Where the installed system is mounted.
const TARGET_DIR: &str = "/target";

/// How long a machine that failed waits for the server to hear it.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// Clocks may differ by as much before the machine's is set.
const CLOCK_SLACK_MS: i64 = 2000;

/// Installs the machine, again and again where its manners say so. The exit status.
pub fn run() -> i32 {
    let console = Console::open();
    let Some(_lock) = lock() else {
        console.say("an installation is under way already");
        console.settle();
        return FAILED;
    };
    let status = run_by(&console);
    console.settle();
    status
}

fn run_by(console: &Console) -> i32 {
    let mut retries = 0;
    loop {
        let mut manners = Manners::default();
        let Err(fault) = install(console, &mut manners) else { return INSTALLED };
        report::show(console, &fault);
        let policy = manners.on_failure.unwrap_or(FailurePolicy::Hold);
        match after_failure(policy, &fault, retries) {
            Next::Retry(pause) => {
                retries += 1;
                let seconds = pause.as_secs();
                console.say(&format!("trying again in {seconds} s, for time {retries} ({policy})"));
                wait_or_resume(pause);
            }
            Next::Hold => return FAILED,
            Next::PowerOff => {
                console.say("switching off, as the machine's manners say");
                return FAILED_OFF;
            }
        }
    }
}

/// Waits, unless somebody asks for it to go on at once.
fn wait_or_resume(pause: Duration) {
    const STEP: Duration = Duration::from_millis(500);
    let until = Instant::now() + pause;
    while Instant::now() < until && !take_resume(Path::new(WORK_DIR)) {
        thread::sleep(STEP);
    }
}

/// The right to install; one process at a time has it. None if another one has.
fn lock() -> Option<fs::File> {
    let file = fs::create_dir_all(WORK_DIR)
        .and_then(|()| fs::File::create(Path::new(WORK_DIR).join("session.lock")))
        .ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// Tells the server that this machine has given up. The exit status.
pub fn report_crash() -> i32 {
    let console = Console::open();
    let fault = Fault::new(
        FaultKind::Bug,
        "session-crashed",
        "the agent's session crashed again and again",
        "look at the machine's console; 'hostwright-agent resume' there tries once more",
    );
    let told = connect(&console, &mut Manners::default()).map(|connected| {
        connected.reporter.fail(&fault);
        connected.reporter.deliver_for(LAST_WORDS);
    });
    told.map_or(FAILED, |()| INSTALLED)
}

fn install(console: &Console, manners: &mut Manners) -> Result<(), Box<Fault>> {
    let connected = connect(console, manners)?;
    boot_here_again(console);
    let done = connected.carry_out();
    // A machine file says less than an order, which is about this one installation.
    manners.on_failure = manners.on_failure.or(connected.planned.get());
    let reporter = &connected.reporter;
    match &done {
        Ok(()) => {
            reporter.notify("completed", None);
            reporter.emit(EventBody::Rebooting);
            reporter.deliver();
            // Not before the server knows: it would wait for a machine that boots its disk.
            let followed = next_boot::follow_order(Path::new(next_boot::VARIABLES));
            followed.unwrap_or_else(|error| console.say(&fault::sentence(&error)));
        }
        Err(fault) => {
            reporter.fail(fault);
            reporter.notify("failed", Some(fault));
            reporter.deliver_for(LAST_WORDS);
        }
    }
    done
}

/// A machine that loses power before the end shall ask its server again, not start from a disk that
/// the boot loader's setup has put first already. Firmware that refuses is no reason to stop.
fn boot_here_again(console: &Console) {
    let set = next_boot::repeat(Path::new(next_boot::VARIABLES));
    if let Err(error) = set {
        console.say(&fault::sentence(&error));
    }
}

/// The server has said what to do.
struct Connected {
    client: AgentClient,
    /// `http://ADDRESS:PORT`.
    server: String,
    order: Order,
    reporter: Reporter,
    /// What the kernel command line says.
    options: BootOptions,
    /// Programs of the site's own.
    plugins: Plugins,
    places: Places,
    /// What the machine file says of failures, once there is a plan.
    planned: Cell<Option<FailurePolicy>>,
}

/// Brings the network up and asks the server what to do. `manners` becomes what is said of them as
/// far as one comes: the order's win over the kernel command line's.
fn connect(console: &Console, manners: &mut Manners) -> Result<Connected, Box<Fault>> {
    let cmdline = root::kernel_command_line().map_err(|error| fault::of_host(&error))?;
    let options = BootOptions::from_cmdline(&cmdline);
    manners.clone_from(&options.manners);
    let parameters = options.parameters.clone().ok_or_else(|| {
        Box::new(Fault::new(
            FaultKind::Environment,
            "not-netbooted",
            "the kernel command line names no server",
            "boot the machine from its boot server",
        ))
    })?;
    network::bring_up(options.mac, console)?;
    console.say(&format!("asking {} what to do", parameters.server));
    let start = start_id().map_err(|error| fault::of_host(&error))?;
    let client = AgentClient::new(&parameters.server, &parameters.token, &start);
    let order = client.order(&mut report::waiting(console));
    let order = order.map_err(|error| fault::of_client(&error))?;
    console
        .say(&format!("this is {}, run {}, attempt {}", order.machine, order.run, order.attempt));
    set_clock(&client, console);
    *manners = order.manners.clone().over(std::mem::take(manners));
    let plugins = manners.plugins.clone();
    let places = Places {
        config_dir: CONFIG_DIR.to_owned(),
        interface: network::active_interface().unwrap_or_default(),
        target: TARGET_DIR.to_owned(),
    };
    let (sender, notifier) = (client.events(order.attempt), Notifier::new(&plugins));
    let reporter = Reporter::new(console.clone(), sender, &order, notifier, places.clone());
    reporter.emit(EventBody::AgentStarted { uptime_ms: process::uptime_ms() });
    let server = parameters.server;
    let planned = Cell::default();
    Ok(Connected { client, server, order, reporter, options, plugins, places, planned })
}

/// Sets the clock by the server's, where it is wrong: certificates and time stamps depend on it.
fn set_clock(client: &AgentClient, console: &Console) {
    let Ok(server_ms) = client.server_time_ms() else { return };
    // An old server says nothing.
    if server_ms == 0 || (server_ms - clock::now_ms()).abs() < CLOCK_SLACK_MS {
        return;
    }
    match clock::set(server_ms) {
        Ok(()) => console.say("the clock was wrong; it is set by the server's"),
        Err(error) => console.say(&fault::sentence(&error)),
    }
}

/// A word that no other start of the agent has.
fn start_id() -> Result<String, HostError> {
    let path = "/proc/sys/kernel/random/uuid";
    let failed = |source| HostError::Io { operation: "read", path: path.to_owned(), source };
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(failed)
}

impl Connected {
    fn carry_out(&self) -> Result<(), Box<Fault>> {
        let Self { order, reporter, .. } = self;
        refuse_mistakes(&self.options)?;
        if !tools_root::is_entered() {
            let image = self.fetch("tools", &order.tools, "tools.squashfs")?;
            enter_tools(&image, reporter).map_err(|error| fault::of_host(&error))?;
        }
        let archive = self.fetch("space", &order.space, "space.tar.zst")?;
        let mut host = RealHost::default();
        let prepared = prepare(&mut host, order, &archive);
        let (planner, facts) = prepared.map_err(|error| fault::of_host(&error))?;
        let told = self.client.facts(&facts, &mut report::waiting(reporter.console()));
        told.map_err(|error| fault::of_client(&error))?;
        self.load_configuration(&facts)?;
        let facts = match &self.plugins.drive_selector {
            Some(selector) => plugins::select_drives(selector, facts)?,
            None => facts,
        };
        self.run_engine(&mut host, planner, facts)
    }

    /// Brings the site's configuration files to where plugins look for them, if the site names a
    /// source. A lease alone is none: most networks have a next server.
    fn load_configuration(&self, facts: &Facts) -> Result<(), Box<Fault>> {
        let cmdline = root::kernel_command_line().map_err(|error| fault::of_host(&error))?;
        let loader = self.plugins.configuration_loader.as_deref();
        let Some(source) = Source::find(&cmdline, loader, None) else { return Ok(()) };
        let whoami = Whoami::of(facts);
        configuration::load(&source, &whoami, &self.places, self.reporter.console())
    }

    /// Downloads a file into RAM.
    fn fetch(&self, what: &str, blob: &Blob, name: &str) -> Result<PathBuf, Box<Fault>> {
        let to = Path::new(WORK_DIR).join(name);
        let mut on_bytes = |done_bytes, total_bytes| {
            let what = what.to_owned();
            self.reporter.emit(EventBody::Fetch { what, done_bytes, total_bytes });
        };
        let mut on_wait = report::waiting(self.reporter.console());
        let fetched = self.client.download(blob, &to, &mut on_bytes, &mut on_wait);
        fetched.map(|()| to).map_err(|error| fault::of_client(&error))
    }

    fn run_engine(
        &self,
        host: &mut RealHost,
        planner: SpacePlanner,
        facts: Facts,
    ) -> Result<(), Box<Fault>> {
        let store = format!("{}{}", self.server.trim_end_matches('/'), self.order.store_path);
        let console = self.reporter.console().clone();
        let mut images = StoreImages::new(&store, format!("{WORK_DIR}/image"), console);
        let mut settings = settings(&self.order, &self.options.vars);
        if let Some(host) = host_of(&self.server) {
            settings.vars.entry("SERVER".to_owned()).or_insert_with(|| host.to_owned());
        }
        let inputs = inputs(&self.order, facts)?;
        let mut planner = NotedPlanner::new(planner, Path::new(&settings.record_dir));
        let mut keep = |key: &RecoveryKey| {
            let mut on_wait = report::waiting(self.reporter.console());
            let kept = self.client.keep_recovery_key(key, &mut on_wait);
            kept.map_err(|error| fault::of_client(&error))
        };
        let mut served = ServerPlanner { planner: &mut planner, keep: &mut keep };
        let mut session = Session::open(host, &mut images, settings, inputs)?;
        // The run is over when the plugin is. A run that had ended before says so once more: the
        // server may not have heard it.
        let mut emit = |body| match body {
            EventBody::RunFinished { ok: true, .. } => {}
            body => self.reporter.emit(body),
        };
        let report = hostwright_engine::run(&mut session, &mut served, &mut emit);
        self.planned.set(planner.on_failure);
        let report = report?;
        if let Some(configurator) = &self.plugins.network_configurator {
            plugins::configure_network(configurator, &self.places)?;
        }
        let task_error = report.task_error;
        self.reporter.emit(EventBody::RunFinished { ok: true, task_error, fault: None });
        Ok(())
    }
}

/// `10.0.0.1` of `http://10.0.0.1:4777`.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Some(host.trim_matches(['[', ']'])).filter(|host| !host.is_empty())
}

/// Words on the kernel command line that are meant for the agent and make no sense stop it before
/// anything is done.
fn refuse_mistakes(options: &BootOptions) -> Result<(), Box<Fault>> {
    let Some(first) = options.mistakes.first() else { return Ok(()) };
    let fault = Fault::new(
        FaultKind::Config,
        "bad-boot-option",
        format!("the kernel command line says {first}"),
        "correct it: 'kernel_cmdline' in the server's configuration, or the boot entry",
    );
    Err(Box::new(Fault { output: options.mistakes.clone(), ..fault }))
}

fn enter_tools(image: &Path, reporter: &Reporter) -> Result<(), HostError> {
    tools_root::mount(&image.display().to_string())?;
    tools_root::enter()?;
    if !tools_root::wait_for_pid_1() {
        reporter.console().say("PID 1 does not follow into the tools image");
    }
    Ok(())
}

/// Everything on the machine that a plan needs.
fn prepare(
    host: &mut RealHost,
    order: &Order,
    archive: &Path,
) -> Result<(SpacePlanner, Facts), HostError> {
    process::set_host_name(order.machine.as_str())?;
    start_udev(host)?;
    space::unpack(archive, order.space.digest, Path::new(SPACE_DIR))?;
    let planner = SpacePlanner::read(Path::new(SPACE_DIR))?;
    Ok((planner, host.facts()?))
}

/// Lets udev name the disks and load the drivers that are only in the tools image.
fn start_udev(host: &mut RealHost) -> Result<(), HostError> {
    let control = "/run/udev/control";
    if !Path::new(control).exists() {
        process::run("/lib/systemd/systemd-udevd", &["--daemon"])?;
    }
    let calls: [&[&str]; 3] = [
        &["trigger", "--type=subsystems", "--action=add"],
        &["trigger", "--type=devices", "--action=add"],
        &["settle", "--timeout=120"],
    ];
    for args in calls {
        let command = Command::new(Tool::Udevadm).args(args.iter().copied());
        host.run(&command, &mut |_, _| {})?.success()?;
    }
    Ok(())
}

fn inputs(order: &Order, facts: Facts) -> Result<Inputs, Box<Fault>> {
    let given: ClassList = order.classes.join(" ").parse().map_err(|error| {
        let message = format!("the order for {}: {error}", order.machine);
        let cure = "correct the classes of the machine on the server";
        Box::new(Fault::new(FaultKind::Config, "bad-class", message, cure))
    })?;
    let name = order.machine.as_str();
    Ok(Inputs {
        facts,
        hostname: name.split('.').next().unwrap_or(name).to_owned(),
        target: match &order.image {
            Some(image) => TargetProfile::DisksImage { image: image.clone() },
            None => TargetProfile::DisksClassic,
        },
        given_classes: given.iter().cloned().collect(),
        run_class_scripts: true,
        classes: None,
        vars: None,
        skips: Vec::new(),
        rules: order.rules,
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    })
}

/// FAI's own directories, since scripts know them. What the server says of the machine wins over the
/// kernel command line.
fn settings(order: &Order, boot_vars: &BTreeMap<String, String>) -> Settings {
    let mut vars = boot_vars.clone();
    vars.extend(order.vars.clone());
    Settings {
        record_dir: record_dir(),
        space_dir: SPACE_DIR.to_owned(),
        target_dir: TARGET_DIR.to_owned(),
        log_dir: "/tmp/fai".to_owned(),
        program: tools_root::PROGRAM.to_owned(),
        shims: true,
        package_proxy: order.package_proxy.clone(),
        vars,
        defaults: BTreeMap::new(),
        flags: vec!["verbose".to_owned(), "reboot".to_owned()],
        verbose: true,
        firmware_view: None,
        fat_stage_dir: None,
    }
}

/// Where the journal of this machine's run is.
pub(crate) fn record_dir() -> String {
    format!("{WORK_DIR}/run")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::ids::Digest;
    use hostwright_model::plan::Rules;

    fn order(classes: &[&str]) -> Order {
        let blob = |path: &str| Blob { path: path.into(), digest: Digest([0; 32]), size_bytes: 1 };
        Order {
            run: "r1".into(),
            attempt: 1,
            machine: "web1.example.org".into(),
            space: blob("/files/space"),
            tools: blob("/files/tools"),
            image: None,
            store_path: "/store".to_owned(),
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            vars: BTreeMap::from([("KEYMAP".to_owned(), "us".to_owned())]),
            package_proxy: Some("http://10.0.0.1:3142".to_owned()),
            rules: Rules::default(),
            manners: Manners::default(),
        }
    }

    fn facts() -> Facts {
        crate::samples::facts(&[])
    }

    #[test]
    fn an_order_becomes_the_inputs_of_a_plan() {
        let order = order(&["WEB", "SITE_A"]);
        let inputs = inputs(&order, facts()).unwrap();
        assert_eq!(inputs.hostname, "web1", "without the domain, as FAI has it");
        assert_eq!(inputs.target, TargetProfile::DisksClassic);
        let given: Vec<_> = inputs.given_classes.iter().map(|class| class.as_str()).collect();
        assert_eq!(given, ["WEB", "SITE_A"]);
        let boot_vars = BTreeMap::from([
            ("KEYMAP".to_owned(), "de".to_owned()),
            ("FAI_FLAGS".to_owned(), "sshd".to_owned()),
        ]);
        let settings = settings(&order, &boot_vars);
        assert_eq!(settings.vars["FAI_FLAGS"], "sshd");
        assert_eq!(settings.package_proxy.as_deref(), Some("http://10.0.0.1:3142"));
        assert_eq!(settings.vars["KEYMAP"], "us");
    }

    #[test]
    fn the_server_is_named_without_its_port() {
        assert_eq!(host_of("http://10.0.0.1:4777"), Some("10.0.0.1"));
        assert_eq!(host_of("http://boot.example.org/x"), Some("boot.example.org"));
        assert_eq!(host_of("10.0.0.1"), None);
    }

    #[test]
    fn a_class_that_is_none_is_refused_before_anything_is_done() {
        let fault = inputs(&order(&["a/b"]), facts()).unwrap_err();
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Config, "bad-class"));
        assert!(fault.message.contains("web1.example.org"), "{}", fault.message);
    }
}
