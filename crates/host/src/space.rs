//! Reads a config space: every file and link below a directory, by its path.

use crate::HostError;
use hostwright_model::space::TreeFile;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Directories of version control, which are never part of a space.
const NOT_PART: [&str; 3] = [".git", ".svn", "CVS"];

/// Reads all files and links below `root`. Paths are relative to it. Sockets, pipes and devices are
/// left out. Bytes of names that are not UTF-8 become U+FFFD: no class can ask for such a file, only
/// the shell that lists its directory.
pub fn read_space(root: &Path) -> Result<BTreeMap<String, TreeFile>, HostError> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![(root.to_owned(), String::new())];
    while let Some((directory, prefix)) = waiting.pop() {
        let failed = |source| io_error("list", &directory, source);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                if !NOT_PART.contains(&name.as_str()) {
                    waiting.push((path, format!("{below}/")));
                }
            } else if let Some(file) = read_file(&path, kind)? {
                files.insert(below, file);
            }
        }
    }
    Ok(files)
}

fn read_file(path: &Path, kind: fs::FileType) -> Result<Option<TreeFile>, HostError> {
    let failed = |source| io_error("read", path, source);
    if kind.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        return Ok(Some(TreeFile::symlink(target.to_string_lossy())));
    }
    if !kind.is_file() {
        return Ok(None);
    }
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    Ok(Some(TreeFile::file(fs::read(path).map_err(failed)?, mode & 0o100 != 0)))
}

fn io_error(operation: &'static str, path: &Path, source: std::io::Error) -> HostError {
    HostError::Io { operation, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::space::FileKind;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn files_links_and_run_bits_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("class");
        fs::create_dir_all(&class).unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join(".git/config"), "").unwrap();
        fs::write(class.join("10-run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(class.join("10-run"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(class.join("A.var"), "X=1\n").unwrap();
        std::os::unix::fs::symlink("A.var", class.join("B.var")).unwrap();
        fs::create_dir(dir.path().join("files")).unwrap();
        let latin = std::ffi::OsStr::from_bytes(b"Gr\xfc\xdfe");
        fs::write(dir.path().join("files").join(latin), "x").unwrap();
        let files = read_space(dir.path()).unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let latin = "files/Gr\u{fffd}\u{fffd}e";
        assert_eq!(names, ["class/10-run", "class/A.var", "class/B.var", latin]);
        assert!(files["class/10-run"].executable && !files["class/A.var"].executable);
        assert_eq!(files["class/B.var"].kind, FileKind::Symlink { target: "A.var".to_owned() });
    }
}
