//! A run of the engine on a simulated machine, with this crate as its planner.

use hostwright_engine::{Images, Planner, Session, Settings};
use hostwright_host::sim::{Effect, RootKind, SimHost};
use hostwright_model::class::ClassList;
use hostwright_model::event::EventBody;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::image::{ImageRef, TreeSource};
use hostwright_model::plan::{Inputs, Plan};
use hostwright_plan::{ConfigSpace, ConfigTree, parse, resolve};
use std::collections::BTreeMap;

const SPACE: &str = "/space";

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Code of the finding, or of another fault, that stopped it.
    pub fault: Option<String>,
    /// What is different on the disks.
    pub written: Vec<String>,
}

struct SpacePlanner(ConfigSpace);

impl Planner for SpacePlanner {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        resolve(&self.0, inputs).map_err(|found| {
            let worst = found.iter().max_by_key(|finding| finding.severity).unwrap();
            let message = worst.to_string();
            Box::new(Fault::new(FaultKind::Config, &worst.code, message, "mend it"))
        })
    }
}

/// No image is ever wanted: the defect comes first.
struct NoImages;

impl Images for NoImages {
    fn fetch(&mut self, image: &ImageRef, _: &mut dyn FnMut(u64, u64)) -> Result<(), Box<Fault>> {
        let message = format!("{} is fetched", image.name);
        Err(Box::new(Fault::new(FaultKind::Bug, "image-fetched", message, "")))
    }

    fn open(&self, image: &ImageRef) -> Result<Box<dyn TreeSource + '_>, Box<Fault>> {
        panic!("{} is opened", image.name);
    }
}

/// Runs the space of `tree` as a machine does it whose scripts give it the classes and variables of
/// `inputs`.
pub fn run(tree: &ConfigTree, mut inputs: Inputs) -> Outcome {
    let mut host = SimHost::new(inputs.facts.clone(), RootKind::Memory);
    for (path, file) in &tree.files {
        let mode = if file.executable { 0o755 } else { 0o644 };
        host.add_file(&format!("{SPACE}/{path}"), file.content.clone(), mode);
    }
    for (path, text) in [("/etc/resolv.conf", ""), ("/etc/hosts", ""), ("/dev/null", "")] {
        host.add_file(path, text, 0o644);
    }
    if let (Some(classes), Some(vars)) = (&inputs.classes, &inputs.vars) {
        scripts(&mut host, classes);
        let value = |(name, var): (&String, &hostwright_model::vars::Var)| {
            (name.clone(), var.value.clone())
        };
        let vars = vars.0.iter().map(value).collect();
        host.script(format!("{SPACE}/class/BASE.var"), Effect { vars, ..Effect::default() });
        (inputs.classes, inputs.vars) = (None, None);
    }
    let before = host.world();
    let mut images = NoImages;
    let ran = Session::open(&mut host, &mut images, settings(), inputs).and_then(|mut session| {
        let mut planner = SpacePlanner(parse(tree).0);
        hostwright_engine::run(&mut session, &mut planner, &mut |_: EventBody| {})
    });
    Outcome { fault: ran.err().map(|fault| fault.code), written: before.diff(&host.world()) }
}

/// Class scripts print all classes but those that every machine has; the rest is the engine's own
/// shell text.
fn scripts(host: &mut SimHost, classes: &ClassList) {
    let all: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    let printed = all.iter().filter(|name| !["DEFAULT", "demohost", "LAST"].contains(*name));
    let printed = printed.copied().collect::<Vec<_>>().join(" ");
    host.script(format!("{SPACE}/class/01-given"), Effect::prints(printed));
    let none = Effect { status: 1, ..Effect::default() };
    let known = BTreeMap::from([
        ("classes".to_owned(), all.join(" ")),
        ("cfclasses".to_owned(), "set".to_owned()),
    ]);
    host.script("cfclasses=", Effect { vars: known, ..Effect::default() });
    host.script("declare -f", Effect::prints("f () { :; }"));
    host.script("compgen -A function", Effect::default());
    for words in ["fcopy -BM ", "fcopy -M ", "fcopy -SBM "] {
        host.script(words, none.clone());
    }
    host.script("fcopy -SBMir ", Effect::default());
    host.script("unset newclasses", Effect::default());
    host.script("unshare --fork", Effect::sets("ROOTCMD", "chroot /target"));
}

fn settings() -> Settings {
    Settings {
        record_dir: "/record".to_owned(),
        space_dir: SPACE.to_owned(),
        target_dir: "/target".to_owned(),
        log_dir: "/tmp/fai".to_owned(),
        program: "/bin/false".to_owned(),
        shims: false,
        package_proxy: None,
        vars: BTreeMap::new(),
        defaults: BTreeMap::new(),
        flags: Vec::new(),
        verbose: false,
        firmware_view: None,
        fat_stage_dir: None,
    }
}
