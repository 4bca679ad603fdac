//! Lets Debian's initramfs take the key files along without which it cannot open the root device.

use crate::fault::ActionError;
use crate::work::Work;

/// Where cryptsetup-initramfs is told which keys of crypttab(5) it may take along.
const CONF_HOOK: &str = "etc/cryptsetup-initramfs/conf-hook";
/// Makes mkinitramfs(8) write files that only root can read. Not `initramfs.conf`, which belongs to
/// a package that may not be installed yet.
const UMASK_CONF: &str = "etc/initramfs-tools/conf.d/key-files";
const UMASK: &str = "# Made by Hostwright: there are keys in the initramfs.\nUMASK=0077\n";
/// All that [`super::encrypt::installed_key_file`] names. Of those the hook takes what root, /usr
/// and the device to resume from need.
const PATTERN: &str = "KEYFILE_PATTERN=\"/etc/keys/*.key\"\n";

/// Says so in the target, if that is Debian's kind of system. A pattern that is there already stays.
pub(super) fn allow(work: &mut Work<'_>) -> Result<(), ActionError> {
    if !work.exists(&work.target("var/lib/dpkg"))? {
        return Ok(());
    }
    let path = work.target(CONF_HOOK);
    let old = work.read_text(&path)?.unwrap_or_default();
    if let Some(new) = with_pattern(&old) {
        // The pattern last: where it is, a repeated step takes all of this for done.
        work.host.write(&work.target(UMASK_CONF), UMASK.as_bytes(), 0o644)?;
        work.host.write(&path, new.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// The file with our pattern behind what is there; `None` if that has one.
fn with_pattern(conf: &str) -> Option<String> {
    let says = |line: &str| {
        let value = line.trim_start().strip_prefix("KEYFILE_PATTERN=");
        value.is_some_and(|value| !value.trim().trim_matches(['"', '\'']).is_empty())
    };
    if conf.lines().any(says) {
        return None;
    }
    let gap = if conf.is_empty() || conf.ends_with('\n') { "" } else { "\n" };
    Some(format!("{conf}{gap}{PATTERN}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_added_unless_there_is_one() {
        let debians = "# KEYFILE_PATTERN: ...\n#KEYFILE_PATTERN=\n#ASKPASS=y\n";
        let new = with_pattern(debians).unwrap();
        assert_eq!(new, format!("{debians}KEYFILE_PATTERN=\"/etc/keys/*.key\"\n"));
        assert_eq!(with_pattern(&new), None);
        assert_eq!(with_pattern("KEYFILE_PATTERN=/root/key\n"), None);
        assert!(with_pattern("KEYFILE_PATTERN=\"\"").unwrap().contains("\"\"\nKEYFILE_PATTERN="));
        assert_eq!(with_pattern("").unwrap(), PATTERN);
    }
}
