//! iPXE scripts: what a machine boots, as a value, and the text that makes iPXE do it.
//!
//! The templates are in `templates/`. Every script says on the screen what it does; when something
//! fails it says what, tries again a few times, and then offers iPXE's shell before it restarts.

use hostwright_model::ids::MacAddr;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use thiserror::Error;

/// How often a script tries before it gives up.
const TRIES: u32 = 5;

/// How a machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// By a BIOS.
    Bios,
    /// By UEFI.
    Uefi,
}

impl Platform {
    /// Reads what iPXE calls `${platform}`.
    pub fn from_ipxe(text: &str) -> Option<Self> {
        match text {
            "pcbios" => Some(Self::Bios),
            "efi" => Some(Self::Uefi),
            _ => None,
        }
    }
}

/// A kernel with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallBoot {
    /// What the screen says, such as `installing web01 (run 7)`.
    pub title: String,
    /// Name of the kernel below `/boot/files/`.
    pub kernel: String,
    /// Names of the initramfs archives below `/boot/files/`, in the order the kernel unpacks them.
    pub initrds: Vec<String>,
    /// The kernel command line. `initrd=` is added by the script.
    pub cmdline: String,
}

/// What a machine boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootSpec {
    /// The agent.
    Install(InstallBoot),
    /// The machine's own first disk.
    LocalDisk,
    /// Nothing; it asks again every half minute.
    Hold {
        /// What the screen says, one or more lines: why, and what an operator can do.
        message: String,
    },
}

impl BootSpec {
    /// Its name in events.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Install(_) => "install",
            Self::LocalDisk => "local-disk",
            Self::Hold { .. } => "hold",
        }
    }
}

/// Why there is no script.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The command line would not reach the kernel as it is written.
    #[error("the kernel command line contains '{0}', which iPXE does not pass on")]
    CommandLine(String),
    /// The name cannot be part of an address.
    #[error("'{0}' is not the name of a boot file: letters, digits and ./_+~=- only")]
    FileName(String),
    /// The address would be no address.
    #[error("'{0}' is not an address of a boot server such as http://10.0.0.1:8080")]
    BaseUrl(String),
    /// A template does not work.
    #[error("cannot render the boot script template")]
    Template(#[from] minijinja::Error),
}

/// Renders scripts that refer to one boot server.
#[derive(Debug)]
pub struct Scripts {
    templates: Environment<'static>,
    base_url: String,
}

impl Scripts {
    /// Scripts that load from `base_url`, such as `http://10.0.0.1:8080`.
    pub fn new(base_url: &str) -> Result<Self, ScriptError> {
        let base_url = base_url.trim_end_matches('/');
        let host = base_url.strip_prefix("http://").unwrap_or_default();
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '/' | '_');
        if host.is_empty() || !host.chars().all(safe) {
            return Err(ScriptError::BaseUrl(base_url.to_owned()));
        }
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        templates.set_syntax(syntax.trim_blocks(true).keep_trailing_newline(true).build()?);
        templates.add_filter("screen", screen_text);
        for (name, text) in [
            ("give-up.ipxe", include_str!("../templates/give-up.ipxe")),
            ("boot.ipxe", include_str!("../templates/boot.ipxe")),
            ("no-http.ipxe", include_str!("../templates/no-http.ipxe")),
            ("install.ipxe", include_str!("../templates/install.ipxe")),
            ("local-disk.ipxe", include_str!("../templates/local-disk.ipxe")),
            ("hold.ipxe", include_str!("../templates/hold.ipxe")),
        ] {
            templates.add_template(name, text)?;
        }
        Ok(Self { templates, base_url: base_url.to_owned() })
    }

    /// The script that every iPXE loads first: it asks over HTTP for the machine's own.
    pub fn first(&self) -> Result<String, ScriptError> {
        let values = context! { base_url => self.base_url.as_str(), tries => TRIES };
        Ok(self.templates.get_template("boot.ipxe")?.render(values)?)
    }

    /// The script for an iPXE without HTTP: it loads ours, by the loaders' names on the TFTP
    /// server at `server`.
    pub fn without_http(
        &self,
        server: Ipv4Addr,
        bios: &str,
        uefi_x64: &str,
    ) -> Result<String, ScriptError> {
        let values = context! { server => server.to_string(), bios, uefi_x64, tries => TRIES };
        Ok(self.templates.get_template("no-http.ipxe")?.render(values)?)
    }

    /// The script of one machine.
    pub fn machine(&self, mac: MacAddr, spec: &BootSpec) -> Result<String, ScriptError> {
        match spec {
            BootSpec::Install(boot) => self.install(boot),
            BootSpec::LocalDisk => {
                Ok(self.templates.get_template("local-disk.ipxe")?.render(context! {})?)
            }
            BootSpec::Hold { message } => {
                let lines: Vec<String> = message.lines().map(str::to_owned).collect();
                let base_url = self.base_url.as_str();
                let values = context! { base_url, mac => mac.to_string(), lines };
                Ok(self.templates.get_template("hold.ipxe")?.render(values)?)
            }
        }
    }

    fn install(&self, boot: &InstallBoot) -> Result<String, ScriptError> {
        for name in std::iter::once(&boot.kernel).chain(&boot.initrds) {
            check_file_name(name)?;
        }
        check_command_line(&boot.cmdline)?;
        let InstallBoot { title, kernel, initrds, cmdline } = boot;
        let base_url = &self.base_url;
        let values = context! { base_url, title, kernel, initrds, cmdline, tries => TRIES };
        Ok(self.templates.get_template("install.ipxe")?.render(values)?)
    }
}

fn check_file_name(name: &str) -> Result<(), ScriptError> {
    let safe =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '+' | '~' | '=' | '-');
    if name.is_empty() || !name.chars().all(safe) {
        return Err(ScriptError::FileName(name.to_owned()));
    }
    Ok(())
}

/// iPXE splits at blanks, expands `${…}`, ends a command at `&&` and `||`, and takes a word that
/// begins with `#` for a comment; it knows no quoting that would prevent any of it.
fn check_command_line(cmdline: &str) -> Result<(), ScriptError> {
    let bad = |what: &str| Err(ScriptError::CommandLine(what.to_owned()));
    if let Some(control) = cmdline.chars().find(|c| c.is_control()) {
        return bad(&control.escape_default().to_string());
    }
    if cmdline.contains("${") {
        return bad("${");
    }
    let special = |word: &&str| matches!(*word, "&&" | "||") || word.starts_with('#');
    cmdline.split(' ').find(special).map_or(Ok(()), bad)
}

/// Text that iPXE's `echo` shows and does not interpret: one line of printable ASCII.
fn screen_text(text: &str) -> String {
    let shown = |c: char| match c {
        '&' | '|' | '#' | '$' => '_',
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

    fn scripts() -> Scripts {
        Scripts::new("http://10.0.0.1:8080/").expect("sound templates")
    }

    fn install(cmdline: &str) -> Result<String, ScriptError> {
        let boot = InstallBoot {
            title: "installing web01".into(),
            kernel: "vmlinuz".into(),
            initrds: vec!["initrd.img".into(), "extra/site.img".into()],
            cmdline: cmdline.into(),
        };
        scripts().machine(MAC, &BootSpec::Install(boot))
    }

    #[test]
    fn the_first_script_leads_to_the_machines_own() {
        let script = scripts().first().unwrap();
        assert!(script.starts_with("#!ipxe\n"));
        assert!(script.contains("http://10.0.0.1:8080/boot/ipxe/${netX/mac:hexhyp}"), "{script}");
    }

    #[test]
    fn an_install_names_kernel_archives_and_command_line() {
        let script = install("console=ttyS0 hostwright.server=http://10.0.0.1:8080").unwrap();
        let kernel = "kernel http://10.0.0.1:8080/boot/files/vmlinuz initrd=initrd-1 \
                      initrd=initrd-2 console=ttyS0 hostwright.server=http://10.0.0.1:8080 ||";
        assert!(script.contains(kernel), "{script}");
        let archive = "initrd --name initrd-2 http://10.0.0.1:8080/boot/files/extra/site.img ||";
        assert!(script.contains(archive), "{script}");
    }

    #[test]
    fn a_command_line_that_ipxe_would_change_is_refused() {
        for bad in ["a && b", "a || b", "a #b", "x=${net0/mac}", "a\nreboot"] {
            assert!(install(bad).is_err(), "{bad:?}");
        }
        install("a=b#c x=a&&b quiet").expect("none of these stands alone");
    }

    #[test]
    fn what_people_wrote_stays_text() {
        let message = "no disk || reboot\n${net0/ip} is ours\u{1b}[2J".to_owned();
        let script = scripts().machine(MAC, &BootSpec::Hold { message }).unwrap();
        assert!(script.contains("echo no disk __ reboot\n"), "{script}");
        assert!(script.contains("echo _{net0/ip} is ours?[2J\n"), "{script}");
    }

    #[test]
    fn every_label_that_is_gone_to_exists_once() {
        let message = String::new();
        let specs = [BootSpec::LocalDisk, BootSpec::Hold { message }];
        let mut all: Vec<String> =
            specs.iter().map(|spec| scripts().machine(MAC, spec).unwrap()).collect();
        all.push(install("quiet").unwrap());
        all.push(scripts().first().unwrap());
        all.push(scripts().without_http(Ipv4Addr::new(10, 0, 0, 1), "a.kpxe", "a.efi").unwrap());
        for script in all {
            for (_, rest) in script.match_indices("goto ").map(|(at, _)| script.split_at(at + 5)) {
                let label = rest.split_whitespace().next().unwrap();
                let definition = format!("\n:{label}\n");
                assert_eq!(script.matches(&definition).count(), 1, "{label} in\n{script}");
            }
        }
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for bad in ["https://x", "http://", "http://a b", "10.0.0.1"] {
            assert!(Scripts::new(bad).is_err(), "{bad}");
        }
    }
}
