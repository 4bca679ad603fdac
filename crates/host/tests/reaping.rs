//! What PID 1 does with processes. Alone in its program: reaping takes every child that ends.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use hostwright_host::boot::process::{Ended, poll_ended, run, start, start_logged};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn a_child_that_ended_is_found_with_its_status() {
    assert_eq!(run("sh", &["-c", "exit 7"]).unwrap(), 7);
    assert_eq!(run("sh", &["-c", "kill -9 $$"]).unwrap(), 128 + 9);
    let error = start("/no/such/program", &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot start /no/such/program");

    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log").display().to_string();
    let pid = start_logged("sh", &["-c", "echo said; exit 3"], &log).unwrap();
    let ended = (0..500).find_map(|_| {
        sleep(Duration::from_millis(10));
        poll_ended()
    });
    assert_eq!(ended, Some(Ended { pid, status: 3 }));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "said\n");
    assert_eq!(poll_ended(), None);
}
