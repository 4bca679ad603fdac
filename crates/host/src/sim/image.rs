//! Bytes of simulated devices: what is read from the ends of a device stands for everything that is
//! kept there, and writing it again brings that back. Beside them there is the code that a BIOS
//! starts, which lies where no file is.

use super::block::{Place, Table};
use super::state::{State, io_error};
use crate::HostError;
use std::io;

/// Where the table begins in the first sector of a disk, and so where code ends.
const CODE_BYTES: u64 = 440;
const SECTOR_BYTES: u64 = 512;

/// What the ends of a device hold: its table, or the signature of its content.
#[derive(Clone, Debug)]
pub(super) struct Image {
    table: Option<Table>,
    /// UUID of the content that is recognised.
    seen: Option<String>,
}

impl State {
    fn image(&self, place: &Place) -> (String, Image) {
        let table = match place {
            Place::Disk(name) => self.blocks.disks[name].table.clone(),
            _ => None,
        };
        let seen = self.blocks.content(place).map(|content| content.uuid().to_owned());
        let text = format!("{table:?} {seen:?}");
        (text, Image { table, seen })
    }

    /// True if bytes of a disk with a table belong to nobody: before the table, between it and the
    /// first partition, or in a partition that holds nothing.
    fn is_for_code(&self, place: &Place, offset: u64, length: u64) -> bool {
        let Place::Disk(name) = place else { return false };
        let disk = &self.blocks.disks[name];
        let Some(table) = &disk.table else { return false };
        let end = offset + length;
        if offset == 0 {
            return end <= CODE_BYTES;
        }
        let starts = table.entries.values().map(|entry| entry.start * SECTOR_BYTES);
        let before_all = offset >= SECTOR_BYTES && starts.min().is_none_or(|first| end <= first);
        let is_in_free = table.entries.values().any(|entry| {
            let start = entry.start * SECTOR_BYTES;
            let is_inside = offset >= start && end <= start + entry.size * SECTOR_BYTES;
            let holds = disk.areas.get(&entry.start).and_then(|(_, slot)| slot.seen());
            is_inside && holds.is_none()
        });
        before_all || is_in_free
    }

    /// Text that stands for the bytes at one end of a device.
    pub(super) fn read_image(
        &mut self,
        path: &str,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, HostError> {
        let place = self.blocks.find(path);
        let place = place.ok_or_else(|| io_error("read", path, io::ErrorKind::NotFound))?;
        let code = self.boot_code.get(&(path.to_owned(), offset));
        if let Some(code) = code.filter(|code| code.len() == length) {
            return Ok(code.clone());
        }
        let (text, image) = self.image(&place);
        let text = format!("{path} {offset}+{length} {text}");
        self.images.insert(text.clone(), image);
        Ok(text.into_bytes())
    }

    /// Brings back what was read. A table that is written has to be read by the kernel, too.
    pub(super) fn write_image(
        &mut self,
        path: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), HostError> {
        let refuse = |kind| io_error("overwrite", path, kind);
        let place = self.blocks.find(path).ok_or_else(|| refuse(io::ErrorKind::NotFound))?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        let image = self.images.get(&text).cloned();
        if image.is_none() && self.is_for_code(&place, offset, bytes.len() as u64) {
            self.boot_code.insert((path.to_owned(), offset), bytes.to_vec());
            return Ok(());
        }
        let image = image.ok_or_else(|| refuse(io::ErrorKind::InvalidData))?;
        if let Place::Disk(name) = &place {
            let disk = self.blocks.disks.get_mut(name).expect("invariant: found just now");
            disk.table = image.table;
            if disk.table.is_some() {
                return Ok(());
            }
        }
        match (self.blocks.slot_mut(&place), image.seen) {
            (Some(slot), Some(uuid)) if slot.content.uuid() == uuid => slot.wiped = false,
            (Some(slot), None) => slot.wiped = true,
            (None, None) => {}
            // A header over something else: neither is any good.
            _ => self.blocks.set_content(&place, None),
        }
        Ok(())
    }
}
