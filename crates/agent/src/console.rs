//! Plain lines on every console of the machine: the screen, and whatever serial line somebody
//! watches.
//!
//! A serial line can be slow, or stopped by its other end for hours. Nobody waits for it: a thread
//! writes, and lines that find the queue full are lost.

use crate::record::Record;
use hostwright_host::boot::{process, root};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, sleep};
use std::time::Duration;

/// Lines that may wait for the slowest console.
const WAITING_MAX: usize = 1000;
/// Of open(2), on x86-64.
const O_NOCTTY: i32 = 0o400;

/// All consoles.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    queues: Vec<SyncSender<String>>,
    /// Lines in all queues.
    waiting: Arc<AtomicUsize>,
    /// What is said here is shown on the page too.
    record: Record,
}

impl Console {
    /// Opens the consoles that the kernel uses. A machine without any is told nothing.
    pub(crate) fn open() -> Self {
        Self::on(root::consoles(), Record::open())
    }

    /// One that nobody hears.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::on(Vec::new(), Record::default())
    }

    /// The record of this machine.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    fn on(devices: Vec<String>, record: Record) -> Self {
        let waiting = Arc::new(AtomicUsize::new(0));
        let queues = devices.into_iter().filter_map(|device| {
            let mut options = OpenOptions::new();
            // Not to become the terminal that can interrupt this program.
            options.write(true).custom_flags(O_NOCTTY);
            let file = options.open(device).ok()?;
            let (queue, lines) = sync_channel(WAITING_MAX);
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || write_lines(file, &lines, &waiting));
            Some(queue)
        });
        Self { queues: queues.collect(), waiting, record }
    }

    /// Writes one line with the time since the kernel started.
    pub(crate) fn say(&self, text: &str) {
        self.record.said(text);
        let uptime_s = process::uptime_ms() as f64 / 1000.0;
        let line = format!("hostwright[{uptime_s:.1}]: {text}\r\n");
        for queue in &self.queues {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            // Full: see above. Disconnected: the console went away.
            if queue.try_send(line.clone()).is_err() {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Lets the consoles show what they were told, for whoever is about to end.
    pub(crate) fn settle(&self) {
        const PAUSE: Duration = Duration::from_millis(10);
        const ATTEMPTS_MAX: u32 = 300;
        for _ in 0..ATTEMPTS_MAX {
            if self.waiting.load(Ordering::Acquire) == 0 {
                return;
            }
            sleep(PAUSE);
        }
    }
}

/// Writes what comes. A console that takes nothing any more is still read from, so that nobody
/// waits for it.
fn write_lines(mut file: File, lines: &Receiver<String>, waiting: &AtomicUsize) {
    for line in lines {
        let _ = file.write_all(line.as_bytes());
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_console_gets_every_line_and_one_that_is_missing_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for name in ["ttyS0", "tty1"] {
            fs::write(path(name), "").unwrap();
        }
        let devices = vec![path("ttyS0"), path("absent"), path("tty1")];
        let console = Console::on(devices, Record::default());
        console.say("eth0: 10.0.0.2/24");
        console.settle();
        for name in ["ttyS0", "tty1"] {
            let text = fs::read_to_string(path(name)).unwrap();
            assert!(text.starts_with("hostwright["), "{text}");
            assert!(text.ends_with("]: eth0: 10.0.0.2/24\r\n"), "{text}");
        }
    }
}
