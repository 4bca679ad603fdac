//! What the actions of a plan do. Each looks before it acts, or is harmless to repeat: a power cut
//! may have ended it anywhere.

mod apt;
mod base;
mod boot_loader;
mod confirm;
mod debconf;
mod encrypt;
pub(crate) mod fetched_base;
mod files;
mod finish;
mod first_boot;
mod format;
mod fstab;
mod hardware;
mod initramfs_keys;
mod initramfs_tpm;
mod kernel;
mod known_packages;
mod lvm;
mod metadata;
mod mirror;
mod mounts;
mod nodes;
mod old_etc;
mod old_systems;
mod packages;
mod partition;
mod personalise;
mod preload;
mod raid;
pub(crate) mod ram_disk;
pub(crate) mod recovery;
mod repository;
mod resize;
mod restore;
mod scripts;
mod stand_in;
mod table;
mod takedown;
mod uuid_links;
mod written;

pub(crate) use confirm::refuse_moved_disks;
pub(crate) use metadata::put_back;
pub(crate) use mounts::unmount_target;
pub(crate) use restore::restore;
pub(crate) use scripts::{source_traced, tests_failed};
pub(crate) use table::is_dump;

use crate::fault::ActionError;
use crate::logs::LogFile;
use crate::work::Work;
use hostwright_model::plan::{Action, Discovered, Observed, Outcome};

/// What an action came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub outcome: Outcome,
    pub observed: Observed,
}

impl Done {
    fn changed() -> Self {
        Self { outcome: Outcome::Changed, observed: Observed::default() }
    }

    fn discovered(discovered: Discovered) -> Self {
        let observed = Observed { discovered, ..Observed::default() };
        Self { outcome: Outcome::AlreadyTrue, observed }
    }

    fn already_true() -> Self {
        Self { outcome: Outcome::AlreadyTrue, observed: Observed::default() }
    }

    fn exited(status: i32, observed: Observed) -> Self {
        Self { outcome: Outcome::Exited(status), observed }
    }
}

/// True for actions that run code of the config space.
pub(crate) fn is_user_code(action: &Action) -> bool {
    matches!(
        action,
        Action::Hook { .. }
            | Action::OwnAction { .. }
            | Action::Function { .. }
            | Action::Subroutines { .. }
            | Action::ClassScript { .. }
            | Action::SourceVars { .. }
            | Action::Script { .. }
            | Action::Test { .. }
    )
}

/// Carries an action out. `earlier` is what the finished steps of its phase observed.
pub(crate) fn execute(
    work: &mut Work<'_>,
    action: &Action,
    earlier: &[Observed],
) -> Result<Done, ActionError> {
    work.log = log_of(action);
    match action {
        Action::Hook { path, sourced } => scripts::hook(work, path, *sourced),
        Action::OwnAction { path } => scripts::hook(work, path, false),
        Action::ShowHardware { inventory } => hardware::show(work, *inventory),
        Action::Function { name, argument } => scripts::function(work, name, argument.as_deref()),
        Action::MountFstab => mounts::mount_fstab(work),
        Action::Subroutines { path } => scripts::subroutines(work, path),
        Action::ClassScript { path, sourced } => {
            scripts::class_script(work, path, *sourced, earlier)
        }
        Action::SourceVars { path } => scripts::source_vars(work, path),
        Action::FetchImage { image } => base::fetch_image(work, image),
        Action::ConfirmDisks { disks } => confirm::confirm_disks(work, disks),
        Action::SaveMetadata { devices } => metadata::save(work, devices),
        Action::TakeDown { layer } => takedown::take_down(work, layer),
        Action::ResizeFileSystem { device, file_system, size_bytes } => {
            resize::resize(work, device, file_system, *size_bytes)
        }
        Action::RaidArray { array } => raid::set_up(work, array),
        Action::Encrypt { encrypted } => encrypt::set_up(work, encrypted),
        Action::PartitionTable { disk } => partition::write_table(work, disk),
        Action::VolumeGroup { group } => lvm::make_group(work, group),
        Action::LogicalVolume { group, volume } => lvm::make_volume(work, group, volume),
        Action::Format { volume, ready_made: None } => format::make_file_system(work, volume),
        Action::Format { volume, ready_made: Some(made) } => {
            format::lay_ready_made(work, volume, made)
        }
        Action::StorageFiles { layout } => files::storage_files(work, layout),
        Action::Mount { volume } => mounts::mount_volume(work, volume),
        Action::SwapOn { device } => mounts::swap_on(work, device),
        Action::LayImage { image } => base::lay_image(work, image),
        Action::FetchBaseFile { url, classes, required } => {
            fetched_base::fetch(work, url, classes, *required)
        }
        Action::BaseFile { path } => base::base_file(work, path),
        Action::Debootstrap { suite, mirror, options } => {
            base::debootstrap(work, suite, mirror, options)
        }
        Action::InstallFstab => files::install_fstab(work),
        Action::RamDisk { path } => ram_disk::mount(work, path),
        Action::FlushRamDisk { path } => ram_disk::flush(work, path),
        Action::Debconf { path } => debconf::preseed(work, path),
        Action::Repository { keys, sources } => repository::write(work, keys, sources.as_ref()),
        Action::MountMirror { source, path, options } => mirror::mount(work, source, path, options),
        Action::UpdateBase => packages::update_base(work),
        Action::MountPseudo => mounts::mount_pseudo(work),
        Action::CheckPackages { lenient } => known_packages::check(work, *lenient),
        Action::Preload { url, directory } => preload::fetch(work, url, directory),
        Action::RemovePreloaded { url, directory } => preload::remove(work, url, directory),
        Action::Packages { group } => packages::run_group(work, group),
        Action::PackageFiles { paths } => packages::install_files(work, paths),
        Action::SettlePackages => packages::settle(work),
        Action::Script { path } => scripts::script(work, path),
        Action::Test { path } => scripts::test(work, path),
        Action::Personalise { hostname, nic } => {
            personalise::personalise(work, hostname, nic.as_deref())
        }
        Action::WriteFiles { topic, files, remove } => {
            written::write_files(work, *topic, files, remove)
        }
        Action::KeepOldEtc { device, file_system } => old_etc::keep(work, device, file_system),
        Action::BootLoader { setup } => boot_loader::install(work, setup),
        Action::LoadKernel { setup } => boot_loader::load_kernel(work, setup),
        Action::FirstBoot => first_boot::prepare(work),
        Action::Finish => finish::finish(work),
        Action::SaveLogs => finish::save_logs(work),
        Action::UnmountTarget => mounts::unmount_step(work),
    }
}

/// The log in which FAI's readers look for an action.
fn log_of(action: &Action) -> LogFile {
    match action {
        Action::ConfirmDisks { .. }
        | Action::SaveMetadata { .. }
        | Action::TakeDown { .. }
        | Action::ResizeFileSystem { .. }
        | Action::RaidArray { .. }
        | Action::Encrypt { .. }
        | Action::PartitionTable { .. }
        | Action::VolumeGroup { .. }
        | Action::LogicalVolume { .. }
        | Action::Format { .. }
        | Action::StorageFiles { .. } => LogFile::Format,
        Action::Repository { .. }
        | Action::UpdateBase
        | Action::MountMirror { .. }
        | Action::CheckPackages { .. }
        | Action::Preload { .. }
        | Action::RemovePreloaded { .. }
        | Action::Packages { .. }
        | Action::PackageFiles { .. }
        | Action::SettlePackages => LogFile::Software,
        Action::Script { .. } | Action::Test { .. } => LogFile::Scripts,
        Action::Debconf { .. } => LogFile::Debconf,
        _ => LogFile::Fai,
    }
}
