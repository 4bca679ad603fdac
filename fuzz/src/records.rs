//! Targets: what Hostwright itself wrote and a broken disk may have changed, and its settings.

use crate::{machine, text};
use hostwright_engine::fuzzing;
use hostwright_host::sim::{RootKind, SimHost};
use hostwright_model::event::Event;
use hostwright_model::facts::Facts;
use hostwright_model::ids::Digest;
use hostwright_model::plan::Plan;
use hostwright_server::Config;
use hostwright_store::{Manifest, Map};

/// A run's journal.
pub(crate) fn journal(bytes: &[u8]) {
    let mut host = SimHost::new(machine(), RootKind::Disk);
    host.add_file("/journal", bytes, 0o600);
    fuzzing::is_journal(&mut host, "/journal");
}

/// A manifest whose digest is right, and a map behind a byte of 0. What is read is written with the
/// same meaning, and no map leads anywhere outside of its frames.
pub(crate) fn manifest(bytes: &[u8]) {
    let digest = |bytes: &[u8]| Digest(*blake3::hash(bytes).as_bytes());
    let mut parts = bytes.split(|byte| *byte == 0);
    let (bytes, map) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name = digest(bytes);
    let Ok(manifest) = Manifest::from_json(bytes, name) else { return };
    if let Ok(map) = Map::from_json(map, name) {
        let _ = map.places(&manifest.object_list(), name);
    }
    let json = manifest.to_json();
    let again = Manifest::from_json(&json, digest(&json)).expect("our own manifest can be read");
    assert_eq!(again.to_json(), json);
}

/// Facts, plans and events as JSON.
pub(crate) fn nouns_json(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Facts>(bytes);
    let _ = serde_json::from_slice::<Plan>(bytes);
    let _ = serde_json::from_slice::<Event>(bytes);
}

/// What sfdisk(8) says of a disk.
pub(crate) fn table_dump(bytes: &[u8]) {
    fuzzing::is_table_dump("/dev/sda", &text(bytes));
}

/// The boot server's configuration.
pub(crate) fn serve_config(bytes: &[u8]) {
    let _ = Config::parse(&text(bytes), "serve.toml");
}
