//! An origin in this process that does as it is told, a proxy before it, and a client.

use hostwright_server::package_proxy::{Handle, MirrorMap, PackageProxyConfig, start};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What the origin was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub since: Option<String>,
}

/// How the origin behaves.
#[derive(Clone)]
pub struct Behaviour {
    pub content: Vec<u8>,
    pub last_modified: Option<&'static str>,
    /// Breaks off behind this many bytes, this often.
    pub breaks: Arc<(usize, AtomicUsize)>,
    /// Waits before and in the middle of the content.
    pub pause: Duration,
    pub chunked: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            content: (0..500_000u32).map(|i| (i % 241) as u8).collect(),
            last_modified: Some("Fri, 20 Nov 2026 10:00:00 GMT"),
            breaks: Arc::new((0, AtomicUsize::new(0))),
            pause: Duration::ZERO,
            chunked: false,
        }
    }
}

pub struct Origin {
    pub address: SocketAddr,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    behaviour: Arc<Mutex<Option<Behaviour>>>,
}

impl Origin {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, shared): (Arc<Mutex<Vec<Asked>>>, _) =
            (Arc::default(), Arc::new(Mutex::new(Some(behaviour))));
        let origin = Self { address, asked: Arc::clone(&asked), behaviour: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let behaviour = shared.lock().unwrap().clone();
                let asked = Arc::clone(&asked);
                // Without a behaviour it hangs up at once: nobody is there.
                if let Some(behaviour) = behaviour {
                    thread::spawn(move || answer(stream, &behaviour, &asked));
                }
            }
        });
        origin
    }

    pub fn behave(&self, behaviour: Option<Behaviour>) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(mut stream: TcpStream, behaviour: &Behaviour, asked: &Mutex<Vec<Asked>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let headers: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let mut values = headers.iter().filter_map(|line| line.split_once(": "));
        values.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let request = Asked {
        path: first.split(' ').nth(1).unwrap().to_owned(),
        range: header("range"),
        if_range: header("if-range"),
        since: header("if-modified-since"),
    };
    asked.lock().unwrap().push(request.clone());
    thread::sleep(behaviour.pause);
    // Whoever hung up is what some tests want.
    let _ = send(&mut stream, behaviour, &request);
}

fn send(stream: &mut TcpStream, behaviour: &Behaviour, asked: &Asked) -> std::io::Result<()> {
    let content = &behaviour.content;
    let modified =
        behaviour.last_modified.map_or(String::new(), |t| format!("last-modified: {t}\r\n"));
    let end = "connection: close\r\n\r\n";
    if asked.path.contains("missing") {
        return write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n{end}gone");
    }
    if asked.path.contains("moved") {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: http://x/y\r\ncontent-length: 0\r\n{end}"
        );
    }
    if asked.since.is_some() && asked.since.as_deref() == behaviour.last_modified {
        return write!(stream, "HTTP/1.1 304 Not Modified\r\n{modified}{end}");
    }
    let range = asked.range.as_ref().and_then(|range| range.strip_prefix("bytes="));
    let from: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    if behaviour.chunked {
        write!(stream, "HTTP/1.1 200 OK\r\n{modified}transfer-encoding: chunked\r\n{end}")?;
        for chunk in content.chunks(10_000) {
            write!(stream, "{:x}\r\n", chunk.len())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        return stream.write_all(b"0\r\n\r\n");
    }
    let total = content.len();
    match from {
        0 => write!(stream, "HTTP/1.1 200 OK\r\n")?,
        from => write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{total}\r\n",
            total - 1
        )?,
    }
    write!(
        stream,
        "{modified}content-type: text/x-test\r\ncontent-length: {}\r\n{end}",
        total - from
    )?;
    let (length, left) = &*behaviour.breaks;
    let breaks = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let to = if breaks.is_ok() { (from + length).min(total) } else { total };
    let middle = from + (to - from) / 2;
    stream.write_all(&content[from..middle])?;
    thread::sleep(behaviour.pause);
    stream.write_all(&content[middle..to])
}

/// A proxy with a cache of its own.
pub struct Proxy {
    pub dir: TempDir,
    pub handle: Option<Handle>,
}

pub fn config(dir: &Path) -> PackageProxyConfig {
    PackageProxyConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        cache_dir: dir.join("cache"),
        map: MirrorMap::default(),
        upstream: None,
    }
}

impl Proxy {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let handle = start(config(dir.path())).unwrap();
        Self { dir, handle: Some(handle) }
    }

    pub fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    pub fn restart(&mut self) {
        self.handle = None;
        self.handle = Some(start(config(self.dir.path())).unwrap());
    }

    pub fn get(&self, url: &str) -> Answer {
        self.ask("GET", url, &[])
    }

    /// Waits until what was fetched is kept: that is a moment behind its last byte.
    pub fn settle(&self) {
        let ended = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            self.handle().stats().under_way == 0
        });
        assert!(ended, "a download does not end");
    }

    /// Sends a request as apt does, and reads the answer to its end.
    pub fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(self.handle().address()).unwrap();
        write!(stream, "{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").unwrap();
        for (name, value) in headers {
            write!(stream, "{name}: {value}\r\n").unwrap();
        }
        stream.write_all(b"\r\n").unwrap();
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).unwrap();
        Answer::parse(&raw)
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// False if less came than was announced.
    pub whole: bool,
}

impl Answer {
    fn parse(raw: &[u8]) -> Self {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&raw[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: raw[end + 4..].to_vec(), whole: true };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.join_chunks();
        } else if let Some(length) = answer.header("content-length") {
            answer.whole = length.parse() == Ok(answer.body.len());
        }
        answer
    }

    fn join_chunks(&mut self) {
        let (mut joined, mut rest) = (Vec::new(), self.body.as_slice());
        self.whole = loop {
            let Some(at) = rest.windows(2).position(|window| window == b"\r\n") else {
                break false;
            };
            let size =
                usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
            rest = &rest[at + 2..];
            if size == 0 {
                break true;
            }
            if rest.len() < size + 2 {
                break false;
            }
            joined.extend_from_slice(&rest[..size]);
            rest = &rest[size + 2..];
        };
        self.body = joined;
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
