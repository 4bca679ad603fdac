//! The shell functions: each behaves as FAI's where FAI has it, and as documented elsewhere.

use super::bench::need_fai;
use hostwright_engine::shell::PRELUDE;
use std::fs;
use std::process::Command;

/// Runs `script` in a bash with the functions of `prelude`: status, output, and files of LOGDIR.
fn run(prelude: &str, script: &str) -> (i32, String, Vec<(String, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("log");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("task_error"), "0\n").unwrap();
    fs::write(logs.join("task_local_error"), "0\n").unwrap();
    let text = format!("set -a\n{prelude}\ncd {}\n{script}", dir.path().display());
    let output = Command::new("/bin/bash")
        .args(["--norc", "-c", &text])
        .env_clear()
        .env("PATH", "/usr/lib/fai:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LOGDIR", &logs)
        .env("do_init_tasks", "0")
        .env("faimond", "0")
        .env("STOP_ON_ERROR", "700")
        .output()
        .unwrap();
    let mut files: Vec<(String, String)> = fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap().trim().to_owned())
        })
        .collect();
    files.sort();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned(), files)
}

fn ours(script: &str) -> (i32, String, Vec<(String, String)>) {
    run(PRELUDE, script)
}

fn theirs(script: &str) -> (i32, String, Vec<(String, String)>) {
    run(". /usr/lib/fai/subroutines", script)
}

#[test]
fn functions_do_what_those_of_fai_do() {
    need_fai();
    let scripts = [
        "task_error 410; task_error 312; task_error 500 0; task_error 2 1",
        "task_error 350 5 1; task_error 700",
        "false; task_error 420 $?; true; task_error 600 $?",
        "task_error 999 0",
        "task_error 999 1 1; echo still here",
        "bash -c 'task_error 333'; cat $LOGDIR/task_error",
        "sendmon TASKBEGIN partition; sendmon two words",
        "printf '#c\\na\\n # b\\n' > f; catnc f; catnc < f",
        "FAI_FLAGS=verbose,sshd,createvt; define_fai_flags; echo $verbose $flag_sshd $flag_createvt $debug",
        "FAI_FLAGS='debug  x'; define_fai_flags; bash -c 'echo $debug $flag_x'",
        "save_dmesg; ls $LOGDIR",
        "unset FAI_DEBMIRROR; mount_mirror; echo done",
    ];
    for script in scripts {
        // FAI's statuses are those of a last test; nothing is to be told by them.
        let ((_, out, files), (_, their_out, their_files)) = (ours(script), theirs(script));
        assert_eq!((out, files), (their_out, their_files), "{script}");
    }
}

#[test]
fn skiptask_makes_files_that_are_not_empty() {
    let script = "skiptask partition mountdisks; bash -c 'skiptask tests'";
    let names = |files: Vec<(String, String)>| -> Vec<String> {
        files.into_iter().map(|(name, _)| name).filter(|name| name.starts_with("skip.")).collect()
    };
    assert_eq!(names(ours(script).2), ["skip.mountdisks", "skip.partition", "skip.tests"]);
    assert_eq!(ours("skiptask a; [ -s $LOGDIR/skip.a ]").0, 0);
}

/// Nothing behind a fatal error may run, in the shell itself and in its children; the engine finds
/// out by the file.
#[test]
fn a_fatal_error_stops() {
    let (status, out, files) = ours("task_error 710; echo not reached");
    assert_eq!((status, out.as_str()), (1, ""));
    let stop = files.iter().find(|(name, _)| name == "stop").map(|(_, text)| text.as_str());
    assert_eq!(stop, Some("710 task_error 710, called by main"));
    let (status, _, files) =
        ours("bash -c 'task_error 901; touch $LOGDIR/not'; echo $? > $LOGDIR/status");
    assert_eq!(status, 0);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["status", "stop", "task_error", "task_local_error"]);
    let (status, out, files) = ours("die no disk; echo not reached");
    assert_eq!((status, out.as_str()), (1, "no disk\n"));
    assert!(files.contains(&("stop".to_owned(), "999 no disk".to_owned())), "{files:?}");
    let (status, ..) = ours("STOP_ON_ERROR=900; task_error 801");
    assert_eq!(status, 0);
    // The worst error of the run counts, so that a later small one stops, too.
    assert_eq!(ours("task_error 999 1 1; task_error 2; touch $LOGDIR/not").0, 1);
}

/// Disks come from the kernel; the functions only sort and choose.
#[test]
fn disks_are_sorted_and_chosen() {
    let fakes = "all_disks_and_size() { printf '%s\\n' 'sdb 500' 'sda 20' 'nvme0n1 1000'; }
        checkdisk() { awk -v skip=\"$1\" '$1 != skip { print $1 }'; }
        disks_by_id() { printf '%s\\n' 'ata-WDC_1 ../../sda' 'nvme-Sam_2 ../../nvme0n1' 'usb-Stick ../../sdc'; }
        fai-disk-info() { printf 'sdb\\nsda\\n'; }\n";
    let output = |script: &str| ours(&format!("{fakes}{script}")).1;
    assert_eq!(output("largestdisk"), "nvme0n1\n");
    assert_eq!(output("smallestdisk"), "sda\n");
    assert_eq!(output("FAI_BOOTSTICK=sda; smallestdisk"), "sdb\n");
    assert_eq!(output("echo $(all_disks_by_size)"), "nvme0n1 sdb sda\n");
    assert_eq!(output("echo $(matchdisks nvme 'WDC|Sea')"), "nvme0n1 sda\n");
    assert_eq!(output("echo $(notmatchdisks '^usb')"), "sda nvme0n1\n");
    assert_eq!(output("grep_disks usb"), "usb-Stick ../../sdc\n");
    assert_eq!(output("echo $(matchdisks)"), "sda nvme0n1 sdc\n");
    assert_eq!(output("printf 'a\\nb\\na\\n' | once_only"), "a\nb\n");
    assert_eq!(output("set_disk_info; bash -c 'echo \"[$disklist]\"'"), "[sda sdb ]\n");
}

#[test]
fn functions_reach_children_and_nothing_runs_by_itself() {
    let (status, out, _) = ours("bash -c 'inside_nfsroot || echo outside'");
    assert_eq!((status, out.as_str()), (0, "outside\n"));
    assert_eq!(ours("").1, "");
    assert_eq!(ours("do_init_tasks=1; inside_nfsroot").0, 0);
}

/// In a mount namespace of its own, where nothing can be left behind.
#[test]
fn root_the_kernel_s_files_are_mounted_and_unmounted() {
    let script = r#"
        mkdir -p t/proc t/sys t/dev/pts t/srv
        export target=$PWD/t
        unshare --mount bash -c '
            count() { grep -c " $target" /proc/self/mounts; }
            ctam; count; [ -e $target/dev/null ] && [ -e $target/proc/cpuinfo ] && echo there
            ctam > /dev/null; count
            ctau; count
            ctam; mount -t tmpfs tmpfs $target/srv; umount_target; count
            mount -t tmpfs -o ro tmpfs $target/srv; rw_target; touch $target/srv/x && echo writable
        '"#;
    let (status, out, _) = ours(script);
    let mounts = if std::path::Path::new("/sys/firmware/efi/efivars").exists() { 5 } else { 4 };
    let expected = format!("{mounts}\nthere\n{mounts}\n0\n0\nwritable\n");
    assert_eq!((status, out), (0, expected));
}
