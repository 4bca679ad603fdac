//! Loads kernel modules: by name, for the devices that are there, and when the kernel asks.

use super::failed_io;
use super::modules::{ModuleFile, ModuleIndex};
use crate::HostError;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// `MODULE_INIT_COMPRESSED_FILE` of linux/module.h: the kernel unpacks the file itself.
const COMPRESSED: i32 = 4;

/// Loads modules of the running kernel from one `/lib/modules/RELEASE`.
#[derive(Debug)]
pub struct ModuleLoader {
    dir: String,
    index: ModuleIndex,
    /// Paths that were tried, so that no device makes the same file be read twice.
    tried: BTreeSet<String>,
    /// What devices said they are, as far as it has been looked at.
    devices: BTreeSet<String>,
}

impl ModuleLoader {
    /// The modules of the running kernel below `root`; none if it has no directory for them.
    pub fn open(root: &str) -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let dir = format!("{}/lib/modules/{release}", root.trim_end_matches('/'));
        let text = |name: &str| fs::read_to_string(format!("{dir}/{name}")).unwrap_or_default();
        let (dep, alias) = (text("modules.dep"), text("modules.alias"));
        let index = ModuleIndex::parse(&dep, &alias, &text("modules.softdep"));
        Self { dir, index, tried: BTreeSet::new(), devices: BTreeSet::new() }
    }

    /// True if there are no modules for the running kernel.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// True if some module here answers to `wanted`.
    pub fn knows(&self, wanted: &str) -> bool {
        !self.index.resolve(wanted).is_empty()
    }

    /// Loads what `wanted` stands for: a module's name, or an alias as a device or the kernel's
    /// request names it. The names of what was new. Every candidate is tried; the first error is
    /// told after that.
    pub fn load(&mut self, wanted: &str) -> Result<Vec<String>, HostError> {
        let Self { dir, index, tried, .. } = self;
        let (mut loaded, mut error) = (Vec::new(), None);
        for name in index.resolve(wanted) {
            for file in index.load_order(name) {
                if !tried.insert(file.path.clone()) {
                    continue;
                }
                match insert(dir, file) {
                    Ok(true) => loaded.push(super::modules::module_name(&file.path)),
                    Ok(false) => {}
                    Err(cause) => error = error.or(Some(cause)),
                }
            }
        }
        error.map_or(Ok(loaded), Err)
    }

    /// Loads the drivers of every device that the kernel has found since the last call. A driver can bring up a bus
    /// with further devices, so this goes on until nothing new appears. The names of what was new.
    /// A driver that fails is passed over: other hardware of the machine may do.
    pub fn load_for_devices(&mut self) -> Vec<String> {
        const ROUNDS_MAX: usize = 8;
        let mut loaded = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let new: Vec<String> = device_aliases().difference(&self.devices).cloned().collect();
            if new.is_empty() {
                break;
            }
            for alias in &new {
                loaded.extend(self.load(alias).unwrap_or_default());
            }
            self.devices.extend(new);
        }
        loaded
    }
}

/// Hands one file to the kernel. False if it already was loaded or built in.
fn insert(dir: &str, module: &ModuleFile) -> Result<bool, HostError> {
    let path = format!("{dir}/{}", module.path);
    let file = fs::File::open(&path).map_err(failed_io("open module", &path))?;
    let flags = if path.ends_with(".ko") { 0 } else { COMPRESSED };
    match rustix::system::finit_module(&file, c"", flags) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // The hardware that the module drives is not there.
        Err(Errno::NODEV) => Ok(false),
        Err(errno) => Err(super::failed("load module", &path)(errno)),
    }
}

/// What every device on every bus says it is.
fn device_aliases() -> BTreeSet<String> {
    let mut aliases = BTreeSet::new();
    for bus in names_in("/sys/bus") {
        let devices = format!("/sys/bus/{bus}/devices");
        for device in names_in(&devices) {
            let path = format!("{devices}/{device}/modalias");
            let text = fs::read_to_string(Path::new(&path)).unwrap_or_default();
            aliases.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        }
    }
    aliases
}

fn names_in(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
