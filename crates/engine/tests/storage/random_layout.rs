//! disk_configs at random, of everything that the language has, made so that they fit.

/// A numbers' machine: the same again for the same seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize]
    }

    fn is(&mut self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }
}

/// How much a volume shrinks that is resized.
const SHRINK_MIB: u64 = 40;

/// A line of a disk, or of a volume group.
#[derive(Clone, Debug)]
struct Line {
    /// `primary`, `logical`, `raw-disk`, `vg0-lv1`.
    word: String,
    point: String,
    size_mib: u64,
    file_system: &'static str,
}

impl Line {
    fn text(&self, is_smaller: bool) -> String {
        let Self { word, point, size_mib, file_system } = self;
        let size = size_mib - if is_smaller { SHRINK_MIB } else { 0 };
        let options = if *file_system == "-" { "-" } else { "rw" };
        format!("{word} {point} {size} {file_system} {options}")
    }
}

#[derive(Clone, Debug, Default)]
struct DiskStanza {
    label: &'static str,
    lines: Vec<(u32, Line)>,
    /// Number of the disk that it is a copy of.
    same_as: Option<usize>,
}

/// A layout at random, in parts that a second life can ask to be kept.
#[derive(Clone, Debug, Default)]
pub struct RandomLayout {
    disks: Vec<DiskStanza>,
    raid: Vec<String>,
    crypt: Vec<String>,
    groups: Vec<String>,
    volumes: Vec<Line>,
    btrfs: Vec<String>,
    /// Plain file systems, by disk and partition number.
    plain: Vec<(usize, u32)>,
    /// Arrays that hold a file system, by number.
    arrays: Vec<u32>,
}

impl RandomLayout {
    pub fn roll(dice: &mut Dice, disks: usize, is_uefi: bool) -> Self {
        let mut layout = Self::default();
        let mut free = Vec::new();
        for disk in 0..disks {
            let copied = (1..disk).find(|of| layout.is_all_free(*of));
            match copied.filter(|_| dice.is(2)) {
                Some(of) => layout.copy(disk, of, &mut free),
                None if disk > 0 && dice.is(8) => layout.raw_disk(disk),
                None => layout.partitions(dice, disk, is_uefi, &mut free),
            }
        }
        layout.stack(dice, free);
        layout
    }

    fn is_all_free(&self, disk: usize) -> bool {
        let stanza = &self.disks[disk];
        stanza.same_as.is_none() && stanza.lines.iter().all(|(_, line)| line.point == "-")
    }

    fn copy(&mut self, disk: usize, of: usize, free: &mut Vec<String>) {
        let original = self.disks[of].clone();
        let numbers = original.lines.iter().map(|(number, _)| *number);
        free.extend(numbers.map(|number| format!("disk{}.{number}", disk + 1)));
        self.disks.push(DiskStanza { same_as: Some(of), ..original });
    }

    fn raw_disk(&mut self, disk: usize) {
        let (word, point) = ("raw-disk".to_owned(), format!("/raw{disk}"));
        let line = Line { word, point, size_mib: 100, file_system: "ext4" };
        self.disks.push(DiskStanza { label: "msdos", lines: vec![(0, line)], same_as: None });
        self.plain.push((disk, 0));
    }

    fn partitions(&mut self, dice: &mut Dice, disk: usize, is_uefi: bool, free: &mut Vec<String>) {
        let label = dice.pick(&["gpt", "msdos", "gpt-bios", "msdos"]);
        let primaries = 2 + dice.roll(2) as u32;
        let logical = if label == "msdos" { dice.roll(3) as u32 } else { dice.roll(2) as u32 };
        self.disks.push(DiskStanza { label, ..DiskStanza::default() });
        for at in 1..=primaries + logical {
            let is_logical = at > primaries && label == "msdos";
            let number = if is_logical { at - primaries + 4 } else { at };
            let word = if is_logical { "logical" } else { "primary" }.to_owned();
            let (point, file_system) = match (disk, at) {
                (0, 1) => ("/".to_owned(), "ext4"),
                (0, 2) if is_uefi => ("/boot/efi".to_owned(), "vfat"),
                _ if dice.is(3) => {
                    let kind = dice.pick(&["ext4", "xfs", "vfat", "swap", "btrfs"]);
                    let secret = if dice.is(6) && kind != "btrfs" { ":encrypt" } else { "" };
                    let point = format!("/d{disk}p{number}{secret}");
                    (if kind == "swap" { format!("swap{secret}") } else { point }, kind)
                }
                _ => ("-".to_owned(), "-"),
            };
            if point == "-" {
                free.push(format!("disk{}.{number}", disk + 1));
            } else if !point.contains(':') && !["swap", "btrfs"].contains(&file_system) {
                self.plain.push((disk, number));
            }
            let file_system = if file_system == "btrfs" { "ext3" } else { file_system };
            let size_mib = if point == "-" { 400 } else { 200 } + 50 * dice.roll(8);
            self.disks[disk].lines.push((number, Line { word, point, size_mib, file_system }));
        }
    }

    /// Builds layers on what is free.
    fn stack(&mut self, dice: &mut Dice, mut free: Vec<String>) {
        while !free.is_empty() {
            free.rotate_left(1);
            let point = format!("/s{}", free.len());
            let count = free.len().min(1 + dice.roll(4) as usize);
            let devices: Vec<String> = free.drain(..count).collect();
            match dice.roll(5) {
                0 | 1 if count > 1 => self.array(dice, &devices, &point),
                2 if count > 1 => {
                    let level = dice.pick(&["raid1", "single", "raid0"]);
                    let line = format!("btrfs {level} {point} {} rw,subvol=@", devices.join(","));
                    self.btrfs.push(line);
                }
                3 => self.group(dice, &devices.join(","), &point),
                _ => devices.iter().for_each(|device| self.encrypted(dice, device, &point)),
            }
        }
    }

    fn array(&mut self, dice: &mut Dice, devices: &[String], point: &str) {
        let (level, marks): (_, &[&str]) = match devices.len() {
            2 => dice.pick(&[
                ("raid0", &["", ""]),
                ("raid1", &["", ""]),
                ("raid1", &["", ":missing"]),
            ]),
            3 => dice.pick(&[
                ("raid5", &["", "", ""]),
                ("raid1", &["", "", ":spare"]),
                ("raid1", &["", "", ""]),
                ("raid5", &["", "", ":missing"]),
            ]),
            _ => dice.pick(&[
                ("raid6", &["", "", "", ""]),
                ("raid10", &["", "", "", ""]),
                ("raid5", &["", "", "", ":spare"]),
            ]),
        };
        let members: Vec<String> =
            devices.iter().zip(marks).map(|(device, mark)| format!("{device}{mark}")).collect();
        let (number, members) = (self.raid.len() as u32, members.join(","));
        // One that is not whole is started by nobody, so that nothing on it could be kept.
        let is_whole = !marks.contains(&":missing");
        if dice.is(2) || !is_whole {
            self.raid.push(format!("{level} {point} {members} ext4 rw"));
            self.arrays.extend(is_whole.then_some(number));
        } else {
            self.raid.push(format!("{level} - {members} - -"));
            self.group(dice, &format!("md{number}"), point);
        }
    }

    fn encrypted(&mut self, dice: &mut Dice, device: &str, point: &str) {
        let name = device.replace(['.', '/'], "-");
        let line = match dice.roll(5) {
            0 => format!("swap swap {device} swap sw"),
            1 => format!("tmp {point}-{name} {device} ext4 rw"),
            2 => format!("luks:\"secret words\" {point}-{name} {device} ext4 rw"),
            _ => format!("luks {point}-{name} {device} ext4 rw"),
        };
        self.crypt.push(line);
    }

    fn group(&mut self, dice: &mut Dice, devices: &str, point: &str) {
        let name = format!("vg{}", self.groups.len());
        self.groups.push(format!("vg {name} {devices}"));
        for volume in 0..1 + dice.roll(2) {
            self.volumes.push(Line {
                word: format!("{name}-lv{volume}"),
                point: format!("{point}v{volume}"),
                size_mib: 120,
                file_system: "ext4",
            });
        }
    }

    /// The disk_config, with what is kept.
    pub fn text(&self, keep: &Keep) -> String {
        let mut text = String::new();
        for (disk, stanza) in self.disks.iter().enumerate() {
            if let Some(of) = stanza.same_as {
                text += &format!("disk_config disk{} sameas:disk{}\n\n", disk + 1, of + 1);
                continue;
            }
            let of_disk = keep.partitions.iter().filter(|kept| kept.disk == disk);
            let of_disk: Vec<&KeptPartition> = of_disk.collect();
            let numbers = |wish: Wish| {
                let kept = of_disk.iter().filter(move |kept| kept.wish == wish);
                kept.map(|kept| kept.number.to_string()).collect::<Vec<_>>()
            };
            let always = option("always_format", &numbers(Wish::Format));
            let kept = [numbers(Wish::Keep), numbers(Wish::Format)].concat();
            let kept = option(keep.word, &kept);
            let resized = option("resize", &numbers(Wish::Resize));
            let (number, label) = (disk + 1, stanza.label);
            text += &format!(
                "disk_config disk{number} disklabel:{label} fstabkey:uuid{kept}{always}{resized}\n"
            );
            for (number, line) in &stanza.lines {
                let mut resized = of_disk.iter().filter(|kept| kept.wish == Wish::Resize);
                text += &line.text(resized.any(|kept| kept.number == *number));
                text.push('\n');
            }
            text.push('\n');
        }
        let arrays: Vec<String> = keep.arrays.iter().map(u32::to_string).collect();
        let volumes = self.volumes.iter().map(|line| line.text(false));
        let lvm: Vec<String> = self.groups.iter().cloned().chain(volumes).collect();
        let lvm_options = option(keep.word, &keep.volumes);
        for (head, lines) in [
            (format!("raid fstabkey:uuid{}", option(keep.word, &arrays)), &self.raid),
            ("cryptsetup".to_owned(), &self.crypt),
            (format!("lvm fstabkey:uuid{lvm_options}"), &lvm),
            ("btrfs fstabkey:uuid".to_owned(), &self.btrfs),
        ] {
            if !lines.is_empty() {
                text += &format!("disk_config {head}\n{}\n\n", lines.join("\n"));
            }
        }
        text
    }

    /// Things to keep, at random.
    pub fn choose(&self, dice: &mut Dice) -> Keep {
        let word = dice.pick(&["preserve_lazy", "preserve_always", "preserve_reinstall"]);
        let mut keep = Keep { word, ..Keep::default() };
        for &(disk, number) in &self.plain {
            let mut lines = self.disks[disk].lines.iter();
            let file_system = lines.find(|(of, _)| *of == number).map(|(_, line)| line.file_system);
            let wish = match dice.roll(6) {
                0 | 1 => Wish::Keep,
                2 if number > 0 => Wish::Format,
                3 if file_system == Some("ext4") && number > 0 => Wish::Resize,
                _ => continue,
            };
            keep.partitions.push(KeptPartition { disk, number, wish });
        }
        keep.arrays.extend(self.arrays.iter().filter(|_| dice.is(2)));
        let volumes = self.volumes.iter().filter(|_| dice.is(3));
        keep.volumes.extend(volumes.map(|line| line.word.clone()));
        keep
    }
}

fn option(word: &str, ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!(" {word}:{}", ids.join(",")) }
}

/// What becomes of something that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Keep,
    Format,
    Resize,
}

#[derive(Clone, Copy, Debug)]
struct KeptPartition {
    disk: usize,
    number: u32,
    wish: Wish,
}

/// What a life keeps of the one before.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// The option.
    word: &'static str,
    partitions: Vec<KeptPartition>,
    /// By number.
    arrays: Vec<u32>,
    /// `GROUP-VOLUME`.
    volumes: Vec<String>,
}

impl Keep {
    /// Devices whose content survives.
    pub fn devices(&self) -> Vec<String> {
        let disk = |index: usize| char::from(b'a' + index as u8);
        let kept = self.partitions.iter().filter(|kept| kept.wish != Wish::Format);
        let partitions = kept.map(|kept| match kept.number {
            0 => format!("/dev/vd{}", disk(kept.disk)),
            number => format!("/dev/vd{}{number}", disk(kept.disk)),
        });
        let arrays = self.arrays.iter().map(|number| format!("/dev/md{number}"));
        let volumes = self.volumes.iter();
        let volumes = volumes.map(|name| format!("/dev/{}", name.replacen('-', "/", 1)));
        partitions.chain(arrays).chain(volumes).collect()
    }
}
