//! A disk image file as the target of a run: made before it, closed after it, gone if it fails.

use hostwright_host::loop_disk::LoopDisk;
use hostwright_host::unnamed_file::UnnamedFile;
use hostwright_host::{Command, Host, HostError, Tool, fat_stage};
use std::path::Path;

/// A file without a name, attached as a disk. Whatever ends this process leaves nothing of it.
#[derive(Debug)]
pub struct DiskFile {
    file: UnnamedFile,
    disk: LoopDisk,
}

impl DiskFile {
    /// Makes an empty disk of a file in `dir`, which takes room only where it is written.
    pub fn create(dir: &Path, size_bytes: u64) -> Result<Self, HostError> {
        let file = UnnamedFile::create(dir)?;
        file.file().set_len(size_bytes).map_err(|source| HostError::Io {
            operation: "make a disk image in",
            path: dir.display().to_string(),
            source,
        })?;
        let disk = LoopDisk::attach(file.file())?;
        Ok(Self { file, disk })
    }

    /// The kernel's name of the disk, `loop3`.
    pub fn disk_name(&self) -> &str {
        self.disk.name()
    }

    /// Lets go of a disk that a run has finished with: fills FAT file systems that wait for it in
    /// `fat_stage_dir`, gives unused blocks back, unmounts all that is mounted at or below
    /// `target_dir`, whoever mounted it, and detaches the disk. The file holds the whole system then.
    pub fn close(
        self,
        host: &mut dyn Host,
        target_dir: &str,
        fat_stage_dir: &str,
    ) -> Result<UnnamedFile, HostError> {
        let points = host.mounts_below(target_dir)?;
        for point in &points {
            // Not every file system can, and none needs it.
            let _ = host.run(&Command::new(Tool::Fstrim).arg(point), &mut |_, _| {})?;
        }
        for point in points.iter().rev() {
            host.unmount(point)?;
        }
        fat_stage::flush(fat_stage_dir, host)?;
        self.disk.detach()?;
        Ok(self.file)
    }

    /// The file as it is after a failure, for whoever looks for the cause. What is still mounted
    /// is written to it.
    pub fn abandon(self, host: &mut dyn Host, target_dir: &str) -> Result<UnnamedFile, HostError> {
        for point in host.mounts_below(target_dir)?.iter().rev() {
            host.unmount(point)?;
        }
        self.disk.detach()?;
        Ok(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_host::namespace;
    use hostwright_host::real::RealHost;

    /// In a thread, so that the mounts are that thread's alone.
    #[test]
    fn root_what_a_run_leaves_mounted_is_in_the_closed_file() {
        std::thread::spawn(|| {
            namespace::own_mounts().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name).display().to_string();
            let disk = DiskFile::create(dir.path(), 64 << 20).unwrap();
            let (device, mut host) = (format!("/dev/{}", disk.disk_name()), RealHost::default());
            let format = Command::mkfs("ext4").args(["-q", &device]);
            host.run(&format, &mut |_, _| {}).unwrap().success().unwrap();
            let request = hostwright_host::MountRequest {
                source: device,
                target: path("target"),
                file_system: Some("ext4".to_owned()),
                options: String::new(),
            };
            host.mount(&request).unwrap();
            host.write(&path("target/etc/fstab"), b"# mine", 0o644).unwrap();
            let file = disk.close(&mut host, &path("target"), &path("fat")).unwrap();
            assert_eq!(host.mounts_below(&path("target")).unwrap(), Vec::<String>::new());
            file.name(Path::new(&path("x.raw"))).unwrap();
            let ids = host.device_ids(&path("x.raw")).unwrap();
            assert_eq!(ids.kind.as_deref(), Some("ext4"));
        })
        .join()
        .unwrap();
    }
}
