//! Files whose texts the plan has made: the network's configuration, the record of what is installed.

use super::Done;
use super::personalise::remove_generated;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::plan::{FileTopic, TargetFile};

/// Where files for single interfaces lie.
const NETWORK_DIRS: [&str; 4] = [
    "etc/netplan",
    "etc/network/interfaces.d",
    "etc/NetworkManager/system-connections",
    "etc/systemd/network",
];

/// Removes what the image brought in their place, then writes the files.
pub(super) fn write_files(
    work: &mut Work<'_>,
    topic: FileTopic,
    files: &[TargetFile],
    remove: &[String],
) -> Result<Done, ActionError> {
    if matches!(topic, FileTopic::Network { .. }) {
        // Interfaces of the machine that the image was made on do not exist here.
        for dir in NETWORK_DIRS {
            remove_generated(work, dir, "")?;
        }
    }
    for path in remove.iter().filter(|path| files.iter().all(|file| file.path != **path)) {
        work.host.remove(&in_target(work, path))?;
    }
    for file in files {
        work.host.write(&in_target(work, &file.path), file.content.as_bytes(), file.mode)?;
    }
    Ok(Done::changed())
}

fn in_target(work: &Work<'_>, path: &str) -> String {
    work.target(path.trim_start_matches('/'))
}
