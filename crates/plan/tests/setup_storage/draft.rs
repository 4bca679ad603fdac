//! A random disk_config, in parts: what of it is to be kept is decided after a first life.

use crate::seed::Seed;
use std::fmt::Write as _;

const FILE_SYSTEMS: [&str; 9] =
    ["ext4", "ext4", "ext4", "ext3", "ext2", "xfs", "vfat", "swap", "btrfs"];
const OPTIONS: [&str; 3] = ["rw", "defaults", "rw,noatime"];
const KEYS: [&str; 5] = ["device", "label", "uuid", "partuuid", "partlabel"];

/// The stanza of a disk.
#[derive(Clone, Debug)]
pub struct DiskPart {
    /// Index of the disk in the machine.
    pub disk: usize,
    /// How the stanza names it.
    name: String,
    label: &'static str,
    options: Vec<String>,
    /// Added for a second life.
    pub keep: Vec<String>,
    /// `primary`, `logical`, …; mount point; size; the rest of the line.
    pub lines: Vec<[String; 4]>,
    /// The partition of each line; none for a disk as a whole.
    pub numbers: Vec<u32>,
}

/// A stanza with options that are added for a second life, and its lines.
#[derive(Clone, Debug, Default)]
pub struct Part {
    options: Vec<String>,
    pub keep: Vec<String>,
    pub lines: Vec<String>,
}

/// A disk_config.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub disks: Vec<DiskPart>,
    pub raid: Part,
    pub crypt: Part,
    pub lvm: Part,
    btrfs: Part,
    other: String,
    points: usize,
}

/// What there is to build upon: partitions that hold nothing yet.
type Free = Vec<String>;

impl Draft {
    /// One for a machine with these disks.
    pub fn new(seed: &mut Seed, disks: &[String]) -> Self {
        let mut draft = Self::default();
        let mut free = Free::new();
        for (at, name) in disks.iter().enumerate() {
            if at == 0 || seed.chance(80) {
                draft.disk(seed, at, name, &mut free);
            }
        }
        draft.stack(seed, free);
        draft.others(seed);
        draft
    }

    fn disk(&mut self, seed: &mut Seed, disk: usize, name: &str, free: &mut Free) {
        let number = disk + 1;
        let given = match seed.below(4) {
            0 => name.to_owned(),
            1 => format!("/dev/{name}"),
            _ => format!("disk{number}"),
        };
        let label = seed.pick(&["", "msdos", "gpt", "gpt", "gpt-bios"]);
        let mut part = DiskPart {
            disk,
            name: given,
            label,
            options: Vec::new(),
            keep: Vec::new(),
            lines: Vec::new(),
            numbers: Vec::new(),
        };
        if seed.chance(50) {
            let key = seed.pick(&KEYS);
            // FAI looks at what was said before: without a GPT there are no names.
            let without = key == "partlabel" && !label.starts_with("gpt") && seed.chance(95);
            part.options.extend((!without).then(|| format!("fstabkey:{key}")));
        }
        if seed.chance(25) {
            let align = seed.pick(&["1M", "1", "64k", "4MiB", "4K", "2M", "3", "100M", "512B"]);
            part.options.push(format!("align-at:{align}"));
        }
        if !self.disks.is_empty() && seed.chance(6) {
            let from = &self.disks[0];
            part.options.push(format!("sameas:{}", from.name));
        } else if seed.chance(3) {
            let line =
                ["raw-disk".to_owned(), self.point(seed), "0-".to_owned(), rest(seed, "ext4")];
            part.lines.push(line);
        } else {
            self.partitions(seed, &mut part, free);
        }
        if seed.chance(25) && !part.lines.is_empty() {
            let number = part.numbers.first().filter(|_| seed.chance(97)).unwrap_or(&4);
            part.options.push(format!("bootable:{number}"));
        }
        self.disks.push(part);
    }

    fn partitions(&mut self, seed: &mut Seed, part: &mut DiskPart, free: &mut Free) {
        let gpt = part.label.starts_with("gpt");
        let (mut primary, mut logical) = (0_u32, 4_u32);
        let most = if seed.chance(10) { 9 } else { 5 };
        for _ in 0..1 + seed.below(most) {
            let is_logical = !gpt && (seed.chance(40) || (primary >= 3 && seed.chance(95)));
            let number = if is_logical { &mut logical } else { &mut primary };
            *number += 1;
            let mut number = *number;
            // The first logical one takes a primary number for the extended one.
            if is_logical && number == 5 {
                primary += 1;
            }
            if !is_logical {
                number = primary;
            }
            let kind = match (is_logical, gpt) {
                (true, _) => "logical".to_owned(),
                (false, true) if seed.chance(30) => format!("p=n{number}"),
                (false, false) if seed.chance(2) => format!("p=n{number}"),
                _ => "primary".to_owned(),
            };
            part.numbers.push(number);
            let size = size(seed);
            if seed.chance(35) {
                free.push(format!("disk{}.{number}", part.disk + 1));
                part.lines.push([kind, "-".to_owned(), size, "- -".to_owned()]);
            } else {
                let (point, rest) = self.volume(seed);
                part.lines.push([kind, point, size, rest]);
            }
        }
    }

    /// A mount point that is new, or, seldom, used already.
    fn point(&mut self, seed: &mut Seed) -> String {
        if self.points > 1 && seed.chance(1) {
            return "/m1".to_owned();
        }
        self.points += 1;
        match self.points - 1 {
            0 => "/".to_owned(),
            1 if seed.chance(20) => "/boot".to_owned(),
            n => format!("/m{n}"),
        }
    }

    fn volume(&mut self, seed: &mut Seed) -> (String, String) {
        let kind = seed.pick(&FILE_SYSTEMS);
        let point = match kind {
            "swap" => "swap".to_owned(),
            _ if seed.chance(10) => "-".to_owned(),
            _ => self.point(seed),
        };
        (point, rest(seed, kind))
    }

    /// Layers on what is free.
    fn stack(&mut self, seed: &mut Seed, mut free: Free) {
        let mut groups = 0;
        while !free.is_empty() {
            let take = |seed: &mut Seed, free: &mut Free, count: usize| -> Vec<String> {
                let count = count.min(free.len());
                (0..count).map(|_| free.remove(seed.below(free.len()))).collect()
            };
            match seed.below(8) {
                0 | 1 => {
                    let count = 1 + seed.below(3);
                    let devices = take(seed, &mut free, count).join(",");
                    self.group(seed, &mut groups, &devices);
                }
                2 | 3 if free.len() > 1 => {
                    let count = 2 + seed.below(3);
                    let devices = take(seed, &mut free, count);
                    self.array(seed, &mut groups, devices);
                }
                4 => {
                    let devices = take(seed, &mut free, 1).join(",");
                    let kind = seed.pick(&["luks", "luks", "luks:\"a b\"", "tmp", "swap"]);
                    let (point, rest) = match kind {
                        "swap" => ("swap".to_owned(), "swap sw".to_owned()),
                        _ => self.volume(seed),
                    };
                    self.crypt.lines.push(format!("{kind} {point} {devices} {rest}"));
                }
                5 if free.len() > 1 && seed.chance(60) => {
                    let devices = take(seed, &mut free, 2).join(",");
                    let level = seed.pick(&["raid0", "raid1", "single"]);
                    let point = self.point(seed);
                    self.btrfs.lines.push(format!("btrfs {level} {point} {devices} rw,subvol=@"));
                }
                _ => drop(take(seed, &mut free, 1)),
            }
        }
        if seed.chance(40) {
            self.raid.options.push(format!("fstabkey:{}", seed.pick(&KEYS[..3])));
            self.lvm.options.push(format!("fstabkey:{}", seed.pick(&KEYS[..3])));
            self.btrfs.options.push(format!("fstabkey:{}", seed.pick(&KEYS[..4])));
        }
        if seed.chance(10) {
            self.crypt.options.push("randinit".to_owned());
        }
    }

    fn array(&mut self, seed: &mut Seed, groups: &mut usize, devices: Vec<String>) {
        let number = self.raid.lines.len();
        let level = match devices.len() {
            2 => seed.pick(&["raid0", "raid1", "raid1"]),
            3 => seed.pick(&["raid0", "raid1", "raid5"]),
            _ => seed.pick(&["raid1", "raid5", "raid6", "raid10"]),
        };
        let mut devices = devices;
        if level != "raid0" && devices.len() > 2 && seed.chance(25) {
            let last = devices.last_mut().unwrap();
            last.push_str(seed.pick(&[":spare", ":missing"]));
        }
        let devices = devices.join(",");
        if seed.chance(50) {
            let (point, rest) = self.volume(seed);
            self.raid.lines.push(format!("{level} {point} {devices} {rest}"));
        } else {
            self.raid.lines.push(format!("{level} - {devices} - -"));
            self.group(seed, groups, &format!("md{number}"));
        }
    }

    fn group(&mut self, seed: &mut Seed, groups: &mut usize, devices: &str) {
        let name = format!("vg{groups}");
        *groups += 1;
        self.lvm.lines.push(format!("vg {name} {devices}"));
        for volume in 0..1 + seed.below(4) {
            let (point, rest) = self.volume(seed);
            let size = size(seed);
            self.lvm.lines.push(format!("{name}-lv{volume} {point} {size} {rest}"));
        }
    }

    fn others(&mut self, seed: &mut Seed) {
        if seed.chance(15) {
            let size = seed.pick(&["100", "RAM:20%", "-", "1G", "12345kB", "77MB"]);
            let options = seed.pick(&["rw", "defaults,size=10%", "nodev"]);
            let point = self.point(seed);
            let _ = write!(self.other, "disk_config tmpfs\ntmpfs {point} {size} {options}\n\n");
        }
        if seed.chance(10) {
            let point = self.point(seed);
            let _ = write!(self.other, "disk_config nfs\nnfs filer:/HOSTNAME {point} ro\n\n");
        }
    }

    /// The text; `with_keep` with what is kept of an earlier life.
    pub fn text(&self, with_keep: bool) -> String {
        let mut text = String::new();
        let keep = |words: &[String]| if with_keep { words.to_vec() } else { Vec::new() };
        for part in &self.disks {
            let label = Some(part.label).filter(|label| !label.is_empty());
            let mut words = vec![part.name.clone()];
            words.extend(label.map(|label| format!("disklabel:{label}")));
            words.extend(part.options.clone());
            words.extend(keep(&part.keep));
            let _ = writeln!(text, "disk_config {}", words.join(" "));
            part.lines.iter().for_each(|line| text += &(line.join(" ") + "\n"));
            text.push('\n');
        }
        for (name, part) in [
            ("raid", &self.raid),
            ("cryptsetup", &self.crypt),
            ("lvm", &self.lvm),
            ("btrfs", &self.btrfs),
        ] {
            if !part.lines.is_empty() {
                let words = [vec![name.to_owned()], part.options.clone(), keep(&part.keep)];
                let lines = part.lines.join("\n");
                let _ = write!(text, "disk_config {}\n{lines}\n\n", words.concat().join(" "));
            }
        }
        text + &self.other
    }
}

/// A size of any form, small enough to fit often.
pub fn size(seed: &mut Seed) -> String {
    let amount = |seed: &mut Seed| {
        let number = 1 + seed.below(3000);
        format!("{number}{}", seed.pick(&["", "", "", "M", "MiB", "MB"]))
    };
    match seed.below(12) {
        0 => format!("{}-", amount(seed)),
        1 => format!("-{}", 1 + seed.below(20_000)),
        2 => format!("-{}%", 1 + seed.below(100)),
        3 => format!("{}%", 1 + seed.below(40)),
        4 => format!("{}%-{}%", 1 + seed.below(20), 20 + seed.below(81)),
        5 => format!("{}-{}%", amount(seed), 1 + seed.below(100)),
        6 => format!("RAM:{}%", 1 + seed.below(30)),
        7 => format!("{}-RAM:{}%", 1 + seed.below(20), 1 + seed.below(60)),
        8 => format!("{}k", 1 + seed.below(3_000_000)),
        9 => format!("{}{}", 1 + seed.below(3), seed.pick(&["G", "GB", "GiB"])),
        _ => {
            let least = seed.below(2000);
            format!("{least}-{}", least + seed.below(20_000))
        }
    }
}

/// The fields behind the size of a line with a file system.
fn rest(seed: &mut Seed, kind: &str) -> String {
    let mut text = match kind {
        "swap" => "swap sw".to_owned(),
        "btrfs" => "btrfs rw,subvol=@".to_owned(),
        kind => format!("{kind} {}", seed.pick(&OPTIONS)),
    };
    if kind != "btrfs" && seed.chance(15) {
        text += " createopts=\"-L name\"";
    }
    if kind.starts_with("ext") && seed.chance(15) {
        text += " tuneopts=\"-c 0 -i 0\"";
    }
    text
}
