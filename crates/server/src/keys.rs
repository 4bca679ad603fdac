//! The server's two secrets, made at the first start and readable by its user only.
//!
//! ```text
//! STATE/operator.token   what people's requests carry: 64 hexadecimal digits and a line end
//! STATE/server.key       32 random bytes, from which the tokens of runs are derived
//! ```
//!
//! The authority of a run's certificates is derived from the same key (`authority.rs`).
//!
//! A run's token is not stored anywhere: it is the keyed BLAKE3 of the run's id, made again whenever
//! its machine loads its boot script, also after the server was started again. The database holds
//! its hash.

use crate::state::StateError;
use hostwright_model::ids::RunId;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Name of the file with the operators' token, in the state directory.
pub const OPERATOR_TOKEN_FILE: &str = "operator.token";
const SERVER_KEY_FILE: &str = "server.key";

/// Secrets of this server.
pub(crate) struct Keys {
    operator: blake3::Hash,
    server: [u8; 32],
}

impl Keys {
    /// Reads the secrets in `dir`, and makes those that are not there.
    pub(crate) fn open(dir: &Path) -> Result<Self, StateError> {
        let fresh = || random().map(|bytes| format!("{}\n", blake3::Hash::from(bytes).to_hex()));
        let operator = keep(&dir.join(OPERATOR_TOKEN_FILE), || fresh().map(String::into_bytes))?;
        let path = dir.join(SERVER_KEY_FILE);
        let server = keep(&path, || random().map(|bytes| bytes.to_vec()))?;
        let server = server.try_into().map_err(|_| StateError::File {
            operation: "understand",
            path,
            source: ErrorKind::InvalidData.into(),
        })?;
        Ok(Self { operator: blake3::hash(operator.trim_ascii()), server })
    }

    /// True if `token` is the operators'. Hashes are compared in constant time.
    pub(crate) fn is_operator(&self, token: &str) -> bool {
        blake3::hash(token.as_bytes()) == self.operator
    }

    /// The secret of a run's authority; see `authority.rs`.
    pub(crate) fn authority_seed(&self, run: &RunId) -> [u8; 32] {
        let text = format!("authority of {run}");
        *blake3::keyed_hash(&self.server, text.as_bytes()).as_bytes()
    }

    /// The token of a run.
    pub(crate) fn run_token(&self, run: &RunId) -> String {
        let hash = blake3::keyed_hash(&self.server, run.as_str().as_bytes());
        hash.to_hex().to_string()
    }
}

/// What the database knows of a token.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

fn random() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The content of a file that only its owner may read; made whole or not at all.
fn keep(
    path: &Path,
    fresh: impl FnOnce() -> std::io::Result<Vec<u8>>,
) -> Result<Vec<u8>, StateError> {
    let failed = |operation: &'static str| {
        let path = path.to_owned();
        move |source| StateError::File { operation, path, source }
    };
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read.map_err(failed("read")),
    }
    let content = fresh().map_err(failed("make random bytes for"))?;
    let tmp = path.with_extension("new");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&tmp);
    let written = file.and_then(|mut file| {
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&tmp, path)
    });
    written.map_err(failed("write"))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_are_private_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(dir.path()).unwrap();
        let file = dir.path().join(OPERATOR_TOKEN_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let token = fs::read_to_string(&file).unwrap();
        assert!(keys.is_operator(token.trim()) && !keys.is_operator(""));
        let again = Keys::open(dir.path()).unwrap();
        assert!(again.is_operator(token.trim()));
        let (one, two) = (RunId::from("web-1"), RunId::from("web-2"));
        assert_eq!(keys.run_token(&one), again.run_token(&one));
        assert_ne!(keys.run_token(&one), keys.run_token(&two));
    }
}
