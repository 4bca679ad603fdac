//! Origins that break off or are away, caches that are damaged: nothing partial is ever whole.

use crate::origin::{Behaviour, Origin, Proxy};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

fn breaking(bytes: usize, times: usize) -> Behaviour {
    Behaviour { breaks: Arc::new((bytes, AtomicUsize::new(times))), ..Behaviour::default() }
}

fn cached(proxy: &Proxy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in fs::read_dir(proxy.dir.path().join("cache")).unwrap().flatten() {
        if dir.file_name() != "tmp" {
            found.extend(fs::read_dir(dir.path()).unwrap().flatten().map(|file| file.path()));
        }
    }
    found
}

fn unfinished(proxy: &Proxy) -> usize {
    fs::read_dir(proxy.dir.path().join("cache/tmp")).unwrap().count()
}

#[test]
fn an_origin_that_breaks_off_is_asked_for_the_rest() {
    let origin = Origin::start(breaking(120_000, 3));
    let proxy = Proxy::start();
    let answer = proxy.get(&origin.url("/pool/a.deb"));
    assert!(answer.whole && answer.body == Behaviour::default().content);
    let asked = origin.asked.lock().unwrap();
    let ranges: Vec<_> = asked.iter().map(|asked| asked.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=120000-"), Some("bytes=240000-"), Some("bytes=360000-")]);
    assert!(asked[1..].iter().all(|asked| asked.if_range.is_some()));
}

#[test]
fn an_origin_that_breaks_off_for_good_leaves_nothing_behind() {
    let origin = Origin::start(breaking(50_000, 100));
    let proxy = Proxy::start();
    let url = origin.url("/pool/a.deb");
    let answer = proxy.get(&url);
    assert!(!answer.whole, "the client sees that it is not all");
    assert_eq!(answer.body, Behaviour::default().content[..answer.body.len()]);
    proxy.settle();
    assert_eq!((cached(&proxy).len(), unfinished(&proxy)), (0, 0));
    origin.behave(Some(Behaviour::default()));
    assert!(proxy.get(&url).whole, "the next request begins afresh");
}

#[test]
fn a_changing_file_without_validators_is_not_patched_together() {
    let origin = Origin::start(Behaviour { last_modified: None, ..breaking(50_000, 1) });
    let proxy = Proxy::start();
    assert!(!proxy.get(&origin.url("/dists/InRelease")).whole);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_that_hangs_up_does_not_end_the_download() {
    let pause = Duration::from_millis(200);
    let origin = Origin::start(Behaviour { pause, ..Behaviour::default() });
    let proxy = Proxy::start();
    let url = origin.url("/pool/a.deb");
    let stream = std::net::TcpStream::connect(proxy.handle().address()).unwrap();
    std::io::Write::write_all(
        &mut &stream,
        format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
    )
    .unwrap();
    while proxy.handle().stats().under_way == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    drop(stream);
    proxy.settle();
    assert!(proxy.get(&url).whole);
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_index_is_served_from_the_cache_while_its_origin_is_away() {
    let origin = Origin::start(Behaviour::default());
    let proxy = Proxy::start();
    let url = origin.url("/dists/InRelease");
    proxy.get(&url);
    proxy.settle();
    origin.behave(None);
    let stale = proxy.get(&url);
    assert!(stale.status == 200 && stale.whole && stale.body == Behaviour::default().content);
    assert!(stale.header("warning").unwrap().starts_with("110"));
    let other = proxy.get(&origin.url("/dists/other"));
    let text = String::from_utf8(other.body).unwrap();
    assert_eq!(other.status, 502);
    assert!(text.contains("/dists/other does not answer"), "{text}");
}

#[test]
fn a_damaged_cached_file_is_fetched_again() {
    let origin = Origin::start(Behaviour::default());
    let proxy = Proxy::start();
    let url = origin.url("/pool/a.deb");
    let damages: [fn(&fs::File); 3] = [
        |file| file.set_len(300_000).unwrap(),
        |file| file.set_len(10).unwrap(),
        |file| std::os::unix::fs::FileExt::write_all_at(file, b"{\"url\":1", 0).unwrap(),
    ];
    for damage in damages {
        proxy.get(&url);
        proxy.settle();
        let [path] = cached(&proxy).try_into().expect("one file");
        damage(&fs::File::options().write(true).open(path).unwrap());
        let answer = proxy.get(&url);
        assert!(answer.whole && answer.body == Behaviour::default().content);
        proxy.settle();
    }
    assert_eq!(origin.count(), 4);
}

/// Goal: a proxy that is killed in the middle of a download leaves nothing that looks whole, and
/// its next life sweeps up. Method: the example that serves, with a package proxy, and SIGKILL.
#[test]
fn a_killed_proxy_leaves_nothing_partial() {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};
    let pause = Duration::from_millis(400);
    let origin = Origin::start(Behaviour { pause, ..Behaviour::default() });
    let mut proxy = Proxy::start();
    proxy.handle = None;
    let dir = proxy.dir.path().display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = \"{dir}/state\"\nstore_dir = \"{dir}/store\"\n\
         [package_proxy]\nlisten = \"127.0.0.1:{port}\"\ncache_dir = \"{dir}/cache\"\nmap = {{}}\n"
    );
    fs::write(proxy.dir.path().join("serve.toml"), config).unwrap();
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/serve");
    let mut child = Command::new(program)
        .arg(proxy.dir.path().join("serve.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = origin.url("/pool/a.deb");
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(
        &mut &stream,
        format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
    )
    .unwrap();
    while unfinished(&proxy) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(cached(&proxy).len(), 0);
    proxy.restart();
    assert_eq!(unfinished(&proxy), 0);
    assert!(proxy.get(&url).whole);
}
