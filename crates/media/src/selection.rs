//! Which kernel modules go where: lists by purpose, closed over what the modules need.
//!
//! A list holds directories (`kernel/fs/ext4/`) and single modules (`kernel/fs/isofs/isofs`), as
//! they lie below `/lib/modules/RELEASE`; an entry that starts with `!` takes away what an earlier
//! one gave. What nobody has is passed over: kernels differ in what they build in.

use hostwright_host::boot::modules::ModuleIndex;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Modules of the initramfs: whatever a machine can be netbooted with, what the tools image is
/// mounted with, and disks, so that its rescue shell can read them without a network.
pub const INITRAMFS: &[&str] = &[
    // Ethernet, the PHYs behind it, and USB dongles.
    "kernel/drivers/net/ethernet/",
    "!kernel/drivers/net/ethernet/netronome/",
    "!kernel/drivers/net/ethernet/mellanox/mlxsw/",
    "!kernel/drivers/net/ethernet/cavium/",
    "!kernel/drivers/net/ethernet/xircom/",
    "kernel/drivers/net/phy/",
    "kernel/drivers/net/mdio/",
    "kernel/drivers/net/usb/",
    // Network cards of virtual machines.
    "kernel/drivers/net/virtio_net",
    "kernel/drivers/net/vmxnet3/",
    "kernel/drivers/net/xen-netfront",
    "kernel/drivers/net/hyperv/",
    "kernel/drivers/hv/",
    // The DHCP client's raw sockets.
    "kernel/net/packet/af_packet",
    // Buses.
    "kernel/drivers/virtio/",
    "kernel/drivers/usb/host/",
    "kernel/drivers/usb/core/",
    "kernel/drivers/usb/common/",
    "kernel/drivers/hid/hid",
    "kernel/drivers/hid/hid-generic",
    "kernel/drivers/hid/usbhid/usbhid",
    // Disks.
    "kernel/drivers/ata/ahci",
    "kernel/drivers/ata/ata_piix",
    "kernel/drivers/ata/ata_generic",
    "kernel/drivers/nvme/host/",
    "kernel/drivers/block/virtio_blk",
    "kernel/drivers/block/xen-blkfront",
    "kernel/drivers/block/loop",
    "kernel/drivers/scsi/sd_mod",
    "kernel/drivers/scsi/sr_mod",
    "kernel/drivers/scsi/virtio_scsi",
    "kernel/drivers/scsi/vmw_pvscsi",
    "kernel/drivers/scsi/hv_storvsc",
    "kernel/drivers/scsi/megaraid/",
    "kernel/drivers/scsi/mpt3sas/",
    "kernel/drivers/scsi/mpi3mr/",
    "kernel/drivers/scsi/aacraid/",
    "kernel/drivers/scsi/smartpqi/",
    "kernel/drivers/scsi/hpsa",
    "kernel/drivers/message/fusion/mptsas",
    "kernel/drivers/message/fusion/mptspi",
    "kernel/drivers/usb/storage/usb-storage",
    "kernel/drivers/usb/storage/uas",
    "kernel/drivers/mmc/core/",
    "kernel/drivers/mmc/host/sdhci-pci",
    "kernel/drivers/mmc/host/sdhci-acpi",
    // File systems: of the tools image first.
    "kernel/fs/squashfs/",
    "kernel/fs/overlayfs/",
    "kernel/fs/ext4/",
    "kernel/fs/fat/",
    "kernel/fs/nls/nls_ascii",
    "kernel/fs/nls/nls_cp437",
    "kernel/fs/nls/nls_iso8859-1",
    "kernel/fs/nls/nls_utf8",
    "kernel/fs/isofs/",
    "kernel/fs/efivarfs/",
    "kernel/drivers/md/dm-mod",
    // Checksums that file systems ask for by name.
    "kernel/crypto/crc32c_generic",
    "kernel/arch/x86/crypto/crc32c-intel",
    "kernel/arch/x86/crypto/crc32-pclmul",
    // Virtual machines: consoles and the host's words to the guest.
    "kernel/drivers/char/virtio_console",
    "kernel/drivers/char/hw_random/virtio-rng",
    "kernel/drivers/firmware/qemu_fw_cfg",
];

/// Modules of the tools image: everything that has to do with disks, file systems and networks.
pub const TOOLS: &[&str] = &[
    "kernel/arch/x86/crypto/",
    "kernel/block/",
    "kernel/crypto/",
    "kernel/lib/",
    "kernel/drivers/acpi/",
    "kernel/drivers/ata/",
    "kernel/drivers/block/",
    "kernel/drivers/cdrom/",
    "kernel/drivers/char/",
    "kernel/drivers/dax/",
    "kernel/drivers/dma/",
    "kernel/drivers/firmware/",
    "kernel/drivers/hid/hid",
    "kernel/drivers/hid/hid-generic",
    "kernel/drivers/hid/usbhid/",
    "kernel/drivers/hv/",
    "kernel/drivers/infiniband/",
    "kernel/drivers/md/",
    "kernel/drivers/message/",
    "kernel/drivers/mmc/",
    "kernel/drivers/net/",
    "!kernel/drivers/net/wireless/",
    "!kernel/drivers/net/wwan/",
    "!kernel/drivers/net/can/",
    "!kernel/drivers/net/hamradio/",
    "!kernel/drivers/net/ieee802154/",
    "!kernel/drivers/net/arcnet/",
    "!kernel/drivers/net/fddi/",
    "!kernel/drivers/net/wan/",
    "!kernel/drivers/net/ethernet/mellanox/mlxsw/",
    "kernel/drivers/nvdimm/",
    "kernel/drivers/nvme/",
    "kernel/drivers/pci/",
    "kernel/drivers/scsi/",
    "kernel/drivers/target/",
    "kernel/drivers/thunderbolt/",
    "kernel/drivers/usb/common/",
    "kernel/drivers/usb/core/",
    "kernel/drivers/usb/host/",
    "kernel/drivers/usb/storage/",
    "kernel/drivers/virtio/",
    "kernel/drivers/xen/",
    "kernel/fs/",
    "!kernel/fs/ocfs2/",
    "!kernel/fs/gfs2/",
    "!kernel/fs/dlm/",
    "!kernel/fs/ceph/",
    "!kernel/fs/afs/",
    "!kernel/fs/nfsd/",
    "!kernel/fs/smb/",
    "kernel/net/802/",
    "kernel/net/8021q/",
    "kernel/net/bridge/",
    "kernel/net/core/",
    "kernel/net/packet/",
    "kernel/net/sunrpc/",
    "kernel/net/dns_resolver/",
    "kernel/net/tls/",
    "kernel/net/vmw_vsock/",
];

/// Modules of one purpose, with the parts of depmod's files that speak of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Paths below `/lib/modules/RELEASE`, sorted.
    pub paths: Vec<String>,
    /// Text of `modules.dep`.
    pub dep: String,
    /// Text of `modules.alias`.
    pub alias: String,
    /// Text of `modules.softdep`.
    pub softdep: String,
}

/// Selects what `list` names and everything it needs. The texts are depmod's, of the whole kernel.
pub fn select(list: &[&str], dep: &str, alias: &str, softdep: &str) -> Selection {
    let index = ModuleIndex::parse(dep, alias, softdep);
    let named = index.files().filter(|(_, file)| is_listed(list, &file.path));
    let chosen = index.closure(named.map(|(name, _)| name));
    let mut paths: Vec<String> = index
        .files()
        .filter(|(name, _)| chosen.contains(name))
        .map(|(_, file)| file.path.clone())
        .collect();
    paths.sort();
    let set: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let dep = lines(dep, |line| line.split_once(':').is_some_and(|(path, _)| set.contains(path)));
    let speaks_of = |word: usize| {
        let chosen = &chosen;
        move |line: &str| {
            let name = line.split_whitespace().nth(word).unwrap_or_default().replace('-', "_");
            !line.starts_with('#') && chosen.contains(name.as_str())
        }
    };
    let (alias, softdep) = (lines(alias, speaks_of(2)), lines(softdep, speaks_of(1)));
    Selection { paths, dep, alias, softdep }
}

/// The last entry of `list` that fits `path` decides.
fn is_listed(list: &[&str], path: &str) -> bool {
    let fits = |entry: &str| match entry.strip_suffix('/') {
        Some(dir) => path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')),
        None => path.strip_prefix(entry).is_some_and(|rest| rest.starts_with(".ko")),
    };
    let decide = |listed, entry: &&str| match entry.strip_prefix('!') {
        Some(entry) => listed && !fits(entry),
        None => listed || fits(entry),
    };
    list.iter().fold(false, decide)
}

fn lines(text: &str, keep: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| keep(line)).fold(String::new(), |mut kept, line| {
        writeln!(kept, "{line}").expect("invariant: writing to a string cannot fail");
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\n\
        kernel/fs/jbd2/jbd2.ko:\n\
        kernel/fs/ext4-old/x.ko:\n\
        kernel/crypto/crc32c_generic.ko:\n\
        kernel/drivers/net/wireless/w.ko:\n\
        kernel/drivers/net/v-net.ko.xz:\n\
        kernel/sound/snd.ko:\n";
    const ALIAS: &str = "# comment\nalias crypto-crc32c crc32c_generic\nalias pci:* snd\n\
        alias fs-ext4 ext4\nalias virtio:* v-net\n";
    const SOFTDEP: &str = "softdep ext4 pre: crypto-crc32c\nsoftdep snd pre: x\n";

    #[test]
    fn a_selection_is_closed_and_knows_only_itself() {
        let list = ["kernel/fs/ext4/", "kernel/drivers/net/", "!kernel/drivers/net/wireless/"];
        let selection = select(&list, DEP, ALIAS, SOFTDEP);
        let expected = [
            "kernel/crypto/crc32c_generic.ko",
            "kernel/drivers/net/v-net.ko.xz",
            "kernel/fs/ext4/ext4.ko",
            "kernel/fs/jbd2/jbd2.ko",
        ];
        assert_eq!(selection.paths, expected);
        assert_eq!(selection.dep.lines().count(), 4);
        let aliases =
            "alias crypto-crc32c crc32c_generic\nalias fs-ext4 ext4\nalias virtio:* v-net\n";
        assert_eq!(selection.alias, aliases);
        assert_eq!(selection.softdep, "softdep ext4 pre: crypto-crc32c\n");
    }

    #[test]
    fn an_entry_is_a_directory_or_one_module() {
        assert!(is_listed(&["kernel/fs/fat/"], "kernel/fs/fat/vfat.ko"));
        assert!(is_listed(&["kernel/fs/fat/vfat"], "kernel/fs/fat/vfat.ko.xz"));
        assert!(!is_listed(&["kernel/fs/fat/vfat"], "kernel/fs/fat/vfat2.ko"));
        assert!(!is_listed(&["kernel/fs/fat"], "kernel/fs/fat/vfat.ko"));
        assert!(is_listed(&["a/", "!a/b/", "a/b/c"], "a/b/c.ko"));
    }
}
