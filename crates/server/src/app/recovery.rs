//! Recovery keys of encrypted devices: kept for the day when nothing else opens them.
//!
//! ```text
//! STATE/recovery-keys/MACHINE/UUID.json   device, UUID of its LUKS header, passphrase
//! ```
//!
//! Only the server's user can read them, and nothing shows them: an operator who needs one reads the
//! file. They are no part of the database, which is copied and looked into for other reasons.

use super::App;
use crate::problem::Problem;
use hostwright_model::api::{RecoveryKey, Run};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name of the directory in the state directory.
const DIR: &str = "recovery-keys";
/// Longer than any of these values is.
const LENGTH_MAX: usize = 200;

impl App {
    /// Keeps a key of the run's machine. When this returns, it is on the disk.
    pub(crate) async fn keep_recovery_key(
        &self,
        run: &Run,
        key: RecoveryKey,
    ) -> Result<(), Problem> {
        let is_uuid = |c: char| c.is_ascii_hexdigit() || c == '-';
        let is_text = |text: &str| {
            (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let is_fine = is_text(&key.uuid) && key.uuid.chars().all(is_uuid);
        if !is_fine || !is_text(&key.key) || !is_text(&key.device) {
            let cure = "send a device, the UUID of its LUKS header, and the key without blanks";
            return Err(Problem::bad("bad-recovery-key", "the recovery key makes no sense", cure));
        }
        let dir = self.config.state_dir.join(DIR);
        let machine = run.machine.as_str().to_owned();
        let kept = tokio::task::spawn_blocking(move || keep(&dir, &machine, &key)).await;
        let kept = kept.map_err(|error| Problem::internal(&error))?;
        kept.map_err(|error| Problem::internal(&error))
    }
}

fn keep(dir: &Path, machine: &str, key: &RecoveryKey) -> io::Result<()> {
    let dir = dir.join(machine);
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let (path, draft) = (dir.join(format!("{}.json", key.uuid)), dir.join("draft"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    serde_json::to_writer_pretty(&file, key)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(&dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_kept_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join(DIR);
        let uuid = "0f3e".to_owned();
        let mut key = RecoveryKey { device: "/dev/vda2".to_owned(), uuid, key: "one".to_owned() };
        keep(&dir, "web1", &key).unwrap();
        key.key = "two".to_owned();
        keep(&dir, "web1", &key).unwrap();
        let path = dir.join("web1/0f3e.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let above = fs::metadata(dir.join("web1")).unwrap();
        assert_eq!(above.permissions().mode() & 0o777, 0o700);
        let found: RecoveryKey = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(found, key);
        assert!(!format!("{key:?}").contains("two"), "a key is in no log");
    }
}
