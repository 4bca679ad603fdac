//! The files of one line: `imagename`, `imageserver`, `tools-imagename`.

use crate::finding::{Finding, Line};
use crate::machine_file::MachineFile;
use crate::storage::Spanned;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::plan::Why;

/// Name of the file with the image's name.
pub(super) const IMAGE_FILE: &str = "imagename";
/// Name of the file with the server of images.
pub(super) const SERVER_FILE: &str = "imageserver";
/// Name of the file with the name of the image that has tools.
pub(super) const TOOLS_FILE: &str = "tools-imagename";
/// Port of a server of images that names none.
const SERVER_PORT: u16 = 6971;

/// The image that a machine is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// Its name, or that of a stream of images.
    pub name: String,
    /// What says so.
    pub why: Why,
}

/// Where images are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The image's name: of its own file, else of the settings, else the tag. Dominator installs nothing
/// at all where there is none, and says nothing.
pub(super) fn image_name(
    text: Option<&str>,
    tag: Option<&Spanned<String>>,
    settings: Option<&MachineFile>,
    found: &mut Vec<Diagnostic>,
) -> Option<ImageName> {
    let name = text.map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = name {
        if is_name(name) {
            return Some(ImageName { name: name.to_owned(), why: Why::line(IMAGE_FILE, 1, None) });
        }
        let cure = "write one name such as base/bookworm, and nothing else";
        let finding = Finding::error("bad-image-name", "this is not the name of an image", cure);
        found.push(finding.at_start(IMAGE_FILE, text.unwrap_or_default()));
        return None;
    }
    if let Some((name, line)) = settings.and_then(MachineFile::image_name) {
        let why = Why::line(super::SETTINGS_FILE, line, None);
        return Some(ImageName { name: name.to_owned(), why });
    }
    if let Some(tag) = tag.filter(|tag| is_name(&tag.value)) {
        let why = Why::line(super::machine_info::FILE, tag.at.line, None);
        return Some(ImageName { name: tag.value.clone(), why });
    }
    let message = "nothing says which image the machine is to get";
    let cure = "write its name into imagename, or set the tag RequiredImage in config.json";
    found.push(Finding::error("bad-image-name", message, cure).at_file(IMAGE_FILE));
    None
}

/// True for a name as image servers take it: a path without anything strange in it.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+:@=,-".contains(&b));
        plain && !part.is_empty() && part != "." && part != ".."
    };
    name.trim_start_matches('/').split('/').all(is_part)
}

/// `host:port`; an empty file for none.
pub(super) fn server(text: &str, found: &mut Vec<Diagnostic>) -> Option<ServerAddress> {
    let address = text.trim();
    if address.is_empty() {
        return None;
    }
    let parsed = parse_server(address);
    if parsed.is_none() {
        let message = format!("'{address}' is not the address of a server");
        let cure = "write HOST:PORT, such as images.example.org:6971";
        let finding = Finding::error("bad-image-name", message, cure);
        let first = text.lines().next().unwrap_or_default();
        let line = Line { file: SERVER_FILE, number: 1, text: first };
        found.push(finding.at_column(line, 1, first.len() as u32));
    }
    parsed
}

fn parse_server(address: &str) -> Option<ServerAddress> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let is_host = super::is_hostname(host) || host.parse::<std::net::IpAddr>().is_ok();
    let port = port.map_or(Some(SERVER_PORT), |port| port.parse().ok().filter(|port| *port != 0));
    Some(ServerAddress { host: host.to_owned(), port: port? }).filter(|_| is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_a_host_and_a_port() {
        for (text, expected) in [
            ("images:6971\n", Some(("images", 6971))),
            ("images.example.org", Some(("images.example.org", 6971))),
            ("10.0.2.2:80", Some(("10.0.2.2", 80))),
            ("[2001:db8::1]:80", Some(("2001:db8::1", 80))),
            ("images:0", None),
            ("images:port", None),
            ("two words:1", None),
        ] {
            let mut found = Vec::new();
            let server = server(text, &mut found);
            let plain = server.as_ref().map(|server| (server.host.as_str(), server.port));
            assert_eq!(plain, expected, "{text}");
            assert_eq!(found.is_empty(), expected.is_some(), "{text}");
        }
        assert_eq!(server("\n", &mut Vec::new()), None);
    }

    #[test]
    fn an_image_is_named_or_nothing_is_installed() {
        let tag = Spanned::new("base/tagged".to_owned(), Default::default());
        for (text, tag, expected) in [
            (Some("base/bookworm\n"), Some(&tag), Some("base/bookworm")),
            (Some("  \n"), Some(&tag), Some("base/tagged")),
            (None, Some(&tag), Some("base/tagged")),
            (Some("two words"), Some(&tag), None),
            (Some("../secret"), Some(&tag), None),
            (Some(""), None, None),
            (None, None, None),
        ] {
            let mut found = Vec::new();
            let image = image_name(text, tag, None, &mut found);
            assert_eq!(image.map(|image| image.name).as_deref(), expected, "{text:?}");
            assert_eq!(found.is_empty(), expected.is_some(), "{text:?}");
        }
    }
}
