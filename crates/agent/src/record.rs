//! What is told on this machine, in one file that outlives each process: the page and the remote
//! shell show it.
//!
//! ```text
//! /run/hostwright/record.jsonl    one JSON object a line, appended whole by whoever says something
//!   {"record":"began","run":"web1-3","machine":"web1","attempt":1}
//!   {"record":"said","at_ms":…,"text":"eth0: 10.0.0.21/24"}
//!   {"record":"event","seq":1,"at_ms":…,"event":"phase-started","phase":"partition"}
//! ```

use crate::WORK_DIR;
use hostwright_host::boot::clock;
use hostwright_model::event::{Event, EventBody};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// The file lies in RAM; beyond this length only what matters is added.
const OUTPUT_UNTIL_BYTES: u64 = 64 << 20;

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Line {
    /// An attempt began.
    Began {
        /// The run; empty where there is no server.
        run: String,
        /// The machine.
        machine: String,
        /// Which attempt.
        attempt: u32,
    },
    /// The agent told it on the consoles.
    Said {
        /// When, milliseconds since the epoch.
        at_ms: i64,
        /// What.
        text: String,
    },
    /// An event of the attempt.
    Event(Event),
}

/// The file, or none where it cannot be written: an installation does not fail for that.
#[derive(Clone, Debug, Default)]
pub struct Record {
    file: Option<Arc<File>>,
}

impl Record {
    /// The record of this machine.
    pub fn open() -> Self {
        Self::at(&Path::new(WORK_DIR).join(FILE))
    }

    /// A record in a certain file.
    pub fn at(path: &Path) -> Self {
        let made = path.parent().map(fs::create_dir_all).transpose();
        let mut options = OpenOptions::new();
        // What scripts print may be private.
        let file = made.and_then(|_| options.append(true).create(true).mode(0o600).open(path));
        Self { file: file.ok().map(Arc::new) }
    }

    /// Adds a line.
    pub fn add(&self, line: &Line) {
        let Some(file) = &self.file else { return };
        let is_output = matches!(line, Line::Event(Event { body: EventBody::Output { .. }, .. }));
        if is_output && file.metadata().is_ok_and(|meta| meta.len() > OUTPUT_UNTIL_BYTES) {
            return;
        }
        let mut text = serde_json::to_string(line).expect("invariant: plain data serialises");
        text.push('\n');
        // One call, so that lines of two processes do not mix. Without room the page misses it.
        let _ = file.as_ref().write_all(text.as_bytes());
    }

    /// Adds what was told on the consoles.
    pub(crate) fn said(&self, text: &str) {
        self.add(&Line::Said { at_ms: clock::now_ms(), text: text.to_owned() });
    }
}

/// Its name.
pub const FILE: &str = "record.jsonl";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_writers_share_a_record_and_a_machine_without_room_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/record.jsonl");
        let (one, two) = (Record::at(&path), Record::at(&path));
        let event = Event { seq: 1, at_ms: 2, body: EventBody::Rebooting };
        one.add(&Line::Event(event.clone()));
        two.said("hello");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Line> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], Line::Event(event));
        assert!(matches!(&lines[1], Line::Said { text, .. } if text == "hello"));
        Record::at(Path::new("/dev/null/x")).said("nobody hears this");
    }
}
