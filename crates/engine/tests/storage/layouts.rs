//! disk_configs: a few that show each kind of layer, and any number at random.

/// RAID 1 below everything: boot, a volume group, encrypted swap.
pub const RAID: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary - 300 - -
primary - 3000 - -
primary swap 500 swap sw

disk_config disk2 sameas:disk1

disk_config raid fstabkey:uuid
raid1 /boot disk1.1,disk2.1 vfat rw mdcreateopts=\"--metadata=1.0\"
raid1 - disk1.2,disk2.2 - -

disk_config lvm fstabkey:uuid
vg vg1 md1
vg1-root / 1000 ext4 rw
vg1-home /home 500- xfs rw
";

/// Encryption with a key file, a passphrase, and keys that are forgotten.
pub const LUKS: &str = "\
disk_config disk1 disklabel:msdos fstabkey:uuid bootable:1
primary / 1000 ext4 rw
logical - 800 - -
logical - 600 - -
logical - 400 - -
logical - 200 - -

disk_config cryptsetup
luks /data disk1.5 ext4 rw
luks:\"correct horse\" - disk1.6 - -
swap swap disk1.7 swap sw
tmp /tmp disk1.8 ext4 rw

disk_config lvm
vg crypt disk1.6
crypt-mail /var/mail 300 ext4 rw
";

/// btrfs on two disks.
pub const BTRFS: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary / 2000 ext4 rw
primary - 1000 - -

disk_config disk2 disklabel:gpt fstabkey:uuid
primary - 1000 - -

disk_config btrfs fstabkey:uuid
btrfs raid1 /data disk1.2,disk2.1 rw,subvol=@data
";

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
}

/// A layout at random, in parts that a second life can ask to be kept.
#[derive(Clone, Debug, Default)]
pub struct RandomLayout {
    /// For each disk: its label, and a line for each partition.
    disks: Vec<(&'static str, Vec<String>)>,
    raid: Vec<String>,
    crypt: Vec<String>,
    lvm: Vec<String>,
    btrfs: Vec<String>,
    /// Plain file systems, by disk and partition number.
    plain: Vec<(usize, u32)>,
    /// Arrays that hold a file system, by number.
    arrays: Vec<u32>,
    /// Logical volumes that hold a file system.
    volumes: Vec<String>,
}

impl RandomLayout {
    pub fn roll(dice: &mut Dice, disks: usize) -> Self {
        let mut layout = Self::default();
        let mut free = Vec::new();
        for disk in 0..disks {
            let label = dice.pick(&["gpt", "msdos", "gpt"]);
            layout.disks.push((label, Vec::new()));
            for number in 1..=2 + dice.roll(2) as u32 {
                let root = disk == 0 && number == 1;
                if root || dice.roll(3) == 0 {
                    layout.plain_partition(dice, disk, number, root);
                } else {
                    let size = 400 + 50 * dice.roll(8);
                    layout.disks[disk].1.push(format!("primary - {size} - -"));
                    free.push(format!("disk{}.{number}", disk + 1));
                }
            }
        }
        layout.stack(dice, free);
        layout
    }

    fn plain_partition(&mut self, dice: &mut Dice, disk: usize, number: u32, root: bool) {
        let point = if root { "/".to_owned() } else { format!("/d{disk}p{number}") };
        let kind = if root { "ext4" } else { dice.pick(&["ext4", "xfs", "vfat", "swap"]) };
        let size = 200 + 50 * dice.roll(8);
        let line = match kind {
            "swap" => format!("primary swap {size} swap sw"),
            kind => format!("primary {point} {size} {kind} rw"),
        };
        self.disks[disk].1.push(line);
        if kind != "swap" {
            self.plain.push((disk, number));
        }
    }

    /// Builds layers on what is free.
    fn stack(&mut self, dice: &mut Dice, mut free: Vec<String>) {
        let mut groups = 0;
        while !free.is_empty() {
            let first = free.remove(dice.roll(free.len() as u64) as usize);
            let second = (!free.is_empty()).then(|| free.remove(0));
            let point = format!("/s{}", free.len());
            match (dice.roll(5), second) {
                (0 | 1, Some(second)) => {
                    let level = dice.pick(&["raid0", "raid1"]);
                    let array = self.raid.len() as u32;
                    if dice.roll(2) == 0 {
                        self.raid.push(format!("{level} {point} {first},{second} ext4 rw"));
                        self.arrays.push(array);
                    } else {
                        self.raid.push(format!("{level} - {first},{second} - -"));
                        self.group(dice, &mut groups, &format!("md{array}"), &point);
                    }
                }
                (2, Some(second)) => {
                    let devices = format!("{first},{second}");
                    let line = format!("btrfs raid1 {point} {devices} rw,subvol=@");
                    self.btrfs.push(line);
                }
                (3, Some(second)) => {
                    self.group(dice, &mut groups, &format!("{first},{second}"), &point);
                }
                (4, None) => self.group(dice, &mut groups, &first, &point),
                (_, second) => {
                    let kind = dice.pick(&["luks", "luks:\"secret words\""]);
                    self.crypt.push(format!("{kind} {point} {first} ext4 rw"));
                    free.extend(second);
                }
            }
        }
    }

    fn group(&mut self, dice: &mut Dice, groups: &mut u32, devices: &str, point: &str) {
        let name = format!("vg{groups}");
        *groups += 1;
        self.lvm.push(format!("vg {name} {devices}"));
        for volume in 0..1 + dice.roll(2) {
            self.lvm.push(format!("{name}-lv{volume} {point}v{volume} 100 ext4 rw"));
            self.volumes.push(format!("{name}-lv{volume}"));
        }
    }

    /// One plain thing that a second life may keep, chosen by dice: options for its stanza.
    pub fn text(&self, keep: &Keep) -> String {
        let mut text = String::new();
        for (disk, (label, lines)) in self.disks.iter().enumerate() {
            let kept: Vec<String> = keep
                .partitions
                .iter()
                .filter(|(of, _)| *of == disk)
                .map(|(_, number)| number.to_string())
                .collect();
            let option = option(&kept);
            text +=
                &format!("disk_config disk{} disklabel:{label} fstabkey:uuid{option}\n", disk + 1);
            lines.iter().for_each(|line| text += &format!("{line}\n"));
            text.push('\n');
        }
        let arrays: Vec<String> = keep.arrays.iter().map(u32::to_string).collect();
        for (head, lines) in [
            (format!("raid fstabkey:uuid{}", option(&arrays)), &self.raid),
            ("cryptsetup".to_owned(), &self.crypt),
            (format!("lvm fstabkey:uuid{}", option(&keep.volumes)), &self.lvm),
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
        let mut keep = Keep::default();
        keep.partitions.extend(self.plain.iter().filter(|_| dice.roll(2) == 0));
        keep.arrays.extend(self.arrays.iter().filter(|_| dice.roll(2) == 0));
        keep.volumes.extend(self.volumes.iter().filter(|_| dice.roll(3) == 0).cloned());
        keep
    }
}

fn option(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!(" preserve_lazy:{}", ids.join(",")) }
}

/// What a life keeps of the one before.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// By disk and number.
    pub partitions: Vec<(usize, u32)>,
    /// By number.
    pub arrays: Vec<u32>,
    /// `GROUP-VOLUME`.
    pub volumes: Vec<String>,
}

impl Keep {
    /// Devices whose content survives.
    pub fn devices(&self) -> Vec<String> {
        let disk = |index: usize| char::from(b'a' + index as u8);
        let partitions = self
            .partitions
            .iter()
            .map(|(index, number)| format!("/dev/vd{}{number}", disk(*index)));
        let arrays = self.arrays.iter().map(|number| format!("/dev/md{number}"));
        let volumes =
            self.volumes.iter().map(|name| format!("/dev/{}", name.replacen('-', "/", 1)));
        partitions.chain(arrays).chain(volumes).collect()
    }
}
