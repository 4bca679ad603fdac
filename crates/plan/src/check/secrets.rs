//! Secrets that lie in a space in plain text. What is shown of the line has the secret masked, so
//! that the output of `check` may be logged.

use super::survey::{Survey, TextFile, is_shell};
use crate::finding::{Finding, Line};
use crate::storage::passphrase_of_line;
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::vars::is_secret;

/// The hash of `fai`, the password of FAI's examples, as they give it to root and users.
const EXAMPLE_HASH: &str = "$1$kBnWcO.E$djxB128U7dMkrltJHPf6d1";

/// Beginnings of tokens, how many characters follow at least, and whose they are.
const TOKENS: [(&str, usize, &str); 9] = [
    ("AKIA", 16, "an access key of AWS"),
    ("ghp_", 36, "a token of GitHub"),
    ("gho_", 36, "a token of GitHub"),
    ("ghs_", 36, "a token of GitHub"),
    ("github_pat_", 40, "a token of GitHub"),
    ("glpat-", 20, "a token of GitLab"),
    ("xoxb-", 24, "a token of Slack"),
    ("xoxp-", 24, "a token of Slack"),
    ("AIza", 35, "a key of Google"),
];

/// Everything that must not be in a file which whole networks can read.
pub(super) fn findings(survey: &Survey<'_>) -> Vec<Diagnostic> {
    survey.texts.iter().flat_map(of_file).collect()
}

fn of_file(file: &TextFile<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut lines = Line::all(file.path, &file.text).peekable();
    let assigns = is_configuration(file.path);
    let is_shell = !file.text.starts_with("#!") || is_shell(file.path, &file.text);
    while let Some(line) = lines.next() {
        if line.text.trim_start().starts_with('#') {
            continue;
        }
        let next = lines.peek().map_or("", |next| next.text);
        if is_private_key(line.text, next) {
            let message = "a private key lies in the space, readable for whoever reads the space";
            let cure =
                "take it out, make a new one, and let the machine fetch it with a credential";
            let finding = Finding::warning("private-key", message, cure);
            found.push(finding.at_span(line, line.text.trim()));
        }
        let hash = hash(line.text);
        found.extend(hash.map(|hash| about_hash(line, hash)));
        found.extend(token(line.text).map(|(token, what)| plain(line, token, what)));
        if assigns && hash.is_none() {
            let secret = password(line.text, is_shell).or_else(|| passphrase(file.path, line.text));
            let secret = secret.or_else(|| debconf_password(file.path, line.text));
            found.extend(secret.map(|(secret, what)| plain(line, secret, what)));
        }
    }
    found
}

/// Variables and scripts of FAI; elsewhere a word such as `password` means too many things.
fn is_configuration(path: &str) -> bool {
    let directories = ["class/", "hooks/", "scripts/", "debconf/", "disk_config/"];
    directories.iter().any(|directory| path.starts_with(directory))
}

fn plain(line: Line<'_>, secret: &str, what: &str) -> Diagnostic {
    let message = format!("{what} lies in the space in plain text");
    let cure = "take it out, change it, and let the machine fetch it with a credential";
    masked(Finding::warning("plain-secret", message, cure).at_span(line, secret))
}

fn about_hash(line: Line<'_>, hash: &str) -> Diagnostic {
    let finding = if hash == EXAMPLE_HASH {
        let message = "this is the password 'fai' of FAI's examples, which everybody knows";
        Finding::warning("example-password", message, "make a new hash: openssl passwd -6")
    } else if hash.starts_with("$1$") {
        let message = "a password hash by MD5, which a graphics card breaks in hours";
        Finding::warning("password-hash", message, "make a new hash: openssl passwd -6")
    } else {
        let message = "a password hash, which whoever reads the space can try passwords on";
        Finding::note("password-hash", message, "make sure that the password is long and random")
    };
    masked(finding.at_span(line, hash))
}

/// The diagnostic with the bytes it is about replaced by stars in what is shown of the line.
fn masked(mut diagnostic: Diagnostic) -> Diagnostic {
    let Some((at, line)) = diagnostic.at.as_ref().zip(diagnostic.source_line.as_mut()) else {
        return diagnostic;
    };
    let start = (at.column as usize - 1).min(line.len());
    let end = (start + at.length as usize).min(line.len());
    line.replace_range(start..end, &"*".repeat(end - start));
    diagnostic
}

/// True for the first line of a private key that nothing encrypts. Programs that only look for such
/// a line have no key behind it.
fn is_private_key(line: &str, next: &str) -> bool {
    let is_header = line.trim().starts_with("-----BEGIN ")
        && line.trim().ends_with("PRIVATE KEY-----")
        && !line.contains("ENCRYPTED");
    let next = next.trim();
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    is_header && next.len() >= 40 && next.chars().all(is_base64)
}

/// A hash of crypt(5): `$6$salt$hash`.
fn hash(line: &str) -> Option<&str> {
    ["$1$", "$5$", "$6$", "$y$", "$gy$", "$2a$", "$2b$", "$2y$"].into_iter().find_map(|method| {
        let start = line.find(method)?;
        let is_crypt = |c: char| c.is_ascii_alphanumeric() || "./$=,".contains(c);
        let rest = &line[start..];
        let end = rest.find(|c| !is_crypt(c)).unwrap_or(rest.len());
        let last = rest[..end].rsplit('$').next().unwrap_or_default();
        (last.len() >= 22).then_some(&rest[..end])
    })
}

fn token(line: &str) -> Option<(&str, &'static str)> {
    TOKENS.into_iter().find_map(|(prefix, length_min, what)| {
        let start = line.find(prefix)?;
        let is_inside = line[..start].ends_with(|c: char| c.is_ascii_alphanumeric());
        let rest = &line[start + prefix.len()..];
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let length = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        let varied = rest[..length].chars().any(|c| c.is_ascii_digit());
        let fits = length >= length_min && varied && !is_inside;
        fits.then(|| (&line[start..start + prefix.len() + length], what))
    })
}

/// The value of an assignment to a variable that is named after a secret. Outside shell text a word
/// without quotes is a name, not a value.
fn password(line: &str, is_shell: bool) -> Option<(&str, &'static str)> {
    let code = line.trim_start();
    let code = code.strip_prefix("export ").unwrap_or(code);
    let (name, rest) = code.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || !is_secret(name) {
        return None;
    }
    let value = value(rest).filter(|_| is_shell || rest.starts_with(['"', '\'']))?;
    let is_none = matches!(value, "x" | "*" | "!" | "!!" | "yes" | "no" | "true" | "false");
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit()) && value.len() < 3;
    (!is_none && !is_number && !value.starts_with('/')).then_some((value, "a password"))
}

/// A literal value, without its quotes.
fn value(rest: &str) -> Option<&str> {
    let (value, quoted) = match rest.chars().next()? {
        quote @ ('"' | '\'') => (rest[1..].split(quote).next()?, quote == '\''),
        _ => (rest.split([' ', '\t', ';', '#']).next()?, false),
    };
    let expands = !quoted && value.contains(['$', '`', '(']);
    (!value.trim().is_empty() && !expands).then_some(value)
}

/// `luks:"passphrase"` of a disk_config.
fn passphrase<'a>(path: &str, line: &'a str) -> Option<(&'a str, &'static str)> {
    let value = passphrase_of_line(line).filter(|_| path.starts_with("disk_config/"))?;
    Some((value, "the passphrase of a disk"))
}

/// `owner question password VALUE` of a debconf file.
fn debconf_password<'a>(path: &str, line: &'a str) -> Option<(&'a str, &'static str)> {
    if !path.starts_with("debconf/") {
        return None;
    }
    let mut words = line.split_whitespace();
    let (_, _, kind) = (words.next()?, words.next()?, words.next()?);
    let value =
        words.next().filter(|value| kind == "password" && !value.starts_with(['!', '*']))?;
    Some((value, "a password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(String, u32, String)> {
        let file = TextFile { path, text: text.into() };
        let show = |d: Diagnostic| {
            let line = d.at.as_ref().map_or(0, |at| at.line);
            (d.code, line, d.source_line.unwrap_or_default())
        };
        of_file(&file).into_iter().map(show).collect()
    }

    #[test]
    fn secrets_are_found_and_masked() {
        let one = |code: &str, line: &str| vec![(code.to_owned(), 1, line.to_owned())];
        let hash = "ROOTPW='$6$abcdefgh$0123456789012345678901234567'\n";
        assert_eq!(found("class/A.var", hash)[0].0, "password-hash");
        assert!(found("class/A.var", hash)[0].2.ends_with("***'"));
        let example = format!("ROOTPW='{EXAMPLE_HASH}'");
        assert_eq!(found("class/A.var", &example)[0].0, "example-password");
        assert_eq!(
            found("class/A.var", "LOGPASSWD=joshua"),
            one("plain-secret", "LOGPASSWD=******")
        );
        let luks = "luks:\"sesame\" / disk1.1 ext4 rw";
        let masked = "luks:\"******\" / disk1.1 ext4 rw";
        assert_eq!(found("disk_config/A", luks), one("plain-secret", masked));
        let debconf = "mysql mysql/root_password password geheim";
        let masked = "mysql mysql/root_password password ******";
        assert_eq!(found("debconf/A", debconf), one("plain-secret", masked));
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n", "Ab1/".repeat(16));
        assert_eq!(found("files/etc/key/A", &key)[0].0, "private-key");
        let token = format!("curl -H 'x: ghp_{}'", "a1".repeat(18));
        assert_eq!(found("scripts/A/10-x", &token)[0].0, "plain-secret");
    }

    #[test]
    fn what_only_looks_like_a_secret_is_left_alone() {
        for text in [
            "ROOTPW=$(cat /run/pw)",
            "ROOTPW=\"$OTHER\"",
            "ROOTPW=''",
            "# LOGPASSWD=joshua",
            "PASSWORDFILE=/etc/x",
            "grep -- '-----BEGIN RSA PRIVATE KEY-----' x\nexit 1",
            "echo '$1$' | sed s/x/y/",
            "AKIATEMPLATE",
        ] {
            assert_eq!(found("class/A.var", text), [], "{text}");
        }
        assert_eq!(found("files/etc/pam/A", "password=required"), []);
        let python = "#!/usr/bin/python3\nopen_it(\n    cryptpw=cryptpw,\n)\n";
        assert_eq!(found("hooks/partition.A", python), []);
    }
}
