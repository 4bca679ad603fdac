//! Lists of devices in lines of volume groups, arrays, encrypted devices and btrfs.

use super::ast::{DeviceName, MemberName};
use super::code::Code;
use super::cursor::Cursor;
use super::source::{Problem, Spanned};

type Read<T> = Result<T, Box<Problem>>;

/// `/dev/sda` for `sda`.
pub(super) fn absolute(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/dev/{name}") }
}

/// True for names that stand for whatever fits them.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Reads devices where only RAID may give them options.
pub(super) fn read_devices(cursor: &mut Cursor<'_>) -> Read<Vec<Spanned<DeviceName>>> {
    let members = read_members(cursor)?;
    if let Some(member) = members.iter().find(|member| member.spare || member.missing) {
        let message = ":spare and :missing are for software RAID only";
        let cure = "name the devices alone, with commas between them";
        let problem = Problem::error(Code::BadDevice, member.device.at, message, cure);
        return Err(Box::new(problem));
    }
    Ok(members.into_iter().map(|member| member.device).collect())
}

/// Reads `DEVICE{,DEVICE}`, each with `:spare` and `:missing` behind it.
pub(super) fn read_members(cursor: &mut Cursor<'_>) -> Read<Vec<MemberName>> {
    let mut members = Vec::new();
    loop {
        let word = cursor.take(|c| !matches!(c, ',' | ' ' | '\t'));
        members.push(read_member(word)?);
        if !cursor.is_glued() || cursor.eat(",").is_none() {
            return Ok(members);
        }
        if !cursor.is_glued() {
            let cure = "write the devices with commas and without blanks between them";
            let at = cursor.here();
            let problem = Problem::error(Code::BadDevice, at, "no device follows the ','", cure);
            return Err(Box::new(problem));
        }
    }
}

fn read_member(word: Spanned<&str>) -> Read<MemberName> {
    let Spanned { value, at } = word;
    let bad = |message: String| {
        let cure = "name devices such as disk1.2 or sda2, with commas between them";
        Err(Box::new(Problem::error(Code::BadDevice, at, message, cure)))
    };
    let mut parts = value.split(':');
    let name = parts.next().unwrap_or_default();
    let (mut spare, mut missing) = (false, false);
    for option in parts {
        match option {
            "spare" => spare = true,
            "missing" => missing = true,
            _ => return bad(format!("'{option}' behind '{name}' is not understood")),
        }
    }
    if name.is_empty() {
        return bad("a device is missing".to_owned());
    }
    if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return bad(format!("'{name}' is not a device"));
    }
    Ok(MemberName { device: Spanned::new(device_name(name), at), spare, missing })
}

fn device_name(name: &str) -> DeviceName {
    let numbers = name.strip_prefix("disk").unwrap_or("");
    match numbers.split_once('.').map(|(disk, number)| (disk.parse(), number.parse())) {
        Some((Ok(disk), Ok(number))) => return DeviceName::Partition { disk, number },
        Some(_) => {}
        None => {
            if let Ok(disk) = numbers.parse() {
                return DeviceName::Disk(disk);
            }
        }
    }
    // mdadm(8) knows an array by both names, everything else by the first.
    let array = name.trim_start_matches("/dev/").strip_prefix("md/").map(str::parse::<u32>);
    match array {
        Some(Ok(number)) => DeviceName::Device(format!("/dev/md{number}")),
        _ => DeviceName::Device(absolute(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(DeviceName, bool, bool)>, &'static str> {
        let members = read_members(&mut Cursor::new(text, 1));
        let plain = |member: MemberName| (member.device.value, member.spare, member.missing);
        members
            .map(|members| members.into_iter().map(plain).collect())
            .map_err(|problem| problem.code.name())
    }

    #[test]
    fn devices_are_read_with_their_options() {
        let device = |name: &str| DeviceName::Device(name.to_owned());
        assert_eq!(
            read("disk1.2,sdb1:spare:missing,md/3,/dev/disk/by-id/x-part1,disk2"),
            Ok(vec![
                (DeviceName::Partition { disk: 1, number: 2 }, false, false),
                (device("/dev/sdb1"), true, true),
                (device("/dev/md3"), false, false),
                (device("/dev/disk/by-id/x-part1"), false, false),
                (DeviceName::Disk(2), false, false),
            ])
        );
        for text in ["", "sda1,", "sda1, sdb1", "1sda", "sda1:hot", ",sda1"] {
            assert_eq!(read(text), Err(Code::BadDevice.name()), "{text:?}");
        }
    }
}
