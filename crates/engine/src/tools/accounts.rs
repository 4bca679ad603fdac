//! User and group names of the target, from its own passwd(5) and group(5).

use super::Session;
use hostwright_host::{HostError, metadata};

/// Number of a user of the system below `root`; `None` if it has no such user.
pub(super) fn uid(
    session: &mut Session<'_>,
    root: &str,
    name: &str,
) -> Result<Option<u32>, HostError> {
    number(session, root, "/etc/passwd", name)
}

/// Number of a group of the system below `root`.
pub(super) fn gid(
    session: &mut Session<'_>,
    root: &str,
    name: &str,
) -> Result<Option<u32>, HostError> {
    number(session, root, "/etc/group", name)
}

fn number(
    session: &mut Session<'_>,
    root: &str,
    file: &str,
    name: &str,
) -> Result<Option<u32>, HostError> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let path = metadata::resolve_in_root(root, file, true)?;
    let text = session.host.read(&path)?.unwrap_or_default();
    let found = find(&String::from_utf8_lossy(&text), name);
    // Before the base system is there, root is root all the same.
    Ok(found.or((name == "root").then_some(0)))
}

/// The third field of the line of `name`, in both files.
fn find(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_have_the_number_in_the_third_field() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/bin/sh\n";
        assert_eq!(find(passwd, "www-data"), Some(33));
        assert_eq!(find("adm:x:4:\n", "adm"), Some(4));
        assert_eq!(find(passwd, "www"), None);
    }
}
