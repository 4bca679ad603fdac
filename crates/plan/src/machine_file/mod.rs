//! `machines/NAME.toml`: what `disk1`, `disk2`, … mean on a machine, by what its disks are instead of
//! by the order in which the kernel found them; for machines that are installed from an image also
//! the image, the network, the boot loader, encryption and policies ([`sections`], [`network`]).
//!
//! NAME is a host name, or a class: the file of the host counts, else that of the last class that
//! has one. FAI passes over such files.
//!
//! ```toml
//! [[disk]]                        # disk1
//! serial = "S4EVNX0M123456"       # whole; also wwn, id and path, the names below /dev/disk
//!
//! [[disk]]                        # disk2 and disk3
//! transport = "nvme"              # nvme, sata, scsi, usb, virtio, mmc
//! model = "Samsung*"              # a pattern of a shell; also for serial, wwn, id and path
//! size = "400GB-1TB"              # from, to; either may be left out
//! rotational = false
//! count = 2                       # exactly so many must match; 1 unless it says otherwise
//!
//! [[disk]]                        # disk4
//! rotational = true
//! pick = "largest"                # or smallest: the one of those that match
//! ```
//!
//! An entry chooses among the disks that no entry above it has. A disk that can be removed is chosen
//! only by its serial number, WWN or name, or as `transport = "usb"`.

mod network;
mod sections;

pub use sections::{
    BootSection, DiskRule, EncryptionSection, ImageSection, LoaderName, PolicySection, Serial,
};

use crate::finding::{Finding, Line};
use crate::network::mistakes;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::facts::{Disk, Nic};
use hostwright_model::network::{Network, Renderer};
use hostwright_model::plan::Why;
use hostwright_model::size::ByteSize;
use network::NetworkSection;
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

/// A machine file.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineFile {
    /// `machines/mail1.toml`.
    pub path: String,
    text: String,
    document: Document,
}

/// The file as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    disk: Vec<Spanned<DiskHint>>,
    #[serde(default)]
    image: Option<Spanned<ImageSection>>,
    #[serde(default)]
    network: Option<Spanned<NetworkSection>>,
    #[serde(default)]
    boot: Option<Spanned<BootSection>>,
    #[serde(default)]
    encryption: Option<Spanned<EncryptionSection>>,
    #[serde(default)]
    policy: Option<Spanned<PolicySection>>,
}

/// A section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Image,
    Network,
    Boot,
    Encryption,
    Policy,
}

/// One entry: what all its disks have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DiskHint {
    serial: Option<String>,
    wwn: Option<String>,
    id: Option<String>,
    path: Option<String>,
    model: Option<String>,
    size: Option<SizeSpan>,
    rotational: Option<bool>,
    transport: Option<Transport>,
    pick: Option<Pick>,
    count: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Nvme,
    Sata,
    Scsi,
    Usb,
    Virtio,
    Mmc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pick {
    Smallest,
    Largest,
}

/// Sizes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct SizeSpan {
    from_bytes: u64,
    to_bytes: u64,
}

impl TryFrom<String> for SizeSpan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = |part: &str| format!("'{part}' is not a size; write 400GB-1TB, 400GB- or -1TB");
        let bytes = |part: &str, or: u64| match part.trim() {
            "" => Ok(or),
            part => part.parse::<ByteSize>().map(|size| size.0).map_err(|_| bad(part)),
        };
        let (from, to) = text.split_once('-').ok_or_else(|| bad(&text))?;
        let span = Self { from_bytes: bytes(from, 0)?, to_bytes: bytes(to, u64::MAX)? };
        if span.from_bytes > span.to_bytes || text.trim() == "-" {
            return Err(bad(&text));
        }
        Ok(span)
    }
}

/// Reads a machine file.
pub(crate) fn parse(path: &str, text: &str) -> Result<MachineFile, Box<Diagnostic>> {
    let at = |span: Range<usize>| Place { path, text, span };
    let document: Document = toml::from_str(text).map_err(|error| {
        let message = error.message().to_owned();
        let cure = "see the keys of a machine file in docs/reference/machines.md";
        at(error.span().unwrap_or(0..0)).error("bad-machine-file", message, cure)
    })?;
    for hint in &document.disk {
        let wrong = match hint.get_ref() {
            DiskHint { count: Some(0), .. } => Some("count = 0 chooses nothing"),
            DiskHint { count: Some(_), pick: Some(_), .. } => {
                Some("pick chooses one disk, and count asks for several")
            }
            hint if *hint == DiskHint { count: hint.count, ..DiskHint::default() } => {
                Some("this entry says nothing about the disk")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            let cure = "say what distinguishes the disk, or drop the entry";
            return Err(at(hint.span()).error("bad-machine-file", wrong, cure));
        }
    }
    if let Some((span, wrong)) = wrong_section(&document) {
        let cure = "see the keys of a machine file in docs/reference/machines.md";
        return Err(at(span).error("bad-machine-file", wrong, cure));
    }
    Ok(MachineFile { path: path.to_owned(), text: text.to_owned(), document })
}

/// The first section with something wrong, and what that is.
fn wrong_section(document: &Document) -> Option<(Range<usize>, String)> {
    if let Some(image) = &document.image {
        let ImageSection { name, digest } = image.get_ref();
        if name.is_some() == digest.is_some() {
            return Some((image.span(), "write either the name or the digest of an image".into()));
        }
    }
    if let Some(boot) = &document.boot
        && let Some(wrong) = boot.get_ref().bad_argument()
    {
        return Some((boot.span(), wrong));
    }
    if let Some(encryption) = &document.encryption
        && let Some(wrong) = encryption.get_ref().mistake()
    {
        return Some((encryption.span(), wrong.to_owned()));
    }
    let network = document.network.as_ref()?;
    if network.get_ref().interface.is_empty() {
        return Some((network.span(), "this network has no interfaces".to_owned()));
    }
    network.get_ref().interface.iter().find_map(|interface| {
        interface.get_ref().mistake().map(|wrong| (interface.span(), wrong.to_owned()))
    })
}

impl MachineFile {
    /// `[image]`.
    pub fn image(&self) -> Option<&ImageSection> {
        self.document.image.as_ref().map(Spanned::get_ref)
    }

    /// The name of the image, and the line of its section.
    pub(crate) fn image_name(&self) -> Option<(&str, u32)> {
        let image = self.document.image.as_ref()?;
        let name = image.get_ref().name.as_deref()?;
        Some((name, self.place(image.span()).line().0))
    }

    /// `[boot]`, with what it says where it is not there.
    pub fn boot(&self) -> BootSection {
        self.document.boot.as_ref().map(|boot| boot.get_ref().clone()).unwrap_or_default()
    }

    /// `[encryption]`, with what it says where it is not there.
    pub fn encryption(&self) -> EncryptionSection {
        let section = self.document.encryption.as_ref();
        section.map(|section| section.get_ref().clone()).unwrap_or_default()
    }

    /// `[policy]`, with what it says where it is not there.
    pub fn policy(&self) -> PolicySection {
        self.document.policy.as_ref().map(|policy| policy.get_ref().clone()).unwrap_or_default()
    }

    /// True if it describes the network of the installed system.
    pub fn has_network(&self) -> bool {
        self.document.network.is_some()
    }

    /// The program that the network is to be written for.
    pub fn renderer(&self) -> Option<Renderer> {
        self.document.network.as_ref().and_then(|network| network.get_ref().renderer)
    }

    /// The network on a machine with these cards; `None` if it says nothing about it.
    pub fn network(&self, nics: &[Nic]) -> Result<Option<Network>, Vec<Diagnostic>> {
        let Some(section) = &self.document.network else { return Ok(None) };
        let (mut interfaces, mut found) = (Vec::new(), Vec::new());
        for entry in &section.get_ref().interface {
            match entry.get_ref().interface(nics) {
                Ok(interface) => interfaces.push((interface, entry.span())),
                Err(card) => {
                    let cards: Vec<String> =
                        nics.iter().map(|nic| format!("{} ({})", nic.name, nic.mac)).collect();
                    let message = format!("this machine has no network card {card}");
                    let cure = format!("its cards are {}", cards.join(", "));
                    found.push(*self.place(entry.span()).error("bad-network", message, cure));
                }
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        let (interfaces, spans): (Vec<_>, Vec<_>) = interfaces.into_iter().unzip();
        let network = section.get_ref().network(interfaces);
        for mistake in mistakes(&network, nics) {
            let named = |name: &String| network.interfaces.iter().position(|i| i.name == *name);
            let span = mistake.interface.as_ref().and_then(named).map(|i| spans[i].clone());
            let place = self.place(span.unwrap_or_else(|| section.span()));
            found.push(*place.error("bad-network", mistake.message, mistake.cure));
        }
        if found.is_empty() { Ok(Some(network)) } else { Err(found) }
    }

    /// An error about one of the sections; about the file where it is not there.
    pub(crate) fn error_in(
        &self,
        section: Section,
        code: &'static str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Diagnostic {
        *self.place(self.span_of(section)).error(code, message, cure)
    }

    /// The line of a section, as a reason.
    pub(crate) fn why(&self, section: Section) -> Why {
        Why::line(self.path.clone(), self.place(self.span_of(section)).line().0, None)
    }

    fn span_of(&self, section: Section) -> Range<usize> {
        let document = &self.document;
        let span = match section {
            Section::Image => document.image.as_ref().map(Spanned::span),
            Section::Network => document.network.as_ref().map(Spanned::span),
            Section::Boot => document.boot.as_ref().map(Spanned::span),
            Section::Encryption => document.encryption.as_ref().map(Spanned::span),
            Section::Policy => document.policy.as_ref().map(Spanned::span),
        };
        span.unwrap_or(0..0)
    }

    fn place(&self, span: Range<usize>) -> Place<'_> {
        Place { path: &self.path, text: &self.text, span }
    }

    /// Its text, for digests.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True if it says which disks are meant.
    pub(crate) fn chooses_disks(&self) -> bool {
        !self.document.disk.is_empty()
    }

    /// The disks of a machine in the order of the entries: `disk1` first.
    pub(crate) fn choose<'a>(&self, disks: &'a [Disk]) -> Result<Vec<&'a Disk>, Box<Diagnostic>> {
        let mut chosen: Vec<&Disk> = Vec::new();
        for hint in &self.document.disk {
            let free: Vec<&Disk> = disks.iter().filter(|disk| !chosen.contains(disk)).collect();
            let next = format!("disk{}", chosen.len() + 1);
            let found = hint.get_ref().choose(&next, &free).map_err(|message| {
                let known: Vec<String> = free.iter().map(|disk| describe(disk)).collect();
                let cure = match known.is_empty() {
                    true => "no disk is left; drop the entry".to_owned(),
                    false => format!("the disks to choose from are {}", known.join("; ")),
                };
                self.place(hint.span()).error("disk-hint", message, cure)
            })?;
            chosen.extend(found);
        }
        Ok(chosen)
    }
}

impl DiskHint {
    fn choose<'a>(&self, name: &str, free: &[&'a Disk]) -> Result<Vec<&'a Disk>, String> {
        let mut found: Vec<&Disk> =
            free.iter().copied().filter(|disk| self.matches(disk)).collect();
        if let Some(pick) = self.pick {
            let size = |disk: &&Disk| disk.size_bytes;
            let best = match pick {
                Pick::Smallest => found.iter().map(size).min(),
                Pick::Largest => found.iter().map(size).max(),
            };
            found.retain(|disk| Some(disk.size_bytes) == best);
        }
        let wanted = self.count.unwrap_or(1);
        if found.len() == wanted {
            return Ok(found);
        }
        let names: Vec<String> = found.iter().map(|disk| describe(disk)).collect();
        let asked = if wanted == 1 { "one is".to_owned() } else { format!("{wanted} are") };
        Err(match found.len() {
            0 => format!("{name}: no disk is as this entry says"),
            count => {
                let these = names.join("; ");
                format!("{name}: {asked} asked for, and {count} are as this entry says: {these}")
            }
        })
    }

    fn matches(&self, disk: &Disk) -> bool {
        let fits = |pattern: &Option<String>, value: Option<&str>| match pattern {
            Some(pattern) => value.is_some_and(|value| glob(pattern, value)),
            None => true,
        };
        let link = |pattern: &Option<String>, dir: &str| {
            let mut links = disk.links.iter().filter_map(|link| link.strip_prefix(dir));
            pattern.is_none() || links.any(|link| fits(pattern, Some(link)))
        };
        let is_named = self.serial.is_some()
            || self.wwn.is_some()
            || self.id.is_some()
            || self.path.is_some()
            || self.transport == Some(Transport::Usb);
        (is_named || !disk.removable)
            && fits(&self.serial, disk.serial.as_deref())
            && fits(&self.model, disk.model.as_deref())
            && fits(
                &self.wwn.as_deref().map(plain_wwn),
                disk.wwn.as_deref().map(plain_wwn).as_deref(),
            )
            && link(&self.id, "by-id/")
            && link(&self.path, "by-path/")
            && self.rotational.is_none_or(|rotational| rotational == disk.rotational)
            && self.transport.is_none_or(|transport| transport_of(disk) == Some(transport))
            && self
                .size
                .is_none_or(|span| (span.from_bytes..=span.to_bytes).contains(&disk.size_bytes))
    }
}

/// A WWN as its digits: programs write `0x…`, `naa.…`, `eui.…` and `wwn-0x…` in front of them.
fn plain_wwn(wwn: &str) -> String {
    let mut digits = wwn;
    for prefix in ["wwn-", "naa.", "eui.", "0x"] {
        digits = digits.strip_prefix(prefix).unwrap_or(digits);
    }
    digits.to_ascii_lowercase()
}

/// How a disk is attached; `None` where nothing tells.
pub(crate) fn transport_of(disk: &Disk) -> Option<Transport> {
    let is_linked =
        |parts: &[&str]| disk.links.iter().any(|link| parts.iter().any(|part| link.contains(part)));
    if disk.name.starts_with("nvme") {
        Some(Transport::Nvme)
    } else if disk.name.starts_with("vd") {
        Some(Transport::Virtio)
    } else if disk.name.starts_with("mmcblk") {
        Some(Transport::Mmc)
    } else if is_linked(&["by-id/usb-", "-usb-", "-usbv2-", "-usbv3-"]) {
        Some(Transport::Usb)
    } else if is_linked(&["by-id/ata-", "-ata-"]) {
        Some(Transport::Sata)
    } else {
        disk.name.starts_with("sd").then_some(Transport::Scsi)
    }
}

/// `/dev/sda (SPINNER 1000, serial number WD-42, 1 GiB)`.
pub(crate) fn describe(disk: &Disk) -> String {
    let model = disk.model.iter().cloned();
    let serial = disk.serial.iter().map(|serial| format!("serial number {serial}"));
    let size = [ByteSize(disk.size_bytes).rounded()];
    let words: Vec<String> = model.chain(serial).chain(size).collect();
    format!("{} ({})", disk.path(), words.join(", "))
}

/// A pattern with `*` and `?` against all of a text.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Where the last star was, and how much of the text it has taken so far.
    let (mut star, mut p, mut t) = (None, 0, 0);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// A stretch of the file's bytes.
struct Place<'a> {
    path: &'a str,
    text: &'a str,
    span: Range<usize>,
}

impl Place<'_> {
    /// An error at the first line of the stretch.
    fn error(
        &self,
        code: &'static str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Box<Diagnostic> {
        let finding = Finding::error(code, message, cure);
        let (number, offset) = self.line();
        let Some(line) = Line::all(self.path, self.text).nth(number as usize - 1) else {
            return Box::new(finding.at_start(self.path, self.text));
        };
        let start = self.span.start.min(self.text.len());
        let length = self.span.end.clamp(start, (offset + line.text.len()).max(start)) - start;
        Box::new(finding.at_column(line, (start - offset) as u32 + 1, length as u32))
    }

    /// The number of the line in which the stretch begins, and where that line does.
    fn line(&self) -> (u32, usize) {
        let before = &self.text.as_bytes()[..self.span.start.min(self.text.len())];
        let number = before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
        (number, before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, size_bytes: u64, links: &[&str]) -> Disk {
        Disk {
            name: name.to_owned(),
            size_bytes,
            sector_bytes: 512,
            model: Some("Fast 9".to_owned()),
            serial: Some(format!("S-{name}")),
            wwn: Some(format!("naa.5000c5{}", size_bytes >> 30)),
            rotational: name == "sda",
            removable: name == "sdb",
            links: links.iter().map(|link| (*link).to_owned()).collect(),
            signatures: Vec::new(),
        }
    }

    fn disks() -> Vec<Disk> {
        vec![
            disk("nvme0n1", 512 << 30, &["by-path/pci-0000:01:00.0-nvme-1"]),
            disk("nvme1n1", 1024 << 30, &["by-path/pci-0000:02:00.0-nvme-1"]),
            disk("sda", 2048 << 30, &["by-id/ata-Fast_9_S-sda"]),
            disk("sdb", 16 << 30, &["by-id/usb-Stick-0:0"]),
        ]
    }

    fn choose(text: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        let file = parse("machines/m.toml", text)?;
        let disks = disks();
        let chosen = file.choose(&disks)?;
        Ok(chosen.into_iter().map(|disk| disk.name.clone()).collect())
    }

    #[test]
    fn disks_are_chosen_by_what_they_are() {
        for (hint, expected) in [
            ("serial = 'S-sda'", "sda"),
            ("serial = 'S-sdb'", "sdb"),
            ("wwn = '0x5000C51024'", "nvme1n1"),
            ("path = 'pci-0000:02:00.0-*'", "nvme1n1"),
            ("id = 'ata-*'", "sda"),
            ("size = '600GiB-1TiB'", "nvme1n1"),
            ("size = '-600GiB'", "nvme0n1"),
            ("rotational = true", "sda"),
            ("transport = 'sata'", "sda"),
            ("transport = 'usb'", "sdb"),
            ("transport = 'nvme'\npick = 'smallest'", "nvme0n1"),
            ("pick = 'largest'", "sda"),
            ("model = 'Fast ?'\nrotational = false\npick = 'largest'", "nvme1n1"),
        ] {
            assert_eq!(
                choose(&format!("[[disk]]\n{hint}\n")),
                Ok(vec![expected.to_owned()]),
                "{hint}"
            );
        }
    }

    #[test]
    fn entries_choose_one_after_the_other() {
        let names =
            choose("[[disk]]\ntransport='nvme'\npick='largest'\n[[disk]]\nrotational=false\n");
        assert_eq!(names, Ok(vec!["nvme1n1".to_owned(), "nvme0n1".to_owned()]));
        let names = choose("[[disk]]\ntransport='nvme'\ncount=2\n[[disk]]\nmodel='*'\n");
        assert_eq!(names.map(|names| names.len()), Ok(3));
    }

    #[test]
    fn too_many_and_none_are_errors_that_name_the_disks() {
        let error = choose("# two\n[[disk]]\ntransport = 'nvme'\n").unwrap_err();
        let at = error.at.as_ref().unwrap();
        assert_eq!((error.code.as_str(), at.line), ("disk-hint", 2));
        assert!(error.message.starts_with("disk1: one is asked for, and 2 are"), "{error}");
        assert!(
            error.message.contains("/dev/nvme1n1 (Fast 9, serial number S-nvme1n1, 1.0 TiB)"),
            "{error}"
        );
        let error = choose("[[disk]]\nserial = 'X'\n").unwrap_err();
        assert_eq!(error.message, "disk1: no disk is as this entry says");
        assert!(
            error.cure.contains("/dev/sda (Fast 9, serial number S-sda, 2.0 TiB)"),
            "{}",
            error.cure
        );
        let error = choose("[[disk]]\ntransport = 'nvme'\ncount = 3\n").unwrap_err();
        assert!(error.message.contains("3 are asked for, and 2 are"), "{error}");
        // A stick is never a choice by chance.
        assert_eq!(choose("[[disk]]\npick = 'smallest'\n"), Ok(vec!["nvme0n1".to_owned()]));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, line, message) in [
            ("[[disk]]\nserial = 'S'\nserail = 'S'\n", 3, "unknown field `serail`"),
            ("[[disks]]\n", 1, "unknown field `disks`"),
            ("[[disk]]\ntransport = 'scuzzy'\n", 2, "unknown variant `scuzzy`"),
            ("[[disk]]\nsize = '5'\n", 2, "'5' is not a size"),
            ("[[disk]]\nsize = '2GB-1GB'\n", 2, "'2GB-1GB' is not a size"),
            ("\n[[disk]]\ncount = 2\n", 2, "says nothing"),
            ("[[disk]]\nserial = 'S'\ncount = 0\n", 1, "chooses nothing"),
            ("[[disk]]\npick = 'largest'\ncount = 2\n", 1, "pick chooses one"),
            ("[[disk]\n", 1, ""),
        ] {
            let error = parse("machines/m.toml", text).unwrap_err();
            let at = error.at.as_ref().map(|at| at.line);
            assert_eq!((error.code.as_str(), at), ("bad-machine-file", Some(line)), "{text}");
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn sections_are_read_and_checked() {
        let whole = "[image]\nname = 'web'\n[boot]\nloader = 'uki'\nkernel_args = ['quiet']\n\
                     serial = 'ttyS1,9600'\nkexec = true\n[encryption]\nroot = true\n\
                     tpm2 = true\npcrs = [7]\n[policy]\non_failure = 'power-off'\n\
                     disks = 'all-fixed'\n";
        let file = parse("machines/m.toml", whole).expect("a good file");
        assert_eq!(file.image_name(), Some(("web", 1)));
        assert_eq!(file.boot().loader, Some(LoaderName::Uki));
        assert_eq!(file.boot().serial.console().map(|serial| serial.baud), Some(9600));
        assert_eq!(file.policy().disks, Some(DiskRule::AllFixed));
        assert!(file.encryption().tpm2 && !file.has_network());
        for (text, line, message) in [
            ("[image]\n", 1, "write either the name or the digest"),
            ("[image]\nname = 'a'\ndigest = '00'\n", 3, "is not a BLAKE3 digest"),
            ("\n[boot]\nkernel_args = ['root=/dev/sda1']\n", 2, "root= is made from"),
            ("[boot]\nkernel_args = ['a b']\n", 1, "'a b' cannot be a kernel argument"),
            ("[boot]\nserial = 'com1'\n", 2, "'com1' is not a serial line"),
            ("[boot]\nloader = 'lilo'\n", 2, "unknown variant `lilo`"),
            ("[encryption]\nroot = true\n", 1, "nothing could open the root"),
            ("[encryption]\ntpm2 = true\npcrs = [24]\n", 1, "the registers 0 to 23"),
            ("[encryption]\npcrs = [7]\n", 1, "those of a TPM"),
            ("[policy]\non_failure = 'reboot'\n", 2, "'reboot' is none of: hold"),
            ("[network]\n", 1, "this network has no interfaces"),
            ("[[network.interface]]\ndhcp4 = true\n", 1, "does not say which card it is"),
            ("[[network.interface]]\nmac = '1:2'\n", 2, "is not an Ethernet address"),
            ("[[network.interface]]\nvlan = { parent = 'a', id = 1 }\n", 1, "needs a name"),
            ("[[network.interface]]\nname = 'a'\nadresses = []\n", 3, "unknown field `adresses`"),
        ] {
            let error = parse("machines/m.toml", text).unwrap_err();
            let at = error.at.as_ref().map(|at| at.line);
            assert!(error.message.contains(message), "{text}: {}", error.message);
            assert_eq!(at, Some(line), "{text}: {error}");
        }
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, text, expected) in [
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c*", "abc", true),
            ("*b*b", "abab", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
