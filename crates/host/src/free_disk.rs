//! Whether a disk may be taken: nothing on it is mounted, swapped to or part of something.

use crate::HostError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::Path;

/// The kernel's name of the disk at `path`. A partition is none.
pub fn name_of(path: &Path) -> Result<String, HostError> {
    let failed = |source| HostError::Io {
        operation: "find the disk",
        path: path.display().to_string(),
        source,
    };
    let device = fs::canonicalize(path).map_err(failed)?;
    let name = device.strip_prefix("/dev").unwrap_or(&device).display().to_string();
    let name = name.replace('/', "!");
    if Path::new("/sys/block").join(&name).exists() {
        return Ok(name);
    }
    let reason = "it is not a whole disk; name the disk that it is a part of";
    Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)))
}

/// Fails if anything uses the disk with this kernel name, or a part of it, or it cannot be written.
pub fn demand_free(name: &str) -> Result<(), HostError> {
    let path = format!("/dev/{}", name.replace('!', "/"));
    let failed =
        |source| HostError::Io { operation: "write to the disk", path: path.clone(), source };
    // The kernel refuses this while it, or a partition of it, belongs to somebody.
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(Errno::BUSY) => {
            let reason = format!("it is in use: {}", users(name).join(", "));
            Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, reason)))
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// Who uses a disk, as far as the kernel says.
fn users(name: &str) -> Vec<String> {
    let block = Path::new("/sys/block").join(name);
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let is_part = |entry: &String| block.join(entry).join("partition").exists();
    let mut parts: Vec<String> = names(&block).into_iter().filter(is_part).collect();
    parts.push(name.to_owned());
    parts.sort();
    let mut found = Vec::new();
    for part in &parts {
        let node = format!("/dev/{}", part.replace('!', "/"));
        for (table, what) in [("/proc/self/mounts", "mounted at"), ("/proc/swaps", "swap")] {
            let text = fs::read_to_string(table).unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.split_once([' ', '\t']));
            for (_, rest) in lines.filter(|(device, _)| *device == node) {
                let at = rest.split_whitespace().next().unwrap_or_default();
                found.push(format!("{node} is {what} {at}"));
            }
        }
        let dir = if part == name { block.clone() } else { block.join(part) };
        found
            .extend(names(&dir.join("holders")).iter().map(|it| format!("{node} is part of {it}")));
    }
    if found.is_empty() {
        found.push("another program has it open for itself".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loop_disk::LoopDisk;
    use crate::real::RealHost;
    use crate::{Command, Host as _, MountRequest};

    #[test]
    fn root_a_mounted_disk_is_refused_and_the_mount_is_named() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 << 20).unwrap();
        let disk = LoopDisk::attach(&file).unwrap();
        let (device, host) = (format!("/dev/{}", disk.name()), &mut RealHost::default());
        demand_free(disk.name()).unwrap();
        assert_eq!(name_of(Path::new(&device)).unwrap(), disk.name());
        let format = Command::mkfs("ext4").args(["-q", &device]);
        host.run(&format, &mut |_, _| {}).unwrap().success().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().display().to_string();
        let (source, options) = (device.clone(), String::new());
        let file_system = Some("ext4".to_owned());
        let request = MountRequest { source, target: target.clone(), file_system, options };
        host.mount(&request).unwrap();
        let error = demand_free(disk.name()).unwrap_err();
        host.unmount(&target).unwrap();
        let HostError::Io { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains(&format!("mounted at {target}")), "{source}");
        demand_free(disk.name()).unwrap();
    }
}
