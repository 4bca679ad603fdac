//! `fai` and `fai-diskimage`: this program under the names and options that FAI's users and their
//! scripts know. Options become those of `build` and `apply`, exit statuses those of fai(8).

use crate::machine_args::FirmwareArg;
use clap::error::ErrorKind;
use clap::{Parser, ValueEnum as _};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Any failure, and any task error of the run.
pub const FAILED: u8 = 1;
const NO_ACTION: u8 = 2;
const NO_DIRECTORY: u8 = 3;
const NO_CLASSES: u8 = 4;
const UNKNOWN_OPTION: u8 = 6;
/// fai-diskimage without classes.
const NO_IMAGE_CLASSES: u8 = 7;

/// What both programs take.
#[derive(clap::Args)]
struct Common {
    /// Show more; here everything is shown anyway.
    #[arg(short, long)]
    verbose: bool,
    /// Let class scripts define classes, beside those of -c.
    #[arg(short = 'N', long = "new")]
    new: bool,
    /// Classes between commas; without -N exactly these.
    #[arg(short, long = "class", value_name = "CLASS,…")]
    classes: Option<String>,
    /// Directory of fai.conf, nfsroot.conf and apt/.
    #[arg(short = 'C', long = "cfdir", value_name = "DIR", default_value = "/etc/fai")]
    cfdir: PathBuf,
    /// The config space; the one of fai.conf if not given.
    #[arg(short = 's', long = "cspace", value_name = "URI")]
    space: Option<String>,
    /// Host name.
    #[arg(short = 'u', long, value_name = "NAME")]
    hostname: Option<String>,
}

/// Fully automatic installation, by Hostwright.
#[derive(Parser)]
#[command(name = "fai")]
struct Fai {
    #[command(flatten)]
    common: Common,
    /// dirinstall, softupdate, sysinfo, inventory, or an action of the space's own.
    action: Option<String>,
    /// Where dirinstall installs.
    directory: Option<String>,
}

/// Makes a disk image.
#[derive(Parser)]
#[command(name = "fai-diskimage")]
struct DiskImage {
    #[command(flatten)]
    common: Common,
    /// Size of the disk.
    #[arg(short = 'S', long, default_value = "800M")]
    size: String,
    /// The image; its suffix says the format.
    image: String,
}

/// The words that `hostwright` would have been called with, if this program was called as one of
/// FAI's; the exit status if they make no sense.
pub fn translated(words: Vec<OsString>) -> Option<Result<Vec<String>, ExitCode>> {
    let name = Path::new(words.first()?).file_name()?.to_str()?.to_owned();
    let words = match name.as_str() {
        "fai" => parsed::<Fai>(words).and_then(|fai| fai.words()),
        "fai-diskimage" => parsed::<DiskImage>(words).and_then(|image| image.words()),
        _ => return None,
    };
    Some(words.map_err(ExitCode::from))
}

fn parsed<P: Parser>(words: Vec<OsString>) -> Result<P, u8> {
    P::try_parse_from(words).map_err(|error| {
        // Where it cannot be printed to, there is nobody to tell that either.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp => 0,
            _ => UNKNOWN_OPTION,
        }
    })
}

impl Fai {
    fn words(&self) -> Result<Vec<String>, u8> {
        let Some(action) = &self.action else {
            return Err(refuse("no action given: dirinstall, softupdate, …", NO_ACTION));
        };
        if action == "dirinstall" {
            let Some(directory) = &self.directory else {
                return Err(refuse("dirinstall needs a directory", NO_DIRECTORY));
            };
            let mut words = self.common.words("build", NO_CLASSES)?;
            words.extend(server_defaults(&self.common.cfdir));
            words.extend([format!("--dir={directory}"), firmware()]);
            return Ok(words);
        }
        if action == "install" {
            let message = "install is for machines that boot the installer; for a disk image call \
                           fai-diskimage";
            return Err(refuse(message, FAILED));
        }
        let mut words = self.common.words("apply", 0)?;
        if action != "softupdate" {
            words.push(format!("--var=FAI_ACTION={action}"));
        }
        Ok(words)
    }
}

impl DiskImage {
    fn words(&self) -> Result<Vec<String>, u8> {
        let mut words = self.common.words("build", NO_IMAGE_CLASSES)?;
        let (output, size) = (&self.image, &self.size);
        words.extend([format!("--output={output}"), format!("--size={size}"), firmware()]);
        Ok(words)
    }
}

impl Common {
    /// The words of `verb`; `status` is for a call without classes, 0 if there may be none.
    fn words(&self, verb: &str, status: u8) -> Result<Vec<String>, u8> {
        let mut words: Vec<String> = vec!["hostwright".to_owned(), verb.to_owned()];
        words.push("--fai-exit-status".to_owned());
        match (&self.classes, self.new) {
            (None, false) if status > 0 => {
                return Err(refuse("name classes by -c, or let -N define them", status));
            }
            (None, false) => {}
            (None, true) if verb == "apply" => words.push("--new-classes".to_owned()),
            (None, true) => {}
            (Some(classes), true) => words.push(format!("--classes={classes}")),
            (Some(classes), false) => words.push(format!("--only-classes={classes}")),
        }
        let Some(space) = self.space.clone().or_else(|| config_source(&self.cfdir)) else {
            let file = self.cfdir.join("fai.conf");
            let message = format!("name the config space by -s, or in {}", file.display());
            return Err(refuse(&message, FAILED));
        };
        words.push(format!("--space={space}"));
        words.extend(self.hostname.iter().map(|name| format!("--hostname={name}")));
        Ok(words)
    }
}

/// FAI's class scripts see the firmware of the machine that builds.
fn firmware() -> String {
    let uefi = Path::new("/sys/firmware/efi").is_dir();
    let firmware = if uefi { FirmwareArg::Uefi } else { FirmwareArg::Bios };
    let name = firmware.to_possible_value().map(|value| value.get_name().to_owned());
    format!("--firmware={}", name.unwrap_or_default())
}

/// What dirinstall takes from an FAI server's configuration, as options: the variables of
/// nfsroot.conf, which those of the space win over, and where its `apt` directory is.
fn server_defaults(cfdir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(cfdir.join("nfsroot.conf")).unwrap_or_default();
    let names = ["FAI_DEBOOTSTRAP", "FAI_DEBOOTSTRAP_OPTS"];
    let found = names.into_iter().filter_map(|name| Some((name, assigned(&text, name)?)));
    let mut words: Vec<String> =
        found.map(|(name, value)| format!("--default-var={name}={value}")).collect();
    if cfdir.join("apt").is_dir()
        && let Ok(cfdir) = std::path::absolute(cfdir)
    {
        words.push(format!("--default-var=FAI_ETC_DIR={}", cfdir.display()));
    }
    words
}

/// The value of the last assignment to a variable in a file of shell assignments, if it is a plain
/// one.
fn assigned(text: &str, name: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.strip_prefix(name)?.strip_prefix('=')
    })?;
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].split(quote).next()?,
        _ => value.split_whitespace().next()?,
    };
    (!value.is_empty() && !value.contains(['$', '`'])).then(|| value.to_owned())
}

/// FAI_CONFIG_SRC of a fai.conf, or the directory where FAI's users have their space.
fn config_source(cfdir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(cfdir.join("fai.conf")).unwrap_or_default();
    let usual = "/srv/fai/config";
    assigned(&text, "FAI_CONFIG_SRC").or_else(|| {
        let is_there = Path::new(usual).join("class").is_dir();
        is_there.then(|| usual.to_owned())
    })
}

fn refuse(message: &str, status: u8) -> u8 {
    anstream::eprintln!("fai: {message}");
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(call: &str) -> String {
        let words = call.split(' ').map(OsString::from).collect();
        match translated(words).expect("one of FAI's names") {
            Ok(words) => words.join(" "),
            Err(status) => format!("{status:?}"),
        }
    }

    fn status(status: u8) -> String {
        format!("{:?}", ExitCode::from(status))
    }

    #[test]
    fn calls_become_calls_of_ours() {
        let built = words("/usr/sbin/fai -v -C /nowhere -s /s -u web1 -c A,B dirinstall /t");
        let begin = "hostwright build --fai-exit-status --only-classes=A,B --space=/s";
        assert!(
            built.starts_with(&format!("{begin} --hostname=web1 --dir=/t --firmware=")),
            "{built}"
        );
        assert_eq!(
            words("fai -N -c A -s git://h/x softupdate"),
            "hostwright apply --fai-exit-status --classes=A --space=git://h/x"
        );
        let space = "--space=/s --var=FAI_ACTION=inventory";
        assert_eq!(
            words("fai -s /s inventory"),
            format!("hostwright apply --fai-exit-status {space}")
        );
        let image = words("fai-diskimage -N -S 3G -s file:///s -c A cloud.raw");
        let end = "--classes=A --space=file:///s --output=cloud.raw --size=3G --firmware=";
        assert!(image.contains(end), "{image}");
    }

    #[test]
    fn a_server_s_configuration_counts_where_the_space_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let text = "# FAI_DEBOOTSTRAP=\"no\"\nFAI_DEBOOTSTRAP=\"trixie http://deb.example.org/debian\"\n\
                    FAI_DEBOOTSTRAP_OPTS=\"--exclude=$X\"\nNFSROOT=/srv/fai/nfsroot\n";
        std::fs::write(dir.path().join("nfsroot.conf"), text).unwrap();
        std::fs::create_dir(dir.path().join("apt")).unwrap();
        let etc = dir.path().display();
        let conf = "FAI_CONFIG_SRC=\"file:///space\" # why\n";
        std::fs::write(dir.path().join("fai.conf"), conf).unwrap();
        let words = words(&format!("fai -C {etc} -c A dirinstall /t"));
        for word in [
            "--space=file:///space ".to_owned(),
            "--default-var=FAI_DEBOOTSTRAP=trixie http://deb.example.org/debian ".to_owned(),
            format!("--default-var=FAI_ETC_DIR={etc} "),
        ] {
            assert!(words.contains(&word), "{word}: {words}");
        }
        assert!(!words.contains("FAI_DEBOOTSTRAP_OPTS"), "only a shell can read that: {words}");
    }

    #[test]
    fn refusals_have_the_statuses_of_fai() {
        assert_eq!(words("fai -s /s"), status(NO_ACTION));
        assert_eq!(words("fai -s /s -N dirinstall"), status(NO_DIRECTORY));
        assert_eq!(words("fai -s /s dirinstall /t"), status(NO_CLASSES));
        assert_eq!(words("fai --no-such-option"), status(UNKNOWN_OPTION));
        assert_eq!(words("fai-diskimage -s /s a.raw"), status(NO_IMAGE_CLASSES));
        assert_eq!(words("fai -C /nowhere -N -s /s install /t"), status(FAILED));
        assert!(translated(vec!["hostwright".into()]).is_none());
    }
}
