//! A small config space on disk, in a git repository, and the program beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Path, text, and whether it can be run.
const FILES: [(&str, &str, bool); 11] = [
    ("class/50-host", "#!/bin/sh\necho BASE\ncase $HOSTNAME in web*) echo WEB ;; esac\n", true),
    (
        "class/BASE.var",
        "FAI_DEBOOTSTRAP=\"bookworm http://deb.example.org/debian\"\nSTOP_ON_ERROR=600\n\
         editor=nano\n",
        false,
    ),
    ("package_config/BASE", "PACKAGES install\nless $editor linux-image-amd64 grub-pc\n", false),
    ("package_config/WEB", "PACKAGES install\nnginx\n", false),
    (
        "disk_config/BASE",
        "disk_config disk1 disklabel:msdos bootable:1 fstabkey:uuid\nprimary / 2G-10G ext4 rw\n\
         logical swap 200-1G swap sw\n",
        false,
    ),
    (
        "disk_config/WEB",
        "disk_config disk1 disklabel:gpt-bios bootable:1 fstabkey:uuid\nprimary / 2G- ext4 rw\n",
        false,
    ),
    ("files/etc/motd/BASE", "hello\n", false),
    ("files/etc/motd/WEB", "hello, web\n", false),
    ("hooks/instsoft.WEB", "#!/bin/sh\nexit 0\n", true),
    ("scripts/BASE/10-motd", "#!/bin/sh\nfcopy /etc/motd\ngrub-install $BOOT_DEVICE\n", true),
    ("scripts/WEB/20-site", "#!/bin/sh\ntrue\n", true),
];

/// The space `space/` in a scratch directory, which is the program's current one.
pub struct Bench {
    scratch: TempDir,
}

/// What the program did.
pub struct Outcome {
    /// Its exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Bench {
    /// The space as it is committed.
    pub fn new() -> Self {
        let bench = Self { scratch: tempfile::tempdir().unwrap() };
        for (path, text, runs) in FILES {
            bench.write(path, text);
            let mode = if runs { 0o755 } else { 0o644 };
            fs::set_permissions(bench.space().join(path), fs::Permissions::from_mode(mode))
                .unwrap();
        }
        for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "first"]] {
            let mut git = Command::new("git");
            git.current_dir(bench.space()).args(["-c", "user.name=A", "-c", "user.email=a@b.c"]);
            assert!(git.args(arguments).status().unwrap().success(), "git {arguments:?}");
        }
        bench
    }

    /// The current directory of the program.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    fn space(&self) -> PathBuf {
        self.dir().join("space")
    }

    /// Writes a file of the space.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.space().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs `hostwright` with arguments between blanks.
    pub fn run(&self, arguments: &str) -> Outcome {
        let mut program = Command::new(env!("CARGO_BIN_EXE_hostwright"));
        program.current_dir(self.dir()).args(arguments.split_whitespace());
        let output = program.output().unwrap();
        Outcome {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it and demands that it ends well.
    pub fn ok(&self, arguments: &str) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.status, 0, "{arguments}: {}", outcome.err);
        outcome.out
    }
}

/// Demands words in a text.
#[track_caller]
pub fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}
