//! The disk image of `hostwright build -o`: made without a name, named when it is finished.

use super::build::View;
use crate::directory_run::{Built, DirectoryRun};
use crate::faults::{Failure, usage};
use crate::render::json;
use hostwright_engine::disk_file::DiskFile;
use hostwright_host::real::RealHost;
use hostwright_host::unnamed_file::UnnamedFile;
use hostwright_host::{Command, Host as _, Tool};
use hostwright_media::disk_image::{self, DiskImageFormat};
use hostwright_model::size::ByteSize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A disk image to make.
pub(super) struct DiskImage<'a> {
    /// Where it goes; absolute.
    pub path: &'a Path,
    /// What it is.
    pub format: DiskImageFormat,
    /// Size of the disk.
    pub size: ByteSize,
    /// True to keep the disk of a failed build.
    pub keep: bool,
}

impl DiskImage<'_> {
    /// Runs the space onto a disk, and makes the image of the disk; FAI's highest task error.
    pub fn build(&self, run: &mut DirectoryRun, mut view: View) -> Result<u32, Failure> {
        let built = self.make(run, &mut view, &mut |_| Ok(()))?;
        self.tell(&built.classes.to_string(), view.as_json);
        Ok(built.task_error)
    }

    /// Runs something onto a fresh disk, which `first` may look at and refuse, and makes the image
    /// of the disk.
    pub fn make(
        &self,
        run: &mut DirectoryRun,
        view: &mut View,
        first: &mut dyn FnMut(&DirectoryRun) -> Result<(), Failure>,
    ) -> Result<Built, Failure> {
        let dir = self.dir()?;
        let host = &mut RealHost::default();
        disk_image::demand_tool(host, self.format)?;
        let disk = DiskFile::create(dir, self.size.0)?;
        run.disk = Some(disk.disk_name().to_owned());
        ignore_groups(host, &mut run.vars);
        first(run)?;
        let target = run.target.display().to_string();
        let built = match view.watch(run) {
            Ok(built) => built,
            Err(failure) if self.keep => {
                let kept = self.kept_path();
                disk.abandon(host, &target)?.name(&kept)?;
                eprintln!("the disk as it was is kept: {}", kept.display());
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        let raw = disk.close(host, &target, &run.fat_stage_dir().display().to_string())?;
        self.finish(host, raw)?;
        Ok(built)
    }

    /// The directory of the image, in whose file system the disk grows, too.
    fn dir(&self) -> Result<&Path, Failure> {
        match self.path.parent().filter(|dir| dir.is_dir()) {
            Some(dir) => Ok(dir),
            None => {
                let message = format!("there is no directory for {}", self.path.display());
                Err(usage(message, "make the directory, or name another"))
            }
        }
    }

    fn kept_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".failed");
        PathBuf::from(name)
    }

    fn finish(&self, host: &mut RealHost, raw: UnnamedFile) -> Result<(), Failure> {
        if self.format == DiskImageFormat::Raw {
            return Ok(raw.name(self.path)?);
        }
        let image = UnnamedFile::create(self.dir()?)?;
        disk_image::convert(host, self.format, &raw.path(), &image.path())?;
        Ok(image.name(self.path)?)
    }

    fn tell(&self, classes: &str, as_json: bool) {
        let (path, size_bytes) = (self.path.display().to_string(), self.size.0);
        if as_json {
            let made = serde_json::json!({
                "disk_image": { "path": path, "disk_bytes": size_bytes, "classes": classes },
            });
            return json::print_line(&made);
        }
        println!("{path}: a disk of {}, classes {classes}", self.size.rounded());
    }
}

/// Tells FAI's setup-storage, which hooks may call, to leave this machine's volume groups alone.
fn ignore_groups(host: &mut RealHost, vars: &mut BTreeMap<String, String>) {
    let list = Command::new(Tool::Vgs).args(["--noheadings", "--options", "vg_name"]);
    // Without LVM there are none.
    if let Ok(output) = host.run(&list, &mut |_, _| {}) {
        let names: Vec<&str> = output.stdout.split_whitespace().collect();
        vars.entry("SS_IGNORE_VG".to_owned()).or_insert(names.join(" "));
    }
}
