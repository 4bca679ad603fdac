//! Targets: the files of a config space.

use crate::{machine, text};
use hostwright_host::space_source::SpaceSource;
use hostwright_model::class::ClassList;
use hostwright_model::existing::{
    ExistingPartition, ExistingSignature, ExistingStorage, ExistingTable,
};
use hostwright_model::storage::{Partition, StorageLayout, TableKind};
use hostwright_plan::space::{PackageFile, VarFile};
use hostwright_plan::storage::{StorageFacts, draw, examine};
use hostwright_plan::{ConfigTree, PackageIndex, TreeFile, check};

/// A layout: parsed, checked, solved for a machine, drawn.
pub(crate) fn disk_config(bytes: &[u8]) {
    let facts = StorageFacts::from(&machine());
    let examined = examine("disk_config/X", &text(bytes), Some("X"), &facts);
    if let Some(layout) = examined.layout {
        draw(&layout);
    }
}

/// A layout for a disk that has partitions, behind a byte of 0 and what was there. Plans that keep
/// something take the rest apart.
pub(crate) fn reused_disks(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (before, wanted) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut facts = machine();
    let first = examine("disk_config/X", &text(before), Some("X"), &StorageFacts::from(&facts));
    let Some(first) = first.layout else { return };
    facts.storage = left_behind(&first);
    let facts = StorageFacts::from(&facts);
    if let Some(layout) = examine("disk_config/X", &text(wanted), Some("X"), &facts).layout {
        for partition in layout.disks.iter().flat_map(|disk| &disk.partitions) {
            let is_kept = partition.fate.needs_existing();
            assert!(!is_kept || partition.existing.is_some(), "{} was not there", partition.device);
        }
        draw(&layout);
    }
}

/// The partitions and file systems of a layout that was carried out.
fn left_behind(layout: &StorageLayout) -> ExistingStorage {
    let partition = |partition: &Partition| ExistingPartition {
        number: partition.number,
        device: partition.device.clone(),
        kind: partition.kind,
        start_bytes: partition.start_bytes,
        size_bytes: partition.size_bytes(),
        type_code: String::new(),
        name: partition.name.clone(),
        uuid: None,
        attributes: None,
        bootable: partition.bootable,
    };
    let tables = layout.disks.iter().map(|disk| ExistingTable {
        device: disk.device.clone(),
        kind: if disk.table == TableKind::Msdos { "dos" } else { "gpt" }.to_owned(),
        id: None,
        partitions: disk.partitions.iter().map(partition).collect(),
    });
    let signatures = layout.volumes.iter().filter_map(|volume| {
        Some(ExistingSignature {
            device: volume.device.clone(),
            size_bytes: volume.size_bytes,
            kind: volume.file_system.clone()?,
            uuid: None,
            label: None,
        })
    });
    ExistingStorage {
        tables: tables.collect(),
        signatures: signatures.collect(),
        ..ExistingStorage::default()
    }
}

/// The index of a Debian repository.
pub(crate) fn package_index(bytes: &[u8]) {
    PackageIndex::default().add(&text(bytes));
}

/// Where a config space comes from.
pub(crate) fn space_source(bytes: &[u8]) {
    let _ = text(bytes).parse::<SpaceSource>();
}

/// Sizes, in the place of a layout where they stand.
pub(crate) fn disk_sizes(bytes: &[u8]) {
    let sizes = text(bytes);
    let mut layout = "disk_config disk1\nprimary / 1G- ext4 rw\n".to_owned();
    for size in sizes.split('\n').take(8) {
        layout.push_str(&format!("logical - {size} - -\n"));
    }
    disk_config(layout.as_bytes());
}

/// A file of package_config.
pub(crate) fn package_config(bytes: &[u8]) {
    PackageFile::parse("package_config/X", &text(bytes));
}

/// Words below a header.
pub(crate) fn package_words(bytes: &[u8]) {
    PackageFile::parse("package_config/X", &format!("PACKAGES install\n{}\n", text(bytes)));
}

/// The condition of a header, evaluated.
pub(crate) fn condition(bytes: &[u8]) {
    let condition = text(bytes).replace('\n', " ");
    let header = format!("PACKAGES install {condition}\nx\n");
    let classes: ClassList = "A,DEBIAN".parse().expect("invariant: two classes");
    for block in PackageFile::parse("package_config/X", &header).0.blocks {
        block.condition.holds(&classes);
        block.condition.classes();
    }
}

/// A `.var` file.
pub(crate) fn var_file(bytes: &[u8]) {
    VarFile::parse("class/X.var", &text(bytes));
}

/// Everything in `class/` that is read and not run.
pub(crate) fn class_files(bytes: &[u8]) {
    let mut tree = ConfigTree::default();
    for name in ["class/host", "class/X.profile", "class/X.deps", "class/50-x", "class/60-x.sh"] {
        tree.files.insert(name.to_owned(), TreeFile::file(text(bytes), true));
    }
    check(&tree);
}

/// Which class needs, excludes or follows which.
pub(crate) fn class_dependencies(bytes: &[u8]) {
    one_file("class/dependencies.toml", bytes);
}

/// What is said of one machine: which disks it is to use.
pub(crate) fn machine_file(bytes: &[u8]) {
    one_file("machines/x.toml", bytes);
}

/// A space with two class files and this one.
fn one_file(path: &str, bytes: &[u8]) {
    let mut tree = ConfigTree::default();
    for name in ["package_config/A", "package_config/B"] {
        tree.files.insert(name.to_owned(), TreeFile::file("PACKAGES install\nx\n", false));
    }
    tree.files.insert(path.to_owned(), TreeFile::file(text(bytes), false));
    check(&tree);
}

/// A whole space: paths and contents in turn, between bytes of 0; a path that ends in `*` is
/// executable.
pub(crate) fn whole(bytes: &[u8]) {
    let mut tree = ConfigTree::default();
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).take(40).collect();
    for pair in parts.chunks(2) {
        let path = text(pair[0]);
        let content = pair.get(1).map_or(String::new(), |content| text(content));
        let is_path = |path: &str| !path.split('/').any(|part| matches!(part, "" | "." | ".."));
        let executable = path.ends_with('*');
        let path = path.trim_end_matches('*').to_owned();
        if is_path(&path) {
            tree.files.insert(path, TreeFile::file(content, executable));
        }
    }
    check(&tree);
}
