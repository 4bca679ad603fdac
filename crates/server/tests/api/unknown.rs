//! A machine that nobody described, from its packet to the operator's list.

use crate::site::Site;
use std::process::Command;
use std::time::{Duration, Instant};

const STRANGER: &str = "52:54:00:00:00:09";

/// Both ends of a cable, in a network of this thread only.
fn cable() {
    #[expect(unsafe_code, reason = "rustix marks unshare unsafe for flags that are not used here")]
    // SAFETY: CLONE_NEWNET shares out neither file descriptors nor memory.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
    let stranger = format!("link set eth0 address {STRANGER} up");
    for words in [
        "link set lo up",
        "link add boot0 type veth peer name eth0",
        "address add 10.97.0.1/24 dev boot0",
        "link set boot0 up",
        &stranger,
    ] {
        let done = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(done.success(), "ip {words}");
    }
}

/// In a thread of its own: what it starts is in its network.
#[test]
fn netns_a_machine_that_nobody_described_is_listed() {
    let listed = std::thread::spawn(|| {
        cable();
        let site = Site::new();
        let dhcp = "[dhcp]\ninterface = \"boot0\"\nsubnet = \"10.97.0.0/24\"\n";
        let text = site.config_text().replace("127.0.0.1:0", "10.97.0.1:8080");
        let server = site.start_with(&format!("{text}{dhcp}"));
        assert_eq!(server.operator().unknown_machines().unwrap(), []);
        // No answer is what it shall get; "-n" ends it then.
        let asked = ["-f", "-n", "-q", "-t", "1", "-T", "1", "-i", "eth0", "-s", "/bin/true"];
        Command::new("udhcpc").args(asked).status().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let unknown = server.operator().unknown_machines().unwrap();
            if !unknown.is_empty() || Instant::now() > deadline {
                return unknown;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let unknown = listed.join().unwrap();
    let macs: Vec<String> = unknown.iter().map(|seen| seen.mac.to_string()).collect();
    assert_eq!(macs, [STRANGER]);
    assert!(unknown[0].last_seen_ms > 0 && !unknown[0].asked_for.is_empty(), "{unknown:?}");
}

/// A boot script can be asked for without DHCP of ours; and the list outlives the server.
#[test]
fn a_boot_script_asked_for_by_a_stranger_is_listed_and_kept() {
    let site = Site::new();
    let server = site.start();
    server.boot(STRANGER);
    let before = server.operator().unknown_machines().unwrap();
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].mac.to_string(), STRANGER);
    drop(server);
    let again = site.start().operator().unknown_machines().unwrap();
    assert_eq!(again[0].mac, before[0].mac);
}
