//! Storage: a disk_config and a machine's disks in, every partition and volume to the byte out.
//!
//! [`parse`] turns text into a [`DiskConfig`], [`check`] finds what is wrong with it on any machine,
//! [`layout`] puts it onto the disks of one machine, [`draw`] shows the result to people, and
//! [`examine`] does all of that but the drawing. The language is that of FAI's setup-storage; what
//! of it this version does not carry out is recognised and refused by name.
//!
//! ```
//! use hostwright_plan::storage::{self, StorageDisk};
//! let disk: StorageDisk = "sda=20GiB".parse()?;
//! let text = "disk_config disk1\nprimary / 4G- ext4 rw\n";
//! let firmware = hostwright_model::facts::Firmware::Bios;
//! let layout = storage::try_layout("SERVER", text, &[disk], 8 << 30, firmware).expect("it fits");
//! assert_eq!(layout.disks[0].partitions[0].device, "/dev/sda1");
//! # Ok::<(), storage::BadDisk>(())
//! ```

mod assemble;
pub mod ast;
mod bar;
mod boot;
mod check;
mod code;
mod cursor;
mod devices;
mod draw;
mod fields;
mod file_system;
mod former;
mod guess;
mod header;
mod keep;
mod keep_options;
mod layout;
mod line;
mod lvm;
mod machine;
mod names;
mod numbering;
mod parse;
mod passphrase;
mod size;
mod solve;
mod source;
mod stack;
mod takedown;
mod volumes;
mod words;

pub use ast::DiskConfig;
pub use boot::check_firmware;
pub use check::{check, check_root};
pub use code::Code;
pub use draw::{Bar, BarPart, bars, draw};
pub use file_system::KNOWN as KNOWN_FILE_SYSTEMS;
pub use keep_options::{Keep, KeepKind, KeepOption, KeepOptions, SizeFlag, Which, Wish};
pub use layout::layout;
pub use machine::{BadDisk, StorageDisk, StorageFacts, partition_device};
pub use parse::parse;
pub use passphrase::passphrase;
pub(crate) use passphrase::{masked as masked_line, of_line as passphrase_of_line};
pub use size::{Amount, SizeRange};
pub use source::{Source, Span, Spanned};

use ast::{MountPoint, VolumeSpec};
use hostwright_model::diagnostic::{Diagnostic, Severity};
use hostwright_model::facts::Firmware;
use hostwright_model::storage::StorageLayout;

/// A disk_config with everything found in it, errors and warnings.
#[derive(Clone, Debug, PartialEq)]
pub struct Examination {
    /// What it says.
    pub config: DiskConfig,
    /// What becomes of it on the machine; `None` if there is an error.
    pub layout: Option<StorageLayout>,
    /// All findings in the order of their lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the disk_config of `class` and lays it out. A root file system is not asked for: see
/// [`check_root`].
pub fn examine(file: &str, text: &str, class: Option<&str>, facts: &StorageFacts) -> Examination {
    let (config, mut diagnostics) = parse(file, text, class);
    diagnostics.extend(check(&config));
    let mut laid_out = None;
    if !has_error(&diagnostics) {
        let (layout, found) = layout::lay_out(&config, facts);
        diagnostics.extend(found);
        if let Some(layout) = &layout {
            diagnostics.extend(check_firmware(&config, layout, facts.firmware));
        }
        laid_out = layout;
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.at.as_ref().map(|at| (at.line, at.column)));
    Examination { config, layout: laid_out, diagnostics }
}

/// Tries a disk_config on disks that need not exist. On failure everything found is returned,
/// warnings included; on success use [`examine`] to see warnings too.
pub fn try_layout(
    name: &str,
    text: &str,
    disks: &[StorageDisk],
    memory_bytes: u64,
    firmware: Firmware,
) -> Result<StorageLayout, Vec<Diagnostic>> {
    let facts = StorageFacts::new(disks.to_vec(), memory_bytes, firmware);
    let examination = examine(name, text, None, &facts);
    examination.layout.ok_or(examination.diagnostics)
}

/// Warnings of a layout on this machine; nothing where it cannot be laid out.
pub fn advise(config: &DiskConfig, facts: &StorageFacts) -> Vec<Diagnostic> {
    let (layout, mut found) = layout::lay_out(config, facts);
    let Some(layout) = layout else { return Vec::new() };
    found.extend(check_firmware(config, &layout, facts.firmware));
    found
}

fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// What people call a volume: its mount point, or what it is.
fn describe(volume: &VolumeSpec) -> &str {
    match (&volume.mount_point.value, volume.file_system.value.as_deref()) {
        (MountPoint::Path(path), _) => path,
        (MountPoint::Swap, _) | (MountPoint::Nowhere, Some("swap")) => "swap",
        (MountPoint::Nowhere, Some(_)) => "the unmounted file system",
        (MountPoint::Nowhere, None) => "this partition",
    }
}
