//! What the tests share: a planner over a space, settings, facts.

use hostwright_engine::{Planner, Settings};
use hostwright_host::space::read_space;
use hostwright_model::event::EventBody;
use hostwright_model::existing::ExistingStorage;
use hostwright_model::facts::{Disk, Dmi, FACTS_VERSION, Facts, Firmware, Nic};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::overrides::Overrides;
use hostwright_model::plan::{Discovered, Inputs, Plan, Rules, TargetProfile};
use hostwright_plan::{ConfigSpace, ConfigTree, check_plan, parse, resolve};
use std::collections::BTreeMap;
use std::path::Path;

/// The planner of the product.
pub struct SpacePlanner(pub ConfigSpace);

impl SpacePlanner {
    pub fn read(dir: &Path) -> Self {
        let (space, _) = parse(&ConfigTree { files: read_space(dir).unwrap() });
        Self(space)
    }
}

impl Planner for SpacePlanner {
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>> {
        let plan = resolve(&self.0, inputs).map_err(|found| {
            let words: Vec<String> = found.iter().map(ToString::to_string).collect();
            Box::new(Fault::new(FaultKind::Config, "config-space", words.join("\n"), "mend it"))
        })?;
        assert_eq!(check_plan(&plan, inputs), []);
        Ok(plan)
    }
}

/// Always the same plan.
pub struct FixedPlan(pub Plan);

impl Planner for FixedPlan {
    fn plan(&mut self, _: &Inputs) -> Result<Plan, Box<Fault>> {
        Ok(self.0.clone())
    }
}

pub fn settings(base: &str, space: &str) -> Settings {
    Settings {
        record_dir: format!("{base}/record"),
        space_dir: space.to_owned(),
        target_dir: format!("{base}/target"),
        log_dir: format!("{base}/log"),
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

/// A small virtual machine with one empty disk.
pub fn facts() -> Facts {
    let disk = Disk {
        links: Vec::new(),
        name: "vda".to_owned(),
        size_bytes: 20 << 30,
        sector_bytes: 512,
        model: None,
        serial: Some("demo-1".to_owned()),
        wwn: None,
        rotational: false,
        removable: false,
        signatures: vec![],
    };
    let nic = Nic {
        name: "eth0".to_owned(),
        predictable_name: Some("enp0s2".to_owned()),
        mac: "52:54:00:12:34:56".parse().unwrap(),
        driver: Some("virtio_net".to_owned()),
        link_up: true,
        addresses: vec!["10.0.0.7/24".to_owned()],
    };
    Facts {
        version: FACTS_VERSION,
        firmware: Firmware::Bios,
        architecture: "amd64".to_owned(),
        memory_bytes: 2 << 30,
        cpus: 2,
        disks: vec![disk],
        nics: vec![nic],
        dmi: Dmi::default(),
        kernel: "6.1.0-18-amd64".to_owned(),
        tpm2: false,
        storage: ExistingStorage::default(),
    }
}

pub fn inputs(hostname: &str, target: TargetProfile) -> Inputs {
    Inputs {
        facts: facts(),
        hostname: hostname.to_owned(),
        target,
        given_classes: vec![],
        run_class_scripts: true,
        classes: None,
        vars: None,
        skips: vec![],
        rules: Rules::default(),
        discovered: Discovered::default(),
        overrides: Overrides::default(),
    }
}

/// Lines of output, for messages of failed tests.
pub fn output(events: &[EventBody]) -> String {
    let lines = events.iter().filter_map(|event| match event {
        EventBody::Output { line, .. } => Some(line.as_str()),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
