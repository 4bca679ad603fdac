//! From the initramfs into the tools image.

use crate::WORK_DIR;
use hostwright_host::HostError;
use hostwright_host::boot::load::ModuleLoader;
use hostwright_host::boot::root;
use hostwright_model::installer::TOOLS_MARKER;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Where the image is mounted in the initramfs.
pub(crate) const ROOT: &str = "/newroot";
/// The agent inside the image, as FAI's tools are links to it.
pub(crate) const PROGRAM: &str = "/usr/sbin/hostwright-agent";

/// True if the image is mounted but this process is still outside of it.
pub(crate) fn is_ready() -> bool {
    marker_below(ROOT)
}

/// True if the image is the root of this process.
pub(crate) fn is_entered() -> bool {
    marker_below("/")
}

/// Makes the image the root of this process.
pub(crate) fn enter() -> Result<(), HostError> {
    root::enter(ROOT)
}

/// Mounts the image and puts the agent into it.
pub(crate) fn mount(image: &str) -> Result<(), HostError> {
    let mut loader = ModuleLoader::open("/");
    for module in ["loop", "squashfs", "overlay"] {
        loader.load(module)?;
    }
    root::mount_tools(image, WORK_DIR, ROOT)?;
    let copies = [("/proc/self/exe", PROGRAM), ("/run/hostwright/resolv.conf", "/etc/resolv.conf")];
    for (from, to) in copies {
        let to = format!("{ROOT}{to}");
        // Not every network names a DNS server.
        if Path::new(from).exists() {
            let failed = |source| HostError::Io { operation: "write", path: to.clone(), source };
            fs::copy(from, &to).map(drop).map_err(failed)?;
        }
    }
    Ok(())
}

/// Waits until PID 1 has changed its root too. Programs of systemd compare theirs with that of
/// PID 1 and do nothing in what they take for a chroot. False if it does not come to that.
pub(crate) fn wait_for_pid_1() -> bool {
    const PAUSE: Duration = Duration::from_millis(20);
    const ATTEMPTS_MAX: u32 = 250;
    (0..ATTEMPTS_MAX).any(|_| {
        let entered = marker_below("/proc/1/root");
        if !entered {
            sleep(PAUSE);
        }
        entered
    })
}

fn marker_below(root: &str) -> bool {
    Path::new(root).join(TOOLS_MARKER).exists()
}
