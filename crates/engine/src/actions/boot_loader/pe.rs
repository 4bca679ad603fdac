//! Adds sections to a program for UEFI, which is what ukify(1) and objcopy(1) do to make a unified
//! kernel image, and images of systems hold neither.
//!
//! ```text
//! 0x3c u32             where the header is: "PE\0\0", then
//!   +0x06 u16          number of sections
//!   +0x14 u16          size of the optional header, which begins at +0x18:
//!        +0x20 u32     alignment of sections in memory
//!        +0x24 u32     alignment in the file
//!        +0x38 u32     size of the image in memory
//!        +0x3c u32     size of all headers
//!        +0x40 u32     checksum, 0 for none
//!   then a section each 40 bytes: name[8], size in memory, address, size in the file, place in the
//!   file, three fields for object files, flags
//! ```
//!
//! Numbers are little-endian (PE/COFF specification). Only programs of 64 bits.

/// A section to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewSection {
    /// Up to eight bytes.
    pub(super) name: &'static str,
    pub(super) content: Vec<u8>,
}

const SECTION_BYTES: usize = 40;
/// Initialised data that may be read.
const FLAGS: u32 = 0x4000_0040;
/// Sections begin on pages: systemd's stub starts the kernel where it lies.
const PAGE_BYTES: u32 = 4096;

/// The program with sections behind those that it has.
pub(super) fn with_sections(program: &[u8], sections: &[NewSection]) -> Result<Vec<u8>, String> {
    let mut image = Image::read(program)?;
    image.make_room(sections.len())?;
    for section in sections {
        image.add(section)?;
    }
    Ok(image.bytes)
}

/// A program that is changed.
struct Image {
    bytes: Vec<u8>,
    /// Where `PE` is.
    header: usize,
    /// Where the list of sections is.
    list: usize,
    count: usize,
    file_alignment: u32,
    /// The first address behind everything.
    end_address: u32,
}

impl Image {
    fn read(program: &[u8]) -> Result<Self, String> {
        let mut image = Self {
            bytes: program.to_vec(),
            header: 0,
            list: 0,
            count: 0,
            file_alignment: 0,
            end_address: 0,
        };
        image.header = image.u32(0x3c)? as usize;
        let is_64_bit = image.u32(image.header)? == u32::from_le_bytes(*b"PE\0\0")
            && image.u16(image.header + 0x18)? == 0x20b;
        if !is_64_bit {
            return Err("it is no program for UEFI of 64 bits".to_owned());
        }
        image.count = usize::from(image.u16(image.header + 0x06)?);
        image.list = image.header + 0x18 + usize::from(image.u16(image.header + 0x14)?);
        image.file_alignment = image.u32(image.optional(0x24))?;
        if !image.file_alignment.is_power_of_two() {
            return Err("it is aligned to nothing".to_owned());
        }
        for nth in 0..image.count {
            let at = image.list + nth * SECTION_BYTES;
            let end = image.u32(at + 12)?.checked_add(image.u32(at + 8)?);
            let end = end.ok_or("a section ends behind all addresses")?;
            image.end_address = image.end_address.max(end);
        }
        Ok(image)
    }

    fn optional(&self, field: usize) -> usize {
        self.header + 0x18 + field
    }

    fn u16(&self, at: usize) -> Result<u16, String> {
        let bytes = self.bytes.get(at..at + 2).ok_or("it is cut off")?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&self, at: usize) -> Result<u32, String> {
        let bytes = self.bytes.get(at..at + 4).ok_or("it is cut off")?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Makes the list of sections longer: what is behind it in the file moves back, and stays where
    /// it is in memory.
    fn make_room(&mut self, more: usize) -> Result<(), String> {
        let wanted = self.list + (self.count + more) * SECTION_BYTES;
        let headers = self.u32(self.optional(0x3c))? as usize;
        if wanted <= headers {
            return Ok(());
        }
        let moved = (wanted - headers).next_multiple_of(self.file_alignment as usize);
        let lowest = (0..self.count).map(|nth| self.u32(self.list + nth * SECTION_BYTES + 12));
        let lowest = lowest.collect::<Result<Vec<_>, _>>()?.into_iter().min().unwrap_or(u32::MAX);
        if headers + moved > lowest as usize || headers > self.bytes.len() {
            return Err("its headers have no room for more sections".to_owned());
        }
        self.bytes.splice(headers..headers, std::iter::repeat_n(0, moved));
        for nth in 0..self.count {
            let at = self.list + nth * SECTION_BYTES + 20;
            let place = self.u32(at)?;
            if place != 0 {
                self.set_u32(at, place + moved as u32);
            }
        }
        self.set_u32(self.optional(0x3c), (headers + moved) as u32);
        Ok(())
    }

    fn add(&mut self, section: &NewSection) -> Result<(), String> {
        let too_large = || format!("section {} does not fit", section.name);
        let size = u32::try_from(section.content.len()).map_err(|_| too_large())?;
        let address =
            self.end_address.checked_next_multiple_of(PAGE_BYTES).ok_or_else(too_large)?;
        let alignment = self.file_alignment as usize;
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let place = u32::try_from(self.bytes.len()).map_err(|_| too_large())?;
        self.bytes.extend_from_slice(&section.content);
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let in_file = u32::try_from(self.bytes.len()).map_err(|_| too_large())? - place;
        let at = self.list + self.count * SECTION_BYTES;
        self.bytes[at..at + SECTION_BYTES].fill(0);
        self.bytes[at..at + section.name.len()].copy_from_slice(section.name.as_bytes());
        for (field, value) in [(8, size), (12, address), (16, in_file), (20, place), (36, FLAGS)] {
            self.set_u32(at + field, value);
        }
        self.count += 1;
        self.end_address = address.checked_add(size).ok_or_else(too_large)?;
        let end = self.end_address.checked_next_multiple_of(PAGE_BYTES).ok_or_else(too_large)?;
        let count = self.count as u16;
        let at = self.header + 0x06;
        self.bytes[at..at + 2].copy_from_slice(&count.to_le_bytes());
        self.set_u32(self.optional(0x38), end);
        self.set_u32(self.optional(0x40), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with one section of 512 bytes at 0x4000, whose headers have room for `spare` more.
    fn program(spare: usize) -> Vec<u8> {
        let list = 0x80 + 0x18 + 0xf0;
        let headers: usize = (list + (1 + spare) * SECTION_BYTES).next_multiple_of(8);
        let mut bytes = vec![0; headers + 512];
        bytes[headers..].fill(0xcc);
        let mut put =
            |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0x3c, 0x80);
        put(0x80, u32::from_le_bytes(*b"PE\0\0"));
        put(0x84, 0x0001_8664);
        put(0x94, 0xf0);
        put(0x98, 0x20b);
        put(0x98 + 0x24, 8);
        put(0x98 + 0x3c, headers as u32);
        for (field, value) in [(8, 500), (12, 0x4000), (16, 512), (20, headers as u32)] {
            put(list + field, value);
        }
        bytes
    }

    fn sections(image: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let image = Image::read(image).unwrap();
        let section = |nth: usize| {
            let at = image.list + nth * SECTION_BYTES;
            let name = String::from_utf8_lossy(&image.bytes[at..at + 8]).into_owned();
            let (size, place) = (image.u32(at + 8).unwrap(), image.u32(at + 20).unwrap() as usize);
            let content = image.bytes[place..place + size as usize].to_vec();
            (name.trim_end_matches('\0').to_owned(), image.u32(at + 12).unwrap(), content)
        };
        (0..image.count).map(section).collect()
    }

    #[test]
    fn sections_are_added_whether_or_not_there_is_room() {
        let new = [
            NewSection { name: ".cmdline", content: b"root=UUID=1".to_vec() },
            NewSection { name: ".linux", content: vec![9; 5000] },
        ];
        for spare in [0, 1, 2, 5] {
            let image = with_sections(&program(spare), &new).unwrap();
            let found = sections(&image);
            assert_eq!(found[0], (String::new(), 0x4000, vec![0xcc; 500]), "{spare}");
            assert_eq!(found[1], (".cmdline".to_owned(), 0x5000, b"root=UUID=1".to_vec()));
            assert_eq!(found[2], (".linux".to_owned(), 0x6000, vec![9; 5000]));
            let read = Image::read(&image).unwrap();
            assert_eq!(read.u32(read.optional(0x38)), Ok(0x8000));
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(with_sections(b"MZ", &[]).is_err());
        assert!(with_sections(&[0; 4096], &[]).is_err());
        let mut cut = program(1);
        cut.truncate(0x90);
        assert!(with_sections(&cut, &[]).is_err());
    }
}
