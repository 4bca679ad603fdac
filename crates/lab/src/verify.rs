//! Asks the installed system itself, over ssh, whether it is what the config space promised.

use crate::network::Network;
use crate::process::bound;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

/// The account that the example space makes, and the password it documents.
const USER: &str = "demo";
const PASSWORD: &str = "fai";

/// What an installed system said of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Answer {
    /// Its host name.
    pub hostname: String,
    /// `PRETTY_NAME` of os-release(5).
    pub release: String,
}

/// Waits until the system at `address` answers, and compares it with the space.
///
/// The markers are things only the space's own scripts and files can have left: the message of the
/// day that it copies by class, and the full name of the account that a script of class DEMO makes.
pub fn installed_system(
    network: &Network,
    address: Ipv4Addr,
    space: &Path,
    limit: Duration,
) -> Result<Answer> {
    let words = ssh_words(&address.to_string(), 22);
    let ask = || {
        let words = words.clone();
        said(network.inside().run(move || bound(&words).output())??)
    };
    compare(&ask, space, limit)
}

/// The same for a machine whose port for ssh is `port` of this machine.
pub fn forwarded_system(port: u16, space: &Path, limit: Duration) -> Result<Answer> {
    let words = ssh_words("127.0.0.1", port);
    compare(&|| said(bound(&words).output()?), space, limit)
}

fn compare(ask: &dyn Fn() -> Result<String>, space: &Path, limit: Duration) -> Result<Answer> {
    let deadline = Instant::now() + limit;
    let said = loop {
        match ask() {
            Ok(said) => break said,
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| {
                    format!("the installed system did not answer within {} s", limit.as_secs())
                });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    };
    let mut parts = said.splitn(4, '\n');
    let mut next = || parts.next().unwrap_or_default().trim().to_owned();
    let (hostname, release, account) = (next(), next(), next());
    let motd = next();
    check(&hostname, &release, &account, &motd, space)?;
    Ok(Answer { hostname, release })
}

fn check(hostname: &str, release: &str, account: &str, motd: &str, space: &Path) -> Result<()> {
    if hostname != crate::parts::HOST {
        bail!("the installed system calls itself '{hostname}'");
    }
    if !release.starts_with("Debian GNU/Linux ") {
        bail!("the installed system calls its release '{release}', not Debian");
    }
    if !account.contains("demo user") {
        bail!("the account that scripts/DEMO/10-misc makes is missing: '{account}'");
    }
    let wanted = fs::read_to_string(space.join("files/etc/motd/FAIBASE"))?;
    if motd != wanted.trim() {
        bail!("/etc/motd is not the one of class FAIBASE: '{motd}'");
    }
    Ok(())
}

const QUESTION: &str = "hostname; . /etc/os-release; echo \"$PRETTY_NAME\"; \
                        getent passwd demo; cat /etc/motd";

fn ssh_words(address: &str, port: u16) -> Vec<String> {
    let options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=5",
        "PreferredAuthentications=password",
        "LogLevel=ERROR",
    ];
    let mut words: Vec<String> =
        ["sshpass", "-p", PASSWORD, "ssh"].into_iter().map(str::to_owned).collect();
    words.extend(options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
    words.extend(["-p".to_owned(), port.to_string()]);
    words.extend([format!("{USER}@{address}"), QUESTION.to_owned()]);
    words
}

fn said(output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("ssh: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_space_promises_is_accepted() {
        let space = tempfile::TempDir::new().expect("tempdir");
        let motd = space.path().join("files/etc/motd/FAIBASE");
        fs::create_dir_all(motd.with_file_name("")).expect("directory");
        fs::write(motd, "Plan your installation\n").expect("motd");
        let good = [
            "demohost",
            "Debian GNU/Linux 12 (bookworm)",
            "demo:x:1000:1000:demo user:/home/demo:/bin/bash",
            "Plan your installation",
        ];
        let passes = |said: [&str; 4]| {
            let [hostname, release, account, motd] = said;
            let answer = format!("{hostname}\n{release}\n{account}\n{motd}\n");
            let limit = Duration::ZERO;
            compare(&|| Ok(answer.clone()), space.path(), limit).is_ok()
        };
        assert!(passes(good));
        for (index, bad) in [(0, "debian"), (1, ""), (1, "Ubuntu 24.04"), (2, ""), (3, "Debian")] {
            let mut said = good;
            said[index] = bad;
            assert!(!passes(said), "'{bad}' in place {index}");
        }
        let silent = compare(&|| bail!("ssh: refused"), space.path(), Duration::ZERO);
        assert!(silent.is_err());
    }
}
