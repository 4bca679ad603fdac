//! FAI's actions sysinfo and inventory: the hardware shown to people, or listed for programs.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::facts::{Facts, Firmware};
use std::fmt::Write as _;

/// What sysinfo shows, each where its program is installed. In the order in which people ask.
const SHOW: &str = r#"
_hostwright_show() {
    command -v "$1" > /dev/null || return 0
    printf '\n===== %s =====\n' "$*"
    "$@" 2>&1
}
{
    _hostwright_show uname -a
    _hostwright_show lscpu
    _hostwright_show free -m
    _hostwright_show lsblk -o NAME,SIZE,TYPE,FSTYPE,LABEL,UUID,MODEL,SERIAL
    _hostwright_show lspci -nn
    _hostwright_show lsusb
    _hostwright_show ip -brief address
    _hostwright_show ip route
    _hostwright_show dmidecode -t system
    _hostwright_show lsmod
    _hostwright_show efibootmgr
} | tee "$LOGDIR/sysinfo.log"
unset -f _hostwright_show
"#;

/// Shows or lists it, in the log directory and in the run's output.
pub(super) fn show(work: &mut Work<'_>, inventory: bool) -> Result<Done, ActionError> {
    if !inventory {
        work.eval(SHOW)?;
        return Ok(Done::changed());
    }
    let list = inventory_of(&work.inputs.facts);
    for line in list.lines() {
        work.say(line);
    }
    work.host.write(&work.settings.in_logs("inventory.log"), list.as_bytes(), 0o644)?;
    Ok(Done::changed())
}

/// A line `key: value` for each thing that is known.
fn inventory_of(facts: &Facts) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key}: {value}");
    };
    let firmware = match facts.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    };
    let dmi = &facts.dmi;
    let known = [
        ("vendor", &dmi.vendor),
        ("product", &dmi.product),
        ("serial", &dmi.serial),
        ("uuid", &dmi.uuid),
    ];
    for (key, value) in known {
        line(key, value.as_deref().unwrap_or("unknown"));
    }
    line("firmware", firmware);
    line("architecture", &facts.architecture);
    line("kernel", &facts.kernel);
    line("cpus", &facts.cpus.to_string());
    line("memory_bytes", &facts.memory_bytes.to_string());
    for disk in &facts.disks {
        let unknown = "unknown".to_owned();
        let (model, serial) = (disk.model.as_ref(), disk.serial.as_ref());
        let (model, serial) = (model.unwrap_or(&unknown), serial.unwrap_or(&unknown));
        let value = format!("{} bytes, model {model}, serial {serial}", disk.size_bytes);
        line(&format!("disk {}", disk.name), &value);
    }
    for nic in &facts.nics {
        let link = if nic.link_up { "link up" } else { "link down" };
        let driver = nic.driver.as_deref().unwrap_or("unknown");
        line(&format!("nic {}", nic.name), &format!("{}, {link}, driver {driver}", nic.mac));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::inputs;

    #[test]
    fn an_inventory_has_a_line_for_each_thing() {
        let text = inventory_of(&inputs().facts);
        assert!(text.starts_with("vendor: unknown\nproduct: unknown\n"), "{text}");
        assert!(text.contains("\nmemory_bytes: 1073741824\n"), "{text}");
    }
}
