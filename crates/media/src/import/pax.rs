//! Extended headers of tar archives (POSIX.1-2001 `pax`): `LENGTH KEY=VALUE\n`, where a value may have
//! any byte, as capabilities do.
//!
//! Read here and not by the tar crate, which splits them at each newline.

use std::collections::BTreeMap;

/// Records by key; a later one counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(BTreeMap<String, Vec<u8>>);

impl Records {
    /// Takes the records of a header in; the reason if they are broken.
    pub(super) fn read(&mut self, mut data: &[u8]) -> Result<(), String> {
        while !data.is_empty() {
            let (record, rest) = split_record(data).ok_or("an extended header is broken")?;
            data = rest;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = record.split_at(equals.ok_or("an extended header has no '='")?);
            let key = str::from_utf8(key).map_err(|_| "an extended header's key is not UTF-8")?;
            match &value[1..] {
                // An empty value takes back what a global header said.
                [] => drop(self.0.remove(key)),
                value => drop(self.0.insert(key.to_owned(), value.to_vec())),
            }
        }
        Ok(())
    }

    pub(super) fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.bytes(key).and_then(|value| str::from_utf8(value).ok())
    }

    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// Whole seconds of a time, `-1.5` is in second -2.
    pub(super) fn seconds(&self, key: &str) -> Option<i64> {
        let text = self.text(key)?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        let is_between = whole.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
        Some(if is_between { seconds - 1 } else { seconds })
    }

    /// True if a key begins so.
    pub(super) fn has_any(&self, prefix: &str) -> bool {
        self.0.keys().any(|key| key.starts_with(prefix))
    }

    /// Extended attributes, ACLs among them.
    pub(super) fn xattrs(&self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut xattrs = BTreeMap::new();
        for (key, value) in &self.0 {
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                xattrs.insert(name.to_owned(), value.clone());
            }
            let acl = match key.as_str() {
                "SCHILY.acl.access" => "system.posix_acl_access",
                "SCHILY.acl.default" => "system.posix_acl_default",
                _ => continue,
            };
            xattrs.insert(acl.to_owned(), acl_bytes(&String::from_utf8_lossy(value))?);
        }
        Ok(xattrs)
    }
}

/// The first record without its length and newline, and what is behind it.
fn split_record(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let record = data.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &data[length..]))
}

/// An ACL as the kernel keeps it (linux/posix_acl_xattr.h): version, then tag, permissions and id of
/// each entry, in the order of tags and ids.
fn acl_bytes(text: &str) -> Result<Vec<u8>, String> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let bad = || format!("the ACL entry '{entry}' is not understood; make it --numeric-owner");
        let fields: Vec<&str> = entry.split(':').collect();
        let [kind, who, rights, ..] = fields[..] else { return Err(bad()) };
        // star puts the number behind the permissions.
        let number = fields.get(3).copied().unwrap_or(who);
        let id = match who {
            "" => NOBODY,
            _ => number.parse().map_err(|_| bad())?,
        };
        let tag = match (kind, who) {
            ("user" | "u", "") => 0x01,
            ("user" | "u", _) => 0x02,
            ("group" | "g", "") => 0x04,
            ("group" | "g", _) => 0x08,
            ("mask" | "m", _) => 0x10,
            ("other" | "o", _) => 0x20,
            _ => return Err(bad()),
        };
        let bit = |letter: char, value: u16| if rights.contains(letter) { value } else { 0 };
        entries.push((tag, id, bit('r', 4) | bit('w', 2) | bit('x', 1)));
    }
    entries.sort_unstable();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, rights) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(data: &[u8]) -> Result<Records, String> {
        let mut records = Records::default();
        records.read(data).map(|()| records)
    }

    #[test]
    fn a_value_may_have_newlines() {
        let read = records(b"15 a=one\ntwo=3\n6 b=2\n").unwrap();
        assert_eq!(read.bytes("a"), Some(&b"one\ntwo=3"[..]));
        assert_eq!(read.number::<u32>("b"), Some(2));
    }

    #[test]
    fn broken_records_are_refused() {
        for data in [&b"99 a=b\n"[..], b"5 a=b", b"6 a=bc", b"x a=b\n", b"4 ab\n", b"5 ab\n", b"a"]
        {
            assert!(records(data).is_err(), "{:?}", String::from_utf8_lossy(data));
        }
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, seconds) in [("12", 12), ("12.9", 12), ("-1.5", -2), ("-1.0", -1), ("0.0", 0)] {
            let record = format!("mtime={text}\n");
            let record = format!("{} {record}", record.len() + 3);
            assert_eq!(
                records(record.as_bytes()).unwrap().seconds("mtime"),
                Some(seconds),
                "{text}"
            );
        }
    }
}
