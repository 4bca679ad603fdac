//! `fai-savelog`, `mkramdisk` and `fetch-basefile`, the first two beside FAI's.

use super::bench::{NoPackages, call, need_fai};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("tools").tempdir().unwrap()
}

/// Names, kinds and contents below a directory.
fn tree(dir: &Path) -> String {
    let shown = Command::new("find").arg(dir).args(["-printf", "%P %y %m %g %l\\n"]).output();
    let mut lines: Vec<String> =
        String::from_utf8(shown.unwrap().stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn root_logs_are_saved_where_fai_saves_them() {
    need_fai();
    let saved: Vec<String> = ["theirs", "ours"]
        .iter()
        .map(|side| {
            let dir = scratch();
            let base = dir.path().display().to_string();
            let logs = format!("{base}/tmp/logs");
            fs::create_dir_all(&logs).unwrap();
            fs::write(format!("{logs}/fai.log"), "x\n").unwrap();
            fs::write(format!("{logs}/empty.log"), "").unwrap();
            let env: Vec<(String, String)> = [
                ("FAI_ROOT", format!("{base}/target")),
                ("LOGDIR", logs),
                ("HOSTNAME", "web1".to_owned()),
                ("FAI_ACTION", "install".to_owned()),
                ("fai_rundate", "20260102_030405".to_owned()),
                ("PATH", std::env::var("PATH").unwrap()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
            if *side == "theirs" {
                let mut theirs = Command::new("/usr/lib/fai/fai-savelog");
                assert!(theirs.arg("-l").envs(env).status().unwrap().success());
            } else {
                let args = ["-l".to_owned()];
                let (status, out, err) = call("fai-savelog", &args, env, &base, &NoPackages);
                assert_eq!(status, 0, "{out}{err}");
            }
            tree(&dir.path().join("target/var/log/fai"))
        })
        .collect();
    assert!(saved[1].contains("web1/install-20260102_030405/fai.log f"), "{}", saved[1]);
    assert!(!saved[1].contains("empty.log"), "{}", saved[1]);
    // The group of the files is adm's with us, of the directory alone with FAI.
    let without_groups = |text: &String| text.replace(" adm ", " root ");
    assert_eq!(without_groups(&saved[1]), without_groups(&saved[0]));
}

#[test]
fn root_a_ram_disk_comes_and_goes() {
    let dir = scratch();
    let base = dir.path().display().to_string();
    let (path, file) = (format!("{base}/lib"), format!("{base}/lib/status"));
    fs::create_dir_all(&path).unwrap();
    fs::write(&file, "before\n").unwrap();
    let run = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        call("mkramdisk", &args, Vec::new(), &base, &NoPackages)
    };
    assert_eq!(run(&["-s", "10m", "lib"]).0, 0);
    let mounts = || fs::read_to_string("/proc/mounts").unwrap();
    assert!(mounts().contains(&format!("tmpfs {path} tmpfs")), "{}", mounts());
    assert_eq!(fs::read_to_string(&file).unwrap(), "before\n");
    fs::write(&file, "after\n").unwrap();
    fs::write(format!("{base}/lib/new"), "").unwrap();
    let (status, out, err) = run(&["-u", "lib"]);
    assert_eq!(status, 0, "{out}{err}");
    assert!(!mounts().contains(&base), "{}", mounts());
    assert_eq!(fs::read_to_string(&file).unwrap(), "after\n");
    assert!(fs::exists(format!("{base}/lib/new")).unwrap());
    assert!(!fs::exists(format!("{base}/lib-in-ramdisk")).unwrap());
    assert!(run(&["-u", "lib"]).2.contains("is not a mounted ramdisk"));
}

/// Answers requests for a listing and for one file; anything else is not found.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = match request.split(' ').nth(1).unwrap_or_default() {
                "/base/" => ("200 OK", "<a href=\"A.tar.xz\">A</a> <a href=\"B.tgz\">B</a>"),
                "/base/A.tar.xz" => ("200 OK", "archive A"),
                _ => ("404 Not Found", "<html>no</html>"),
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close");
            // A client that hung up has what it wanted.
            let _ = write!(stream, "{head}\r\n\r\n{body}");
        }
    });
    port
}

#[test]
fn the_base_file_of_the_highest_class_is_fetched() {
    let dir = scratch();
    let base = dir.path().display().to_string();
    let url = format!("http://127.0.0.1:{}/base", serve());
    let run = |classes: &str| {
        let env = [("FAI_BASEFILEURL", &*url), ("FAI", &*base), ("classes", classes)];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        call("fetch-basefile", &[], env, &base, &NoPackages)
    };
    let file = |name: &str| fs::read_to_string(format!("{base}/basefiles/{name}")).ok();
    assert_eq!(run("A X").0, 0);
    assert_eq!(file("A.tar.xz").as_deref(), Some("archive A"));
    let (status, _, err) = run("A X");
    assert_eq!(status, 1);
    assert!(err.contains("already exists"), "{err}");
    // What the server lists and does not have leaves nothing behind.
    assert_ne!(run("A B").0, 0);
    assert_eq!(file("B.tgz"), None);
    let (status, _, err) = run("X");
    assert_eq!(status, 0);
    assert!(err.contains("No basefile"), "{err}");
}
