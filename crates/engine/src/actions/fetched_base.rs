//! A base file that a server has for one of the classes (`FAI_BASEFILEURL`).

use super::Done;
use crate::fault::ActionError;
use crate::package_calls::download_to;
use crate::work::Work;
use hostwright_host::{Command, Tool};
use hostwright_model::class::ClassName;
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::Discovered;

/// Says by its status whether a file is an archive; a web page that some servers send in its place,
/// as if all were well, is told apart.
const INSPECT: &str = "
if head --bytes=512 \"$1\" | tr -d '\\000' | grep --quiet --ignore-case '<!doctype\\|<html'; then
    exit 90
fi
tar --list --file=\"$1\" >/dev/null";
const IS_PAGE: i32 = 90;

/// Endings of base files, as FAI looks for them, and those that stand for them.
const SUFFIXES: [&str; 8] =
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"];

/// Fetches the base file of the highest class that the server has one for.
pub(super) fn fetch(
    work: &mut Work<'_>,
    url: &str,
    classes: &[ClassName],
    required: bool,
) -> Result<Done, ActionError> {
    let base = url.trim_end_matches('/');
    let names = names(base, &work.tool(list(base))?.stdout);
    let Some(name) = chosen(&names, classes.iter().map(ClassName::as_str)) else {
        let message = format!("{url} lists no base file of any class");
        if required {
            let cure = "put one there, or set FAI_DEBOOTSTRAP to a suite and a mirror";
            return Err(ActionError::new(FaultKind::Config, "no-base-file", message, cure));
        }
        work.warn(&message);
        return Ok(Done::discovered(Discovered::default()));
    };
    let path = format!("{}/basefiles/{name}", work.settings.record_dir);
    work.host.make_dir(&format!("{}/basefiles", work.settings.record_dir), 0o700)?;
    work.tool(download_to(&format!("{base}/{name}"), &path))?;
    let inspect = Command::new(Tool::Bash).args(["-c", INSPECT, "inspect", &path]);
    match work.try_tool(inspect)?.status {
        0 => {}
        status => return Err(no_archive(&format!("{base}/{name}"), status)),
    }
    Ok(Done::discovered(Discovered { base_file: Some(path), ..Discovered::default() }))
}

fn no_archive(url: &str, status: i32) -> ActionError {
    let what = if status == IS_PAGE { "a web page" } else { "something else" };
    ActionError::new(
        FaultKind::Remote,
        "bad-base-file",
        format!("{url} is {what} and not an archive that tar can read"),
        "look at it with a browser; correct FAI_BASEFILEURL or the file on the server",
    )
}

/// The name of the file for the highest of some classes, the lowest of which comes first.
pub(crate) fn chosen<'n>(
    names: &'n [String],
    classes: impl DoubleEndedIterator<Item = &'n str>,
) -> Option<&'n String> {
    let of_class = |class: &str| names.iter().find(|name| stem(name) == Some(class));
    classes.rev().find_map(of_class)
}

/// Asks a server what files there are.
pub(crate) fn list(base: &str) -> Command {
    let quietly = ["--fail", "--location", "--silent", "--show-error", "--retry", "3"];
    let only_names = is_ftp(base).then_some("--list-only");
    Command::new(Tool::Curl).args(quietly).args(only_names).arg(format!("{base}/"))
}

/// The names of files in what [`list`] printed.
pub(crate) fn names(base: &str, listing: &str) -> Vec<String> {
    if is_ftp(base) { listing.lines().map(str::to_owned).collect() } else { links(listing) }
}

fn is_ftp(base: &str) -> bool {
    base.starts_with("ftp://") || base.starts_with("ftps://")
}

/// The files that a page of a web server links to.
fn links(page: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in page.split("href=").skip(1) {
        let quote = part.chars().next().filter(|first| ['"', '\''].contains(first));
        let inner = part.trim_start_matches(['"', '\'']);
        let end = match quote {
            Some(quote) => inner.find(quote),
            None => inner.find([' ', '>']),
        };
        let link = &inner[..end.unwrap_or(inner.len())];
        let path = link.split(['?', '#']).next().unwrap_or(link);
        let name = path.rsplit('/').next().unwrap_or(path);
        if stem(name).is_some() {
            names.push(name.to_owned());
        }
    }
    names
}

/// The class of a base file, `DEBIAN` of `DEBIAN.tar.xz`.
fn stem(name: &str) -> Option<&str> {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_listing_are_file_names() {
        let page = "<a href=\"?C=N;O=D\">Name</a><a HREF=x href='../'>up</a>\n\
                    <a href=\"/base/BOOKWORM64.tar.xz\">x</a> <a href=ROCKY9.tar.zst>y</a>\n\
                    <a href=\"notes.txt\">z</a> <a href=\"A.tgz?v=1\">";
        assert_eq!(links(page), ["BOOKWORM64.tar.xz", "ROCKY9.tar.zst", "A.tgz"]);
        assert_eq!(stem(".tar"), None);
        assert_eq!(stem("A.tar.xz.sig"), None);
    }
}
