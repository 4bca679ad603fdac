//! The config space on the machine: fetched, verified, unpacked.

use hostwright_host::HostError;
use hostwright_model::ids::Digest;
use std::fs;
use std::io;
use std::path::Path;

/// Where FAI has it too.
pub(crate) const SPACE_DIR: &str = "/var/lib/fai/config";

/// Unpacks `archive` to `dir`, unless it was unpacked there before: whoever mends something in the
/// rescue shell and resumes does not lose it.
pub(crate) fn unpack(archive: &Path, digest: Digest, dir: &Path) -> Result<(), HostError> {
    let note = dir.with_extension("digest");
    let text = digest.to_string();
    if fs::read_to_string(&note).is_ok_and(|noted| noted == text) {
        return Ok(());
    }
    let unpacked = || -> io::Result<()> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let mut archive = tar::Archive::new(zstd::Decoder::new(fs::File::open(archive)?)?);
        archive.set_preserve_permissions(true);
        archive.unpack(dir)?;
        fs::write(&note, &text)
    };
    let path = archive.display().to_string();
    unpacked().map_err(|source| HostError::Io { operation: "unpack", path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn pack(path: &Path, content: &str) {
        let encoder = zstd::Encoder::new(fs::File::create(path).unwrap(), 1).unwrap();
        let mut builder = tar::Builder::new(encoder);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append_data(&mut header, "class/10-x", content.as_bytes()).unwrap();
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn a_mended_space_survives_a_resume_but_not_a_new_order() {
        let dir = tempfile::tempdir().unwrap();
        let (archive, space) = (dir.path().join("space.tar.zst"), dir.path().join("config"));
        let script = space.join("class/10-x");
        pack(&archive, "#!/bin/sh\n");
        unpack(&archive, Digest([1; 32]), &space).unwrap();
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
        fs::write(&script, "mended").unwrap();
        unpack(&archive, Digest([1; 32]), &space).unwrap();
        assert_eq!(fs::read_to_string(&script).unwrap(), "mended");
        unpack(&archive, Digest([2; 32]), &space).unwrap();
        assert_eq!(fs::read_to_string(&script).unwrap(), "#!/bin/sh\n");
    }

    #[test]
    fn a_broken_archive_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("space.tar.zst");
        fs::write(&archive, "no archive").unwrap();
        let error = unpack(&archive, Digest([1; 32]), &dir.path().join("config")).unwrap_err();
        assert!(error.to_string().starts_with("cannot unpack"), "{error}");
    }
}
