//! An imageserver as Dominator's are on the wire, with its JSON coder. The real one is written in Go
//! and in no package archive; this one follows what was seen of it.

use hostwright_model::image::EntryKind;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

const PASSWD: &[u8] = b"root:x:0:0";
const LARGE_BYTES: usize = 1_500_000;

/// Starts one; its address, and what an import of `bootable/Debian` has to bring.
pub fn start() -> (SocketAddr, Vec<(String, u32, EntryKind)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.expect("stream")));
        }
    });
    (address, expected())
}

fn objects() -> BTreeMap<String, Vec<u8>> {
    let contents = [PASSWD.to_vec(), vec![7; LARGE_BYTES]];
    contents.into_iter().map(|content| (hash(&content), content)).collect()
}

fn hash(content: &[u8]) -> String {
    Sha512::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expected() -> Vec<(String, u32, EntryKind)> {
    let blake3 = |content: &[u8]| hostwright_model::ids::Digest(*blake3::hash(content).as_bytes());
    let file =
        |content: &[u8]| EntryKind::File { size: content.len() as u64, digest: blake3(content) };
    let link = |target: &str| EntryKind::Hardlink { target: target.to_owned() };
    let entries = [
        ("", 0o755, EntryKind::Directory),
        ("bin", 0o777, EntryKind::Symlink { target: "usr/bin".to_owned() }),
        ("dev", 0o755, EntryKind::Directory),
        ("dev/null", 0o666, EntryKind::CharDevice { major: 1, minor: 3 }),
        ("etc", 0o755, EntryKind::Directory),
        ("etc/computed", 0o600, file(b"")),
        ("etc/copy", 0o600, file(PASSWD)),
        ("etc/empty", 0o644, file(b"")),
        ("etc/group-link", 0o644, file(PASSWD)),
        ("etc/passwd", 0o644, link("etc/group-link")),
        ("large", 0o755, file(&vec![7; LARGE_BYTES])),
        ("none", 0o700, EntryKind::Directory),
    ];
    entries.map(|(path, mode, kind)| (path.to_owned(), mode, kind)).into()
}

/// The answer to GetImage. Kinds of inodes are told apart by their fields alone.
fn image(name: &str) -> Value {
    let file = |mode: u32, content: &[u8]| {
        let hash = if content.is_empty() { "0".repeat(128) } else { hash(content) };
        json!({ "Mode": 0o100_000 | mode, "Uid": 0, "Gid": 0, "MtimeNanoSeconds": 5,
                "MtimeSeconds": 1_000_000_000, "Size": content.len(), "Hash": hash })
    };
    let dir = |mode: u32, entries: &[(&str, u64)]| {
        let list: Vec<Value> = entries
            .iter()
            .map(|(name, number)| json!({ "Name": name, "InodeNumber": number }))
            .collect();
        let list = if list.is_empty() { Value::Null } else { list.into() };
        json!({ "EntryList": list, "EntriesByName": null, "Mode": 0o040_000 | mode, "Uid": 0, "Gid": 0 })
    };
    let root = dir(0o755, &[("bin", 1), ("dev", 2), ("etc", 3), ("large", 4), ("none", 5)]);
    let mut file_system = root;
    file_system["InodeTable"] = json!({
        "1": { "Uid": 0, "Gid": 0, "Symlink": "usr/bin" },
        "2": dir(0o755, &[("null", 20)]),
        "20": { "Mode": 0o020_666, "Uid": 0, "Gid": 0, "MtimeNanoSeconds": 0, "MtimeSeconds": 0,
                "Rdev": 0x103 },
        "3": dir(0o755, &[("passwd", 30), ("empty", 31), ("computed", 32), ("group-link", 30), ("copy", 33)]),
        "30": file(0o644, PASSWD),
        "31": file(0o644, b""),
        "32": { "Mode": 0o100_600, "Uid": 0, "Gid": 0, "Source": "generators:6972" },
        "33": file(0o600, PASSWD),
        "4": file(0o755, &vec![7; LARGE_BYTES]),
        "5": dir(0o700, &[]),
    });
    file_system["NumRegularInodes"] = json!(5);
    file_system["TotalDataBytes"] = json!(LARGE_BYTES + 2 * PASSWD.len());
    match name {
        "bootable/Debian" => {}
        "tampered" => {
            // The metadata names an object that the server gives other bytes for.
            file_system["InodeTable"]["30"]["Hash"] = json!("ab".repeat(64));
        }
        _ => return json!({ "Image": null, "InformationDatabaseURL": "" }),
    }
    let image = json!({ "CreatedBy": "somebody", "FileSystem": file_system, "Filter": null });
    json!({ "Image": image, "InformationDatabaseURL": "" })
}

fn serve(stream: TcpStream) -> Option<()> {
    let mut output = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    if lines.next()?.ok()? != "CONNECT /_SRPC_/unsecured/JSON HTTP/1.0" {
        output.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").ok()?;
        return None;
    }
    while !lines.next()?.ok()?.is_empty() {}
    output.write_all(b"HTTP/1.0 200 Connected to Go SRPC\r\n\r\n").ok()?;
    loop {
        match lines.next()?.ok()?.as_str() {
            "ImageServer.GetImage" => {
                output.write_all(b"\n").ok()?;
                let request: Value = serde_json::from_str(&lines.next()?.ok()?).ok()?;
                let name = request["ImageName"].as_str()?;
                if name == "refused" {
                    output.write_all(b"access denied to the image\n").ok()?;
                    continue;
                }
                writeln!(output, "\n{}", image(name)).ok()?;
            }
            "ObjectServer.GetObjects" => {
                output.write_all(b"\n").ok()?;
                let request: Value = serde_json::from_str(&lines.next()?.ok()?).ok()?;
                give_objects(&request, &mut output)?;
            }
            "" => output.write_all(b"\n").ok()?,
            method => writeln!(output, "{method}: unknown method").ok()?,
        }
    }
}

/// Sizes first, then the bytes of all objects in the order of the request.
fn give_objects(request: &Value, output: &mut TcpStream) -> Option<()> {
    let objects = objects();
    let find = |hash: &Value| match hash.as_str() {
        Some(hash) if hash.starts_with("abab") => Some(b"root:x:0:1".to_vec()),
        Some(hash) => objects.get(hash).cloned(),
        None => None,
    };
    let found: Option<Vec<Vec<u8>>> = request["Hashes"].as_array()?.iter().map(find).collect();
    let Some(found) = found else {
        let refusal = json!({ "ResponseString": "an object is unknown", "ObjectSizes": null });
        return writeln!(output, "{refusal}").ok();
    };
    let sizes: Vec<usize> = found.iter().map(Vec::len).collect();
    writeln!(output, "{}", json!({ "ResponseString": "", "ObjectSizes": sizes })).ok()?;
    found.iter().try_for_each(|content| output.write_all(content)).ok()
}
