//! The installed setup-storage as a partner in conversation: machines in, plans out.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PROGRAM: &str = include_str!("oracle.pl");
/// Gives the program a /dev of its own with the nodes that are named to it. Their numbers are those
/// of local use (Linux's devices.txt): nothing answers there.
const WITH_NODES: &str = "mount -t tmpfs tmpfs \"$ORACLE_DIR\" && cd \"$ORACLE_DIR\" && mkdir dev && \
    mknod dev/null c 1 3 && mknod dev/urandom c 1 9 && n=0 && \
    for name; do mknod \"dev/$name\" b 240 $n || exit 1; n=$((n + 1)); done && \
    printf %s \"$ORACLE_PROGRAM\" > oracle.pl && mount --bind dev /dev && exec perl -X oracle.pl";

/// A disk as setup-storage is to see it.
#[derive(Clone, Debug, Serialize)]
pub struct OracleDisk {
    pub name: String,
    pub size_bytes: u64,
    pub sector_bytes: u32,
    /// `msdos` or `gpt`.
    pub label: &'static str,
    pub partitions: Vec<OraclePartition>,
}

/// A partition that is there.
#[derive(Clone, Debug, Serialize)]
pub struct OraclePartition {
    pub number: u32,
    pub start_bytes: u64,
    pub end_bytes: u64,
    pub file_system: String,
    pub name: String,
    pub extended: bool,
}

/// A volume group that is there.
#[derive(Clone, Debug, Serialize)]
pub struct OracleGroup {
    pub name: String,
    pub devices: Vec<String>,
    pub size_bytes: u64,
    pub volumes: Vec<(String, u64)>,
}

/// An array that is there.
#[derive(Clone, Debug, Serialize)]
pub struct OracleArray {
    pub number: u32,
    pub level: String,
    pub devices: Vec<String>,
}

/// A machine and a disk_config.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    pub config: String,
    pub first_install: bool,
    pub disks: Vec<OracleDisk>,
    pub groups: Vec<OracleGroup>,
    pub arrays: Vec<OracleArray>,
}

/// Where setup-storage puts a partition.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Placed {
    /// Bytes; of sizes such as `12340MB` FAI computes fractions of one.
    pub start: f64,
    pub end: f64,
    pub extended: bool,
    pub name: String,
    pub kept: bool,
}

/// What setup-storage makes of a question.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    pub accepted: bool,
    #[serde(default)]
    pub message: String,
    /// Warnings and what its parser says.
    pub words: Vec<String>,
    #[serde(default)]
    pub partitions: BTreeMap<String, BTreeMap<u32, Placed>>,
    #[serde(default)]
    pub commands: Vec<String>,
    #[serde(default)]
    pub fstab: Vec<String>,
    #[serde(default)]
    pub crypttab: Vec<String>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// A running setup-storage.
pub struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Oracle {
    /// Starts it with the nodes of these disks.
    pub fn start(names: &[&str]) -> Self {
        assert!(
            Path::new("/usr/sbin/setup-storage").exists(),
            "this test compares with FAI's own program: apt-get install fai-setup-storage"
        );
        let directory = std::env::temp_dir().join(format!("setup-storage-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "sh", "-c", WITH_NODES, "sh"])
            .args(names)
            .env("ORACLE_DIR", &directory)
            .env("ORACLE_PROGRAM", PROGRAM)
            .env("HOSTNAME", super::HOSTNAME)
            // Orders of hashes are the same in each run.
            .env("PERL_HASH_SEED", "0")
            .env("PERL_PERTURB_KEYS", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers, directory }
    }

    /// Asks it.
    pub fn ask(&mut self, question: &Question) -> Answer {
        serde_json::to_writer(&mut self.questions, question).unwrap();
        self.questions.write_all(b"\n").unwrap();
        self.questions.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: '{line}'"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // Its mounts go with its namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
