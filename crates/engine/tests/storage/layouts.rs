//! disk_configs that show each kind of layer.

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

/// Partitions and logical volumes that are going to change their sizes.
pub const BEFORE_RESIZE: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid
primary / 3000 ext4 rw
primary /data 2000 ext4 rw
primary /srv 1000 xfs rw

disk_config disk2 disklabel:msdos fstabkey:uuid
primary /opt 1000 ext4 rw
logical - 4000 - -
logical /spare 1000 ext4 rw

disk_config lvm fstabkey:uuid
vg vg1 disk2.5
vg1-home /home 2000 ext4 rw
vg1-mail /var/mail 1000 xfs rw
";

/// The same: `/`, `/spare` and `/home` become smaller, `/srv`, `/opt` and `/var/mail` larger, `/data`
/// stays where it is, between two that move their ends.
pub const AFTER_RESIZE: &str = "\
disk_config disk1 disklabel:gpt fstabkey:uuid preserve_always:2 resize:1,3
primary / 2000 ext4 rw
primary /data 2000 ext4 rw
primary /srv 3000 xfs rw

disk_config disk2 disklabel:msdos fstabkey:uuid preserve_always:5 resize:6
primary /opt 1000 ext4 rw
logical - 4000 - -
logical /spare 600 ext4 rw

disk_config lvm fstabkey:uuid resize:vg1-home,vg1-mail
vg vg1 disk2.5
vg1-home /home 1200 ext4 rw
vg1-mail /var/mail 1800 xfs rw
";
