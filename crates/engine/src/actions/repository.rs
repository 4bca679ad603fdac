//! Where the target's package manager looks: name resolution, sources, preferences, keys, and for
//! the installation only a proxy and FAI's permission for unsigned archives.

use super::Done;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_model::plan::PackageSources;

/// apt's configuration that exists only while the installation runs.
pub(super) const TEMPORARY: [&str; 3] = ["10fai", "90fai", "90hostwright-proxy"];

const UNSIGNED: &str = "APT::Get::AllowUnauthenticated \"true\";\n\
                        Acquire::AllowInsecureRepositories \"true\";\n\
                        Aptitude::CmdLine::Ignore-Trust-Violations yes;\n";

/// Writes all of it. Files of the space win over those of this machine and over generated ones.
pub(super) fn write(
    work: &mut Work<'_>,
    keys: &[String],
    sources: Option<&PackageSources>,
) -> Result<Done, ActionError> {
    resolv_conf(work)?;
    hosts(work)?;
    if !fcopy(work, "-SBM", "/etc/apt/sources.list")?
        && !copy_of_server(work, "sources.list")?
        && let Some(sources) = sources
    {
        let path = work.target("etc/apt/sources.list");
        work.host.write(&path, sources_list(sources).as_bytes(), 0o644)?;
    }
    if !fcopy(work, "-BM", "/etc/apt/preferences")? {
        copy_of_server(work, "preferences")?;
    }
    fcopy(work, "-SBMir", "/etc/apt")?;
    temporary(work)?;
    for key in keys {
        let content = work.host.read(&work.settings.in_space(key))?.unwrap_or_default();
        let path = work.target(&format!("etc/apt/trusted.gpg.d/{}", key_name(key, &content)));
        work.host.write(&path, &content, 0o644)?;
    }
    Ok(Done::changed())
}

/// The name of a key in the target. apt ignores an armoured key under `.gpg` and a binary one under
/// `.asc`, so the content decides.
fn key_name(path: &str, content: &[u8]) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let is_armoured = content.trim_ascii_start().starts_with(b"-----BEGIN PGP");
    format!("{stem}.{}", if is_armoured { "asc" } else { "gpg" })
}

/// Copies a file of the space by FAI's own tool. True if the space has one for the classes.
fn fcopy(work: &mut Work<'_>, options: &str, path: &str) -> Result<bool, ActionError> {
    Ok(work.eval(format!("fcopy {options} {path} 2>/dev/null"))?.status == 0)
}

/// Copies a file of an FAI server's directory `apt`, where its `fai` was called. True if there is one.
fn copy_of_server(work: &mut Work<'_>, name: &str) -> Result<bool, ActionError> {
    let Some(dir) = work.settings.defaults.get("FAI_ETC_DIR") else { return Ok(false) };
    let Some(content) = work.host.read(&format!("{dir}/apt/{name}"))? else { return Ok(false) };
    let path = work.target(&format!("etc/apt/{name}"));
    work.host.write(&path, &content, 0o644)?;
    Ok(true)
}

fn resolv_conf(work: &mut Work<'_>) -> Result<(), ActionError> {
    const PATH: &str = "/etc/resolv.conf";
    if fcopy(work, "-BM", PATH)? {
        return Ok(());
    }
    let Some(content) = work.host.read(PATH)? else {
        return Ok(());
    };
    // With systemd-resolved the target's file is a link to this one.
    let resolved = work.target("run/systemd/resolve");
    let path = match work.exists(&resolved)? {
        true => format!("{resolved}/stub-resolv.conf"),
        false => work.target(PATH),
    };
    if work.host.read(&path)?.as_ref() != Some(&content) {
        work.host.write(&path, &content, 0o644)?;
    }
    Ok(())
}

/// This machine's hosts file serves the installation; the target's own waits as `hosts.orig` for a
/// script of the space to put it back.
fn hosts(work: &mut Work<'_>) -> Result<(), ActionError> {
    const PATH: &str = "/etc/hosts";
    if fcopy(work, "-M", PATH)? {
        return Ok(());
    }
    let Some(content) = work.host.read(PATH)? else {
        return Ok(());
    };
    let (path, saved) = (work.target(PATH), work.target("etc/hosts.orig"));
    let old = work.host.read(&path)?;
    if old.as_ref() == Some(&content) {
        return Ok(());
    }
    if let Some(old) = old {
        work.host.write(&saved, &old, 0o644)?;
    }
    work.host.write(&path, &content, 0o644)?;
    Ok(())
}

fn temporary(work: &mut Work<'_>) -> Result<(), ActionError> {
    let unsigned = work.target(&format!("etc/apt/apt.conf.d/{}", TEMPORARY[0]));
    match work.shell_vars.get("FAI_ALLOW_UNSIGNED").map(String::as_str) {
        Some("1") => work.host.write(&unsigned, UNSIGNED.as_bytes(), 0o644)?,
        _ => work.host.remove(&unsigned)?,
    }
    use_proxy(work)
}

/// Lets apt in a new base system come to its archives as this machine does. Already here because
/// hooks may do everything that comes after the base system by themselves.
pub(super) fn use_proxy(work: &mut Work<'_>) -> Result<(), ActionError> {
    let path = work.target(&format!("etc/apt/apt.conf.d/{}", TEMPORARY[2]));
    if let Some(proxy) = &work.settings.package_proxy
        && work.exists(&work.target("etc/apt"))?
    {
        let line = format!("Acquire::http::Proxy \"{proxy}\";\n");
        work.host.write(&path, line.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// sources.list where the space has none.
fn sources_list(sources: &PackageSources) -> String {
    let components = sources.components.join(" ");
    let mut text = format!("deb {} {} {components}\n", sources.mirror, sources.suite);
    if let Some(security) = &sources.security {
        text.push_str(&format!("deb {} {} {components}\n", security.mirror, security.suite));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::plan::SecuritySource;

    #[test]
    fn keys_have_the_ending_that_apt_believes() {
        let armoured = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(key_name("package_config/A.gpg", armoured), "A.asc");
        assert_eq!(key_name("package_config/A.asc", armoured), "A.asc");
        assert_eq!(key_name("package_config/A.B.gpg", b"\x99\x02"), "A.B.gpg");
    }

    #[test]
    fn sources_have_the_security_archive_below_the_main_one() {
        let sources = PackageSources {
            suite: "bookworm".to_owned(),
            mirror: "http://deb.example.org/debian".to_owned(),
            components: vec!["main".to_owned(), "contrib".to_owned()],
            security: Some(SecuritySource {
                suite: "bookworm-security".to_owned(),
                mirror: "http://security.example.org/debian-security".to_owned(),
            }),
        };
        assert_eq!(
            sources_list(&sources),
            "deb http://deb.example.org/debian bookworm main contrib\n\
             deb http://security.example.org/debian-security bookworm-security main contrib\n"
        );
    }
}
