//! What is kept, what is asked for again, and what clients get of it.

use crate::origin::{Behaviour, Origin, Proxy, config};
use hostwright_server::package_proxy::start;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[test]
fn a_package_is_fetched_once_also_after_a_restart() {
    let origin = Origin::start(Behaviour::default());
    let mut proxy = Proxy::start();
    let url = origin.url("/debian/pool/main/a/a/a_1_amd64.deb");
    for _ in 0..3 {
        let answer = proxy.get(&url);
        assert!(answer.status == 200 && answer.whole);
        assert_eq!(answer.body, Behaviour::default().content);
        assert_eq!(answer.header("content-type"), Some("text/x-test"));
        proxy.settle();
    }
    let stats = proxy.handle().stats();
    assert_eq!((stats.hits, stats.misses, stats.fetched_bytes), (2, 1, 500_000));
    assert_eq!(stats.cached_bytes, 500_000 + 4096);
    proxy.restart();
    assert_eq!(proxy.handle().stats().cached_bytes, stats.cached_bytes);
    assert_eq!(proxy.get(&url).body, Behaviour::default().content);
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_index_is_asked_for_again_and_replaced_when_it_changed() {
    let origin = Origin::start(Behaviour::default());
    let proxy = Proxy::start();
    let url = origin.url("/debian/dists/stable/InRelease");
    let get = || {
        let body = proxy.get(&url).body;
        proxy.settle();
        body
    };
    assert_eq!(get(), Behaviour::default().content);
    assert_eq!(get(), Behaviour::default().content);
    let first = Behaviour::default().last_modified.map(str::to_owned);
    assert_eq!(origin.asked.lock().unwrap()[1].since, first);
    assert_eq!(proxy.handle().stats().fetched_bytes, 500_000, "the second was not modified");
    let last_modified = Some("Sat, 21 Nov 2026 10:00:00 GMT");
    let new = Behaviour { content: b"new".to_vec(), last_modified, ..Behaviour::default() };
    origin.behave(Some(new));
    assert_eq!(get(), b"new");
    assert_eq!(get(), b"new");
    assert_eq!(origin.count(), 4);
    assert_eq!(proxy.handle().stats().cached_bytes, 3 + 4096, "the old one is gone");
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let origin = Origin::start(Behaviour::default());
    let proxy = Proxy::start();
    let url = origin.url("/debian/dists/stable/Release");
    let time = proxy.get(&url).header("last-modified").unwrap().to_owned();
    let again = proxy.ask("GET", &url, &[("If-Modified-Since", &time)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    let older = proxy.ask("GET", &url, &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")]);
    assert_eq!(older.status, 200);
}

#[test]
fn ranges_are_served_from_the_cache() {
    let origin = Origin::start(Behaviour::default());
    let proxy = Proxy::start();
    let url = origin.url("/pool/a.deb");
    let content = Behaviour::default().content;
    proxy.get(&url);
    proxy.settle();
    let ask = |range: &str| proxy.ask("GET", &url, &[("Range", range)]);
    let answer = ask("bytes=100-199");
    assert_eq!(
        (answer.status, answer.header("content-range")),
        (206, Some("bytes 100-199/500000"))
    );
    assert_eq!(answer.body, content[100..200]);
    assert_eq!(ask("bytes=499990-").body, content[499_990..]);
    assert_eq!(ask("bytes=-5").body, content[499_995..]);
    let beyond = ask("bytes=500000-");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */500000")));
    assert_eq!(ask("bytes=1-2,5-6").status, 200, "several ranges: everything");
    assert_eq!(ask("bytes=9-2").status, 200, "none");
    let version = ("If-Range", "Fri, 20 Nov 2026 10:00:00 GMT");
    assert_eq!(proxy.ask("GET", &url, &[("Range", "bytes=5-"), version]).status, 206);
    let other = ("If-Range", "Fri, 20 Nov 2026 11:00:00 GMT");
    assert_eq!(proxy.ask("GET", &url, &[("Range", "bytes=5-"), other]).status, 200);
    let head = proxy.ask("HEAD", &url, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("500000")));
    assert_eq!(origin.count(), 1);
}

/// Goal: many machines that want the same file at once cost one download, and each gets its bytes
/// while they come. Method: an origin that pauses in the middle.
#[test]
fn requests_at_the_same_time_share_one_download() {
    let pause = Duration::from_millis(300);
    let origin = Origin::start(Behaviour { pause, ..Behaviour::default() });
    let proxy = Proxy::start();
    let url = origin.url("/debian/dists/stable/main/Packages.xz");
    thread::scope(|scope| {
        for i in 0..8 {
            let (proxy, url) = (&proxy, &url);
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(60 * i));
                let headers = if i == 7 { &[("Range", "bytes=400000-")][..] } else { &[] };
                let answer = proxy.ask("GET", url, headers);
                let from = if i == 7 { 400_000 } else { 0 };
                assert!(answer.whole && answer.body == Behaviour::default().content[from..]);
            });
        }
    });
    assert_eq!(origin.count(), 1);
    assert_eq!(proxy.handle().stats().misses, 1);
}

#[test]
fn answers_without_a_length_are_kept_if_their_end_is_sure() {
    let origin = Origin::start(Behaviour { chunked: true, ..Behaviour::default() });
    let proxy = Proxy::start();
    let url = origin.url("/pool/chunked.deb");
    for _ in 0..2 {
        let answer = proxy.get(&url);
        assert!(answer.whole && answer.body == Behaviour::default().content);
        proxy.settle();
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn errors_and_redirects_are_passed_on_and_not_kept() {
    let origin = Origin::start(Behaviour::default());
    let proxy = Proxy::start();
    for _ in 0..2 {
        let missing = proxy.get(&origin.url("/pool/missing.deb"));
        assert_eq!((missing.status, missing.body.as_slice()), (404, b"gone".as_slice()));
        let moved = proxy.get(&origin.url("/pool/moved.deb"));
        assert_eq!((moved.status, moved.header("location")), (302, Some("http://x/y")));
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn what_it_does_not_do_is_said_clearly() {
    let proxy = Proxy::start();
    let connect = proxy.ask("CONNECT", "deb.example.org:443", &[]);
    let text = String::from_utf8(connect.body).unwrap();
    assert!(connect.status == 405 && text.contains("http://"), "{text}");
    assert_eq!(proxy.ask("POST", "http://x/", &[]).status, 405);
    assert_eq!(proxy.get("/debian").status, 400);
    let about = proxy.get("/");
    assert!(about.status == 200 && String::from_utf8(about.body).unwrap().contains("http_proxy"));
}

#[test]
fn names_are_mapped_to_mirrors() {
    let origin = Origin::start(Behaviour::default());
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.map.insert("deb.example/debian", &origin.url("/mirror")).unwrap();
    let handle = start(config).unwrap();
    let proxy = Proxy { dir, handle: Some(handle) };
    let answer = proxy.get("http://deb.example/debian/pool/x.deb");
    assert!(answer.status == 200 && answer.whole);
    assert_eq!(origin.asked.lock().unwrap()[0].path, "/mirror/pool/x.deb");
}

/// Goal: a proxy behind the proxy is asked with whole addresses. Method: it is a bare socket.
#[test]
fn a_proxy_upstream_gets_whole_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        String::from_utf8(head[..length].to_vec()).unwrap()
    });
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.upstream = Some(format!("http://{address}").parse().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let handle = hostwright_server::package_proxy::start_on(listener, config).unwrap();
    let proxy = Proxy { dir, handle: Some(handle) };
    assert_eq!(proxy.get("http://nowhere.invalid/pool/x.deb").body, b"ok");
    let head = upstream.join().unwrap();
    assert!(head.starts_with("GET http://nowhere.invalid/pool/x.deb HTTP/1.1\r\n"), "{head}");
}

/// Goal: two proxies with one cache do not disturb each other.
#[test]
fn a_cache_can_be_shared() {
    let pause = Duration::from_millis(200);
    let origin = Origin::start(Behaviour { pause, ..Behaviour::default() });
    let first = Proxy::start();
    let url = Arc::new(origin.url("/pool/x.deb"));
    let theirs = Arc::clone(&url);
    thread::scope(|scope| {
        let getting = scope.spawn(|| first.get(&theirs));
        thread::sleep(Duration::from_millis(150));
        // Starting sweeps what is unfinished, but not what somebody is writing.
        let second = start(config(first.dir.path())).unwrap();
        drop(second);
        assert!(getting.join().unwrap().whole);
    });
    first.settle();
    assert!(first.get(&url).whole);
    assert_eq!(origin.count(), 1);
}
