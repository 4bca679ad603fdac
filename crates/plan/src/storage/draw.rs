//! A picture of a layout for terminals: what people look at before they let a disk be wiped.

use super::bar::{Cell, bar};
use hostwright_model::size::{ByteSize, MIB};
use hostwright_model::storage::{
    Becomes, DiskLayout, Fate, FormerPartition, LogicalVolume, Partition, PartitionContent,
    PartitionKind, RaidArray, StorageLayout, TableFate, TableKind, Volume, VolumeGroup, Why,
};

/// Draws every disk as a bar with its partitions, followed by a table of them to the byte; volume
/// groups come below the disk of their last physical volume. Plain text, about 96 columns wide.
pub fn draw(layout: &StorageLayout) -> String {
    let mut lines = Vec::new();
    for (i, disk) in layout.disks.iter().enumerate() {
        if i > 0 {
            lines.push(String::new());
        }
        let picture = Picture { layout, heading: &disk.why };
        picture.disk(disk, &mut lines);
        for group in &layout.volume_groups {
            if last_disk(layout, group).is_some_and(|last| last.device == disk.device) {
                lines.push(String::new());
                picture.group(group, &mut lines);
            }
        }
    }
    let why = Why::default();
    Picture { layout, heading: &why }.stacked(&mut lines);
    if layout.disks.is_empty() {
        lines.push("No disk is partitioned.".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A disk or volume group in parts, for who draws bars of another kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which disk it is and what it loses, or which volume group.
    pub heading: String,
    /// Its parts, in their order on it.
    pub parts: Vec<BarPart>,
}

/// A part of a [`Bar`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarPart {
    /// What it is for.
    pub name: String,
    /// How large it is, for people.
    pub size: String,
    /// How large it is.
    pub size_bytes: u64,
    /// True for room that nothing uses.
    pub free: bool,
}

/// The bars that [`draw`] draws.
pub fn bars(layout: &StorageLayout) -> Vec<Bar> {
    let why = Why::default();
    let picture = Picture { layout, heading: &why };
    let bar = |heading: String, cells: Vec<Cell>| {
        let part = |cell: Cell| {
            let [name, size] = cell.lines;
            BarPart { name, size, size_bytes: cell.weight, free: cell.free }
        };
        Bar { heading, parts: cells.into_iter().map(part).collect() }
    };
    let disks = layout.disks.iter().map(|disk| {
        bar(heading(disk, picture.is_taken_whole(&disk.device)), picture.disk_cells(disk))
    });
    let groups = layout
        .volume_groups
        .iter()
        .map(|group| bar(format!("volume group {}", group.name), picture.group_cells(group)));
    disks.chain(groups).collect()
}

/// A gap larger than this is shown as free space; alignment leaves smaller ones.
const FREE_BYTES: u64 = 8 * MIB;

struct Picture<'a> {
    layout: &'a StorageLayout,
    /// What the heading has said already about the reason.
    heading: &'a Why,
}

impl Picture<'_> {
    fn disk(&self, disk: &DiskLayout, lines: &mut Vec<String>) {
        let is_taken_whole = self.is_taken_whole(&disk.device);
        lines.push(heading(disk, is_taken_whole));
        lines.push(format!("asked for by {}", disk.why));
        if is_taken_whole && disk.partitions.is_empty() {
            return;
        }
        lines.extend(bar(&self.disk_cells(disk)));
        let rows = disk.partitions.iter().map(|partition| self.partition_row(disk, partition));
        lines.extend(table_lines(&PARTITION_COLUMNS, rows.collect()));
        if disk.partitions.iter().any(|partition| partition.bootable) {
            lines.push("   * active partition".to_owned());
        }
        if !disk.before.is_empty() {
            lines.push("  before:".to_owned());
            lines
                .extend(table_lines(&FORMER_COLUMNS, disk.before.iter().map(former_row).collect()));
        }
    }

    /// True if something new takes all of a disk, without a partition table.
    fn is_taken_whole(&self, device: &str) -> bool {
        let layout = self.layout;
        let is_new = |fate: Fate| !fate.needs_existing();
        layout.volumes.iter().any(|volume| volume.device == device && is_new(volume.fate))
            || layout.encrypted.iter().any(|crypt| crypt.device == device && is_new(crypt.fate))
    }

    /// Arrays and encrypted devices, one line each.
    fn stacked(&self, lines: &mut Vec<String>) {
        for array in &self.layout.arrays {
            let members = array.members.iter().map(|member| match (&member.device, member.spare) {
                (None, _) => "missing".to_owned(),
                (Some(device), true) => format!("{device} (spare)"),
                (Some(device), false) => device.clone(),
            });
            let on = members.collect::<Vec<_>>().join(", ");
            let what = format!("array {}  {} on {on}", array.device, array.level.name());
            lines.push(self.stacked_line(&what, &array.device, array.size_bytes, array.fate));
        }
        for crypt in &self.layout.encrypted {
            let what = format!("encrypted {}  on {}", crypt.mapped_device, crypt.device);
            let size = self.volume(&crypt.mapped_device).map_or(0, |volume| volume.size_bytes);
            lines.push(self.stacked_line(&what, &crypt.mapped_device, size, crypt.fate));
        }
        for volume in self.layout.volumes.iter().filter(|volume| is_elsewhere(volume)) {
            lines.push(format!("{}  at {}", volume.device, mounted_at(volume)));
        }
    }

    fn stacked_line(&self, what: &str, device: &str, size_bytes: u64, fate: Fate) -> String {
        let size = match size_bytes {
            0 => String::new(),
            size => format!("  {}", ByteSize(size).rounded()),
        };
        let volume = self.volume(device);
        let holds = volume.map(|volume| {
            let kind = volume.file_system.as_deref().unwrap_or("-");
            format!("  {kind} at {}", mounted_at(volume))
        });
        let fate = volume.map_or(fate, |volume| volume.fate);
        format!("{what}{size}{}  {}", holds.unwrap_or_default(), fate_word(fate))
    }

    fn disk_cells(&self, disk: &DiskLayout) -> Vec<Cell> {
        let extended = disk.partitions.iter().find(|partition| !holds_data(partition));
        let mut by_place: Vec<_> = disk.partitions.iter().filter(|p| holds_data(p)).collect();
        by_place.sort_by_key(|partition| partition.start_bytes);
        let mut cells = Vec::new();
        let mut next = 0;
        for partition in by_place {
            cells.extend(free_cell(partition.start_bytes.saturating_sub(next)));
            let logical = partition.kind == PartitionKind::Logical;
            let around = extended.filter(|_| logical);
            cells.push(Cell {
                weight: partition.size_bytes(),
                lines: [
                    format!("{} {}", partition.number, self.purpose(partition)),
                    ByteSize(partition.size_bytes()).rounded(),
                ],
                bracket: around.map(|extended| format!("{} extended", extended.number)),
                free: false,
            });
            next = partition.end_bytes + 1;
        }
        cells.extend(free_cell(disk.size_bytes.saturating_sub(next)));
        cells
    }

    fn volume(&self, device: &str) -> Option<&Volume> {
        self.layout.volumes.iter().find(|volume| volume.device == device)
    }

    fn group_of(&self, device: &str) -> Option<&VolumeGroup> {
        let has = |group: &&VolumeGroup| group.physical_volumes.iter().any(|pv| pv == device);
        self.layout.volume_groups.iter().find(has)
    }

    /// The array, encrypted device or btrfs that a device is part of.
    fn above(&self, device: &str) -> Option<String> {
        let short = |device: &str| device.trim_start_matches("/dev/").to_owned();
        let is_in = |array: &&RaidArray| {
            array.members.iter().any(|member| member.device.as_deref() == Some(device))
        };
        let array = self.layout.arrays.iter().find(is_in);
        let crypt = self.layout.encrypted.iter().find(|crypt| crypt.device == device);
        let btrfs = self.layout.volumes.iter().find(|volume| {
            volume.device != device
                && volume.btrfs.as_ref().is_some_and(|b| b.devices.iter().any(|d| d == device))
        });
        array
            .map(|array| short(&array.device))
            .or(crypt.map(|_| "encrypted".to_owned()))
            .or(btrfs.map(volume_purpose))
    }

    /// What a partition is for, in a word or two.
    fn purpose(&self, partition: &Partition) -> String {
        if let Some(group) = self.group_of(&partition.device) {
            return format!("LVM {}", group.name);
        }
        if let Some(above) = self.above(&partition.device) {
            return above;
        }
        match (self.volume(&partition.device), partition.content) {
            (Some(volume), _) => volume_purpose(volume),
            (None, PartitionContent::BiosBoot) => "GRUB".to_owned(),
            (None, _) => "not used".to_owned(),
        }
    }

    fn partition_row(&self, disk: &DiskLayout, partition: &Partition) -> Vec<String> {
        let volume = self.volume(&partition.device);
        let kind = match (partition.content, partition.kind, disk.table) {
            (PartitionContent::BiosBoot, ..) => "BIOS boot",
            (PartitionContent::EfiSystem, ..) => "EFI system",
            (PartitionContent::Lvm, ..) => "LVM",
            (PartitionContent::Raid, ..) => "RAID",
            (_, PartitionKind::Extended, _) => "extended",
            (_, PartitionKind::Logical, _) => "logical",
            (_, PartitionKind::Primary, TableKind::Msdos) => "primary",
            (PartitionContent::Swap, ..) => "swap",
            (PartitionContent::Fat, ..) => "FAT",
            _ => "Linux",
        };
        let number = partition.number.to_string();
        vec![
            if partition.bootable { format!("*{number}") } else { number },
            partition.device.clone(),
            partition.start_bytes.to_string(),
            partition.end_bytes.to_string(),
            ByteSize(partition.size_bytes()).rounded(),
            kind.to_owned(),
            volume.and_then(|volume| volume.file_system.clone()).unwrap_or_default(),
            match (self.group_of(&partition.device), self.above(&partition.device)) {
                (Some(group), _) => format!("in {}", group.name),
                (None, Some(above)) => format!("in {above}"),
                (None, None) => volume.map(mounted_at).unwrap_or_default(),
            },
            self.why(&partition.why),
        ]
    }

    fn group(&self, group: &VolumeGroup, lines: &mut Vec<String>) {
        let devices = group.physical_volumes.join(", ");
        let why = self.why(&group.why);
        lines.push(format!("volume group {}  on {devices}  asked for by {why}", group.name));
        lines.extend(bar(&self.group_cells(group)));
        let rows = group.logical_volumes.iter().map(|volume| self.logical_row(volume));
        lines.extend(table_lines(&LOGICAL_COLUMNS, rows.collect()));
    }

    fn group_cells(&self, group: &VolumeGroup) -> Vec<Cell> {
        let mut free = self.group_bytes(group);
        let mut cells = Vec::new();
        for volume in &group.logical_volumes {
            free = free.saturating_sub(volume.size_bytes);
            cells.push(Cell {
                weight: volume.size_bytes,
                lines: [self.logical_purpose(volume), ByteSize(volume.size_bytes).rounded()],
                bracket: None,
                free: false,
            });
        }
        // LVM's own needs, and what FAI leaves it for them, are no free space.
        let leftover = free.saturating_sub(self.group_bytes(group) / 50);
        cells.extend(free_cell(leftover));
        cells
    }

    fn group_bytes(&self, group: &VolumeGroup) -> u64 {
        let partitions = self.layout.disks.iter().flat_map(|disk| &disk.partitions);
        partitions
            .filter(|partition| group.physical_volumes.contains(&partition.device))
            .map(Partition::size_bytes)
            .sum()
    }

    fn logical_purpose(&self, volume: &LogicalVolume) -> String {
        match self.volume(&volume.device).map(volume_purpose) {
            Some(purpose) if purpose != volume.name => format!("{} {purpose}", volume.name),
            _ => volume.name.clone(),
        }
    }

    fn logical_row(&self, logical: &LogicalVolume) -> Vec<String> {
        let volume = self.volume(&logical.device);
        vec![
            String::new(),
            logical.device.clone(),
            logical.size_bytes.to_string(),
            ByteSize(logical.size_bytes).rounded(),
            volume.and_then(|volume| volume.file_system.clone()).unwrap_or_default(),
            volume.map(mounted_at).unwrap_or_default(),
            self.why(&logical.why),
        ]
    }

    /// The reason, without what the heading of the disk says already.
    fn why(&self, why: &Why) -> String {
        let same = why.file == self.heading.file && why.class == self.heading.class;
        match same && why.reason.is_none() && why.line > 0 {
            true => format!("line {}", why.line),
            false => why.to_string(),
        }
    }
}

fn volume_purpose(volume: &Volume) -> String {
    match (&volume.mount_point, volume.file_system.as_deref()) {
        (Some(path), _) => path.clone(),
        (None, Some(file_system)) => file_system.to_owned(),
        (None, None) => "not used".to_owned(),
    }
}

fn mounted_at(volume: &Volume) -> String {
    match (&volume.mount_point, volume.file_system.as_deref()) {
        (Some(path), _) => path.clone(),
        (None, Some("swap")) => "swap".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn free_cell(bytes: u64) -> Option<Cell> {
    let lines = ["free".to_owned(), ByteSize(bytes).rounded()];
    (bytes > FREE_BYTES).then_some(Cell { weight: bytes, lines, bracket: None, free: true })
}

fn last_disk<'a>(layout: &'a StorageLayout, group: &VolumeGroup) -> Option<&'a DiskLayout> {
    let holds = |disk: &&DiskLayout| {
        disk.partitions.iter().any(|partition| group.physical_volumes.contains(&partition.device))
    };
    layout.disks.iter().rfind(holds)
}

/// Which disk it is, and what it loses.
fn heading(disk: &DiskLayout, is_taken_whole: bool) -> String {
    let size = ByteSize(disk.size_bytes).rounded();
    let identity = [disk.model.as_deref(), disk.serial.as_deref()].into_iter().flatten();
    let names: String = identity.map(|name| format!("  {name}")).collect();
    let table = match disk.table {
        TableKind::Msdos => "new msdos partition table",
        TableKind::Gpt => "new GPT",
        TableKind::GptBios => "new GPT for BIOS machines",
    };
    let stays =
        |former: &FormerPartition| matches!(former.becomes, Becomes::Kept | Becomes::Resized);
    let what = match (disk.table_fate, disk.before.iter().any(stays)) {
        (TableFate::Leave, _) if is_taken_whole => {
            "no partition table: everything on this disk is lost".to_owned()
        }
        (TableFate::Leave, _) => "its partition table is left alone".to_owned(),
        (TableFate::Write, false) => format!("{table}: everything on this disk is lost"),
        (TableFate::Write, true) => format!("{table}: what is not marked as kept is lost"),
    };
    format!("{}{names}  {size}  {what}", disk.device)
}

fn former_row(former: &FormerPartition) -> Vec<String> {
    let partition = &former.partition;
    vec![
        partition.number.to_string(),
        partition.device.clone(),
        partition.start_bytes.to_string(),
        ByteSize(partition.size_bytes).rounded(),
        former.content.clone().unwrap_or_default(),
        former.label.clone().unwrap_or_default(),
        match former.becomes {
            Becomes::Kept => "kept",
            Becomes::Resized => "resized, with its content",
            Becomes::Formatted => "formatted",
            Becomes::Moved => "moved: its content is lost",
            Becomes::Destroyed => "destroyed",
        }
        .to_owned(),
    ]
}

fn fate_word(fate: Fate) -> &'static str {
    match fate {
        Fate::Create => "new",
        Fate::Keep => "kept",
        Fate::Reformat => "formatted",
        Fate::Resize { .. } => "resized",
    }
}

/// True for what no disk of the machine holds.
fn is_elsewhere(volume: &Volume) -> bool {
    matches!(volume.file_system.as_deref(), Some("tmpfs" | "nfs"))
}

const FORMER_COLUMNS: [Column; 7] = [
    ("Nr", true),
    ("Device", false),
    ("First byte", true),
    ("Size", true),
    ("Holds", false),
    ("Label", false),
    ("Becomes", false),
];

/// A heading, and whether its column is of numbers.
type Column = (&'static str, bool);

const PARTITION_COLUMNS: [Column; 9] = [
    ("Nr", true),
    ("Device", false),
    ("First byte", true),
    ("Last byte", true),
    ("Size", true),
    ("Type", false),
    ("Format", false),
    ("Mounted at", false),
    ("Why", false),
];
const LOGICAL_COLUMNS: [Column; 7] = [
    ("  ", true),
    ("Device", false),
    ("Bytes", true),
    ("Size", true),
    ("Format", false),
    ("Mounted at", false),
    ("Why", false),
];

fn table_lines(columns: &[Column], rows: Vec<Vec<String>>) -> Vec<String> {
    let heading = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for ((text, width), (_, is_number)) in row.iter().zip(&widths).zip(columns) {
            line.push_str("  ");
            match is_number {
                true => line.push_str(&format!("{text:>width$}")),
                false => line.push_str(&format!("{text:<width$}")),
            }
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// True for kinds that hold data of their own; the extended partition holds only others.
fn holds_data(partition: &Partition) -> bool {
    partition.kind != PartitionKind::Extended
}
