//! A machine described in Dominator's files, as they are: `config.json`, `storage-layout.json`,
//! `imagename`, `imageserver` and their fellows.
//!
//! [`inputs`] reads them into values with their places; everything from there on is
//! [`crate::image_install`]. What Dominator passes over in silence is in [`DominatorInputs::warnings`].

mod json;
pub(crate) mod layout;
mod machine_info;
mod network;
mod small_files;
mod storage_layout;

pub(crate) use machine_info::is_hostname;
pub use machine_info::{MachineInfo, NetworkEntry, Subnet};
pub use network::network;
pub use small_files::{ImageName, ServerAddress};
pub use storage_layout::{LayoutFile, PartitionEntry};

use crate::finding::{self, Finding};
use crate::machine_file::{self, MachineFile};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use std::collections::BTreeMap;

/// Name of the optional file with what Dominator's have no place for, a machine file.
pub const SETTINGS_FILE: &str = "hostwright.toml";

/// Everything that the files say.
#[derive(Clone, Debug, PartialEq)]
pub struct DominatorInputs {
    /// `config.json`.
    pub machine: MachineInfo,
    /// `storage-layout.json`.
    pub layout: LayoutFile,
    /// `imagename`, else the tag `RequiredImage`. An image or a stream of images, by exactly this
    /// name: one that is not there is an error, never a reason to take another.
    pub image: ImageName,
    /// `imageserver`.
    pub image_server: Option<ServerAddress>,
    /// `tools-imagename`; Hostwright needs none.
    pub tools_image: Option<String>,
    /// `hostwright.toml`.
    pub settings: Option<MachineFile>,
    /// What works, but probably not as meant.
    pub warnings: Vec<Diagnostic>,
}

/// True for a directory of such files, by their names.
pub fn is_described<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    let mut wanted = [(machine_info::FILE, false), (storage_layout::FILE, false)];
    for name in names {
        wanted.iter_mut().filter(|(file, _)| *file == name).for_each(|(_, found)| *found = true);
    }
    wanted.iter().all(|(_, found)| *found)
}

/// Reads the files, by their names. Errors are everything wrong with them, in one go.
pub fn inputs(files: &BTreeMap<String, Vec<u8>>) -> Result<DominatorInputs, Vec<Diagnostic>> {
    let (inputs, mut found) = examine(files);
    match inputs.filter(|_| found.iter().all(|finding| finding.severity != Severity::Error)) {
        Some(inputs) => Ok(DominatorInputs { warnings: found, ..inputs }),
        None => {
            found.retain(|finding| finding.severity == Severity::Error);
            Err(found)
        }
    }
}

/// Everything wrong with the files, on any machine: errors, warnings and notes.
pub fn check(files: &BTreeMap<String, Vec<u8>>) -> Vec<Diagnostic> {
    let (inputs, mut found) = examine(files);
    let has_own_network = inputs
        .as_ref()
        .and_then(|inputs| inputs.settings.as_ref())
        .is_some_and(MachineFile::has_network);
    if let Some(inputs) = inputs.filter(|_| !has_own_network) {
        found.extend(network::mistakes_anywhere(&inputs.machine));
    }
    finding::sort(&mut found);
    found
}

/// The files as far as they can be read, and everything found in them.
fn examine(files: &BTreeMap<String, Vec<u8>>) -> (Option<DominatorInputs>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut read = |name: &str| text(files, name, &mut found);
    let texts = [
        read(machine_info::FILE),
        read(storage_layout::FILE),
        read(small_files::IMAGE_FILE),
        read(small_files::SERVER_FILE),
        read(small_files::TOOLS_FILE),
        read(SETTINGS_FILE),
    ];
    let [machine, layout, image, server, tools, settings] = texts;
    let machine = required(machine_info::FILE, machine, &mut found)
        .and_then(|text| machine_info::parse(text, &mut found));
    let layout = required(storage_layout::FILE, layout, &mut found)
        .and_then(|text| storage_layout::parse(text, &mut found));
    let settings = settings.map(|text| machine_file::parse(SETTINGS_FILE, text));
    let settings = match settings.transpose() {
        Ok(settings) => settings,
        Err(mistake) => {
            found.push(*mistake);
            None
        }
    };
    let required_image = machine.as_ref().and_then(|machine| machine.required_image.as_ref());
    let image = small_files::image_name(image, required_image, settings.as_ref(), &mut found);
    let image_server = server.and_then(|text| small_files::server(text, &mut found));
    let tools_image = tools.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    finding::sort(&mut found);
    let (Some(machine), Some(layout), Some(image)) = (machine, layout, image) else {
        return (None, found);
    };
    let warnings = Vec::new();
    let inputs =
        DominatorInputs { machine, layout, image, image_server, tools_image, settings, warnings };
    (Some(inputs), found)
}

/// The text of a file, if it is there.
fn text<'f>(
    files: &'f BTreeMap<String, Vec<u8>>,
    name: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<&'f str> {
    let bytes = files.get(name)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let message = format!("byte {} of this file is not UTF-8", error.valid_up_to() + 1);
            let cure = "write it as UTF-8; was it fetched in binary mode?";
            found.push(Finding::error("bad-json", message, cure).at_file(name));
            None
        }
    }
}

fn required<'f>(name: &str, text: Option<&'f str>, found: &mut Vec<Diagnostic>) -> Option<&'f str> {
    let is_told = found.iter().any(|d| d.at.as_ref().is_some_and(|at| at.file == name));
    if text.is_none() && !is_told {
        let message = format!("there is no {name}");
        let cure = "put it beside the other files";
        found.push(Finding::error("no-machine-description", message, cure).at_file(name));
    }
    text
}
