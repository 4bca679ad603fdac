//! FAT file systems on a kernel that cannot mount them.
//!
//! Such a file system is filled at its end instead: until then its place is taken by one in memory,
//! of the partition's size and with the partition's name as its source, so that programs that ask
//! which device is mounted there (grub-install) find the partition. [`flush`] then copies the files
//! into the partition with mtools. Only for new file systems, in images: what is already in the
//! partition is not seen, and FAT's rules about names hold only when the files are copied.

use crate::{Command, Host, HostError, MountRequest, Tool};
use rustix::mount::{MountFlags, mount, mount_bind};
use std::ffi::CString;
use std::fs;
use std::io::{self, Seek as _, SeekFrom};
use std::path::Path;

/// Mounts a place in memory for the FAT file system that `request` asks for. `dir` remembers it
/// until [`flush`], even if it is unmounted where it was asked for.
pub(crate) fn mount_stage(dir: &str, request: &MountRequest) -> Result<(), HostError> {
    let stage = format!("{dir}/{}", request.source.trim_start_matches("/dev/").replace('/', "!"));
    if !Path::new(&stage).exists() {
        fs::create_dir_all(&stage).map_err(failed("make", &stage))?;
        let size_bytes = fs::File::open(&request.source)
            .and_then(|mut device| device.seek(SeekFrom::End(0)))
            .map_err(failed("open", &request.source))?;
        let data = CString::new(format!("mode=0755,size={size_bytes}"))
            .expect("invariant: a number holds no NUL byte");
        mount(request.source.as_str(), &stage, "tmpfs", MountFlags::empty(), data.as_c_str())
            .map_err(|errno| failed("mount a place for", &request.source)(errno.into()))?;
    }
    fs::create_dir_all(&request.target).map_err(failed("make", &request.target))?;
    mount_bind(&stage, &request.target)
        .map_err(|errno| failed("mount", &request.target)(errno.into()))
}

/// Copies what was put into each place of `dir` to its partition, and ends the places.
pub fn flush(dir: &str, host: &mut dyn Host) -> Result<(), HostError> {
    for name in host.list(dir)? {
        let stage = format!("{dir}/{name}");
        let device = format!("/dev/{}", name.replace('!', "/"));
        let files: Vec<String> =
            host.list(&stage)?.iter().map(|file| format!("{stage}/{file}")).collect();
        if !files.is_empty() {
            // mtools wants the geometry that old floppies had, which nothing else looks at.
            let copy = Command::new(Tool::Mcopy)
                .args(["-s", "-m", "-Q", "-i", &device])
                .args(files)
                .arg("::/")
                .env("MTOOLS_SKIP_CHECK", "1");
            host.run(&copy, &mut |_, _| {})?.success()?;
        }
        host.unmount(&stage)?;
        host.remove(&stage)?;
    }
    Ok(())
}

/// True if `error` says that the kernel does not know the FAT file system that was to be mounted.
pub(crate) fn is_wanted(request: &MountRequest, error: &HostError) -> bool {
    let is_fat = matches!(request.file_system.as_deref(), Some("vfat" | "msdos"));
    let unknown = rustix::io::Errno::NODEV.raw_os_error();
    is_fat
        && matches!(error, HostError::Io { source, .. } if source.raw_os_error() == Some(unknown))
}

fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loop_disk::LoopDisk;
    use crate::namespace;
    use crate::real::RealHost;

    /// In a thread, so that the mounts are that thread's alone.
    #[test]
    fn root_files_put_into_the_place_are_in_the_partition_after_the_flush() {
        std::thread::spawn(|| {
            namespace::own_mounts().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let in_dir = |name: &str| dir.path().join(name).display().to_string();
            let file = tempfile::tempfile().unwrap();
            file.set_len(64 << 20).unwrap();
            let disk = LoopDisk::attach(&file).unwrap();
            let (mut host, device) = (RealHost::default(), format!("/dev/{}", disk.name()));
            let format = Command::mkfs("vfat").args(["-F", "32", "-I", &device]);
            host.run(&format, &mut |_, _| {}).unwrap().success().unwrap();
            let request = MountRequest {
                source: device.clone(),
                target: in_dir("esp"),
                file_system: Some("vfat".to_owned()),
                options: "rw".to_owned(),
            };
            mount_stage(&in_dir("stage"), &request).unwrap();
            let boot = format!("{}/EFI/BOOT", in_dir("esp"));
            fs::create_dir_all(&boot).unwrap();
            fs::write(format!("{boot}/BOOTX64.EFI"), "loader").unwrap();
            host.unmount(&in_dir("esp")).unwrap();
            flush(&in_dir("stage"), &mut host).unwrap();
            let read = Command::new(Tool::Mcopy).args([
                "-n",
                "-i",
                &device,
                "::/EFI/BOOT/BOOTX64.EFI",
                &in_dir("copy"),
            ]);
            host.run(&read, &mut |_, _| {}).unwrap().success().unwrap();
            assert_eq!(fs::read_to_string(in_dir("copy")).unwrap(), "loader");
            assert_eq!(host.list(&in_dir("stage")).unwrap(), Vec::<String>::new());
        })
        .join()
        .unwrap();
    }
}
