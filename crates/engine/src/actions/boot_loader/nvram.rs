//! The firmware's own list of what it can start (efibootmgr(8)).

use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{Command, HostError, Tool};
use hostwright_model::boot_loader::{BootSetup, EspPlace};

/// Where the kernel shows the firmware's variables.
const VARIABLES: &str = "/sys/firmware/efi/efivars";

/// Puts an entry in front of the others, and takes away those of its name: of an earlier life of the
/// machine. A firmware that lets nobody change its list still has the path of last resort.
pub(super) fn add(
    work: &mut Work<'_>,
    setup: &BootSetup,
    esp: &EspPlace,
    path: &str,
) -> Result<(), ActionError> {
    if !work.inputs.target.is_own_machine() {
        // The list of the machine that builds has nothing to do with the image.
        return Ok(());
    }
    if work.host.list(VARIABLES)?.is_empty() {
        work.warn("the firmware shows no variables: no entry is added to its list");
        return Ok(());
    }
    let listed = match work.try_tool(Command::new(Tool::Efibootmgr)) {
        Ok(listed) if listed.status == 0 => listed.stdout,
        Ok(_) => String::new(),
        Err(error @ HostError::PowerCut) => return Err(error.into()),
        Err(error) => {
            work.warn(&format!("no entry is added to the firmware's list: {error}"));
            return Ok(());
        }
    };
    for number in numbers_of(&listed, &setup.label) {
        let delete = ["--quiet", "--delete-bootnum", "--bootnum", &number];
        work.try_tool(Command::new(Tool::Efibootmgr).args(delete))?;
    }
    let program = format!("\\{}", path.replace('/', "\\"));
    let partition = esp.partition.to_string();
    let create = Command::new(Tool::Efibootmgr)
        .args(["--quiet", "--create", "--disk", &esp.disk, "--part", &partition])
        .args(["--label", &setup.label, "--loader", &program]);
    if work.try_tool(create)?.status != 0 {
        work.warn("the firmware takes no entry into its list; it will look at the fallback path");
    }
    Ok(())
}

/// Numbers of the entries with this label in efibootmgr's list: `Boot0003* debian\tHD(1,GPT,…`.
fn numbers_of(listed: &str, label: &str) -> Vec<String> {
    let number = |line: &str| {
        let rest = line.strip_prefix("Boot")?;
        let (number, rest) = rest.split_at_checked(4)?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_hexdigit());
        let name = rest.strip_prefix("* ").or_else(|| rest.strip_prefix("  "))?;
        let name = name.split('\t').next()?;
        (is_number && name == label).then(|| number.to_owned())
    };
    listed.lines().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_their_labels() {
        let listed = "BootCurrent: 0002\nTimeout: 0 seconds\nBootOrder: 0002,0000\n\
                      Boot0000* UiApp\tFvVol(7cb8)/FvFile(462c)\n\
                      Boot0002* Debian\tHD(1,GPT,0f)/File(\\EFI\\debian\\grubx64.efi)\n\
                      Boot000A  Debian\tHD(1,GPT,10)/File(\\x)\nBoot0003* Debian 11\tHD(2)\n";
        assert_eq!(numbers_of(listed, "Debian"), ["0002", "000A"]);
        assert!(numbers_of(listed, "debian").is_empty());
    }
}
