//! Text to [`DiskConfig`]: the lines of a file, and which stanza each belongs to.
//!
//! ```text
//! file   = { line LF }
//! line   = "" | "#" comment | "disk_config" stanza | volume
//! stanza = "end" | "raid" | "cryptsetup" | "lvm" | "btrfs" | "tmpfs" | "nfs" | disk, with {option}
//! volume = "primary" …  |  "logical" …  |  "p=NAME" …  |  "raw-disk" …  |  "vg" …
//!        | "GROUP-VOLUME" …  |  "raid1" …  |  "luks" …  |  "btrfs" …  |  "tmpfs" …  |  "nfs" …
//! ```
//!
//! Comments have lines of their own, blanks between tokens are optional, and a mistake costs one
//! line: reading goes on with the next one.

use super::ast::{BtrfsStanza, DiskConfig, DiskStanza, EncryptionStanza, LvmStanza, RaidStanza};
use super::code::Code;
use super::cursor::{Cursor, is_blank};
use super::guess::closest;
use super::header::{Header, read_header};
use super::line::{Line, read_line};
use super::source::{Problem, Source, Span};

use hostwright_model::diagnostic::{Diagnostic, Severity};

/// Reads a disk_config, the file of `class`. Everything wrong with its text is reported; what could
/// be understood is in the result.
pub fn parse(file: &str, text: &str, class: Option<&str>) -> (DiskConfig, Vec<Diagnostic>) {
    let source = Source::new(file, text);
    let mut parser = Parser {
        config: DiskConfig::new(source.clone(), class),
        stanza: Stanza::None,
        problems: Vec::new(),
    };
    parser.check_line_ends(text);
    for (line, number) in source.lines.iter().zip(1..) {
        parser.read(line, number);
    }
    parser.close_stanza();
    let Parser { mut config, mut problems, .. } = parser;
    config.incomplete = problems.iter().any(|problem| problem.severity == Severity::Error);
    problems.sort_by_key(|problem| problem.at);
    let diagnostics = problems.into_iter().map(|problem| source.diagnose(problem)).collect();
    (config, diagnostics)
}

/// What the lines being read belong to.
enum Stanza {
    /// Nothing: before the first stanza, or behind `disk_config end`.
    None,
    /// A stanza whose header was refused; its lines are read for their own mistakes only.
    Refused,
    Disk(DiskStanza),
    Raid(RaidStanza),
    Encryption(EncryptionStanza),
    Btrfs(BtrfsStanza),
    Lvm(LvmStanza),
    Tmpfs,
    Nfs,
}

struct Parser {
    config: DiskConfig,
    stanza: Stanza,
    problems: Vec<Problem>,
}

impl Parser {
    fn check_line_ends(&mut self, text: &str) {
        let bad_lines = text.matches("\r\n").count();
        if let Some(first) = text.find("\r\n") {
            let before = &text[..first];
            let line = 1 + before.matches('\n').count();
            let column = first - before.rfind('\n').map_or(0, |end| end + 1) + 1;
            let short = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let at = Span { line: short(line), column: short(column), length: 1 };
            let message = match bad_lines {
                1 => "this line ends in CR LF, which FAI does not read".to_owned(),
                _ => format!("{bad_lines} lines end in CR LF, which FAI does not read"),
            };
            let cure = "convert the file to Unix line ends, as dos2unix does";
            self.problems.push(Problem::error(Code::Crlf, at, message, cure));
        }
        if !text.is_empty() && !text.ends_with('\n') {
            let last = self.config.source.lines.len();
            let text = self.config.source.lines.last().map_or("", String::as_str);
            let at = Cursor::new("", u32::try_from(last).unwrap_or(u32::MAX)).span(0);
            let at = Span { column: u32::try_from(text.len() + 1).unwrap_or(u32::MAX), ..at };
            let message = "the last line has no line end; FAI refuses such a file";
            let cure = "end the file with a line feed";
            self.problems.push(Problem::warning(Code::NoFinalNewline, at, message, cure));
        }
    }

    fn read(&mut self, text: &str, number: u32) {
        let mut cursor = Cursor::new(text, number);
        if cursor.at_end() || cursor.rest().starts_with('#') {
            return;
        }
        if let Some(problem) = old_style(text, number) {
            self.problems.push(problem);
            return;
        }
        if cursor.eat("disk_config").is_some() {
            self.close_stanza();
            self.open_stanza(&mut cursor);
            return;
        }
        match read_line(&mut cursor, &mut self.problems) {
            Ok(line) => self.attach(line),
            // Below a header that was refused, nobody knows what belongs.
            Err(problem) if problem.code == Code::WrongStanza && self.is_refused() => {}
            Err(problem) => {
                let is_header = problem.code == Code::UnknownLine
                    && closest(cursor.peek_word(), &["disk_config"]).is_some();
                self.problems.push(*problem);
                if is_header {
                    self.close_stanza();
                    self.stanza = Stanza::Refused;
                }
            }
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self.stanza, Stanza::Refused)
    }

    fn open_stanza(&mut self, cursor: &mut Cursor<'_>) {
        self.stanza = match read_header(cursor, &self.config.disks) {
            Ok(Header::End) => Stanza::None,
            Ok(Header::Disk(disk)) => Stanza::Disk(disk),
            Ok(Header::Raid(raid)) => Stanza::Raid(raid),
            Ok(Header::Encryption(encryption)) => Stanza::Encryption(encryption),
            Ok(Header::Btrfs(btrfs)) => Stanza::Btrfs(btrfs),
            Ok(Header::Lvm(lvm)) => Stanza::Lvm(lvm),
            Ok(Header::Tmpfs) => Stanza::Tmpfs,
            Ok(Header::Nfs) => Stanza::Nfs,
            Err(problem) => {
                self.problems.push(*problem);
                Stanza::Refused
            }
        };
    }

    fn close_stanza(&mut self) {
        match std::mem::replace(&mut self.stanza, Stanza::None) {
            Stanza::Disk(disk) => self.config.disks.push(disk),
            Stanza::Raid(raid) => self.config.raid.push(raid),
            Stanza::Encryption(encryption) => self.config.encryption.push(encryption),
            Stanza::Btrfs(btrfs) => self.config.btrfs.push(btrfs),
            Stanza::Lvm(lvm) => self.config.lvm.push(lvm),
            Stanza::None | Stanza::Refused | Stanza::Tmpfs | Stanza::Nfs => {}
        }
    }

    fn attach(&mut self, line: Line) {
        match (&mut self.stanza, line) {
            (Stanza::Disk(disk), Line::Partition(partition)) => disk.partitions.push(partition),
            (Stanza::Raid(raid), Line::Array(array)) => raid.arrays.push(array),
            (Stanza::Encryption(stanza), Line::Encrypted(line)) => stanza.devices.push(line),
            (Stanza::Btrfs(btrfs), Line::Btrfs(line)) => btrfs.volumes.push(line),
            (Stanza::Lvm(lvm), Line::Group(group)) => lvm.groups.push(group),
            (Stanza::Lvm(lvm), Line::LogicalVolume(volume)) => lvm.volumes.push(volume),
            (Stanza::Tmpfs, Line::Tmpfs(line)) => self.config.tmpfs.push(line),
            (Stanza::Nfs, Line::Nfs(line)) => self.config.nfs.push(line),
            (Stanza::Refused, _) => {}
            (stanza, line) => {
                let problem = misplaced(stanza, &line);
                self.problems.push(problem);
            }
        }
    }
}

/// The mistake of a line that belongs into another stanza, or into one at all.
fn misplaced(stanza: &Stanza, line: &Line) -> Problem {
    let (what, at, wanted) = match line {
        Line::Partition(line) => ("a partition", line.at, "DISK"),
        Line::Array(line) => ("an array", line.at, "raid"),
        Line::Encrypted(line) => ("an encrypted device", line.at, "cryptsetup"),
        Line::Btrfs(line) => ("a btrfs", line.at, "btrfs"),
        Line::Group(line) => ("a volume group", line.name.at, "lvm"),
        Line::LogicalVolume(line) => ("a logical volume", line.group.at, "lvm"),
        Line::Tmpfs(line) => ("a tmpfs", line.at, "tmpfs"),
        Line::Nfs(line) => ("an NFS mount", line.at, "nfs"),
    };
    let place = match stanza {
        Stanza::Disk(_) => "in the stanza of a disk",
        Stanza::Raid(_) => "in a raid stanza",
        Stanza::Encryption(_) => "in a cryptsetup stanza",
        Stanza::Btrfs(_) => "in a btrfs stanza",
        Stanza::Lvm(_) => "in an lvm stanza",
        Stanza::Tmpfs => "in a tmpfs stanza",
        Stanza::Nfs => "in an nfs stanza",
        Stanza::None | Stanza::Refused => "outside every stanza",
    };
    let message = format!("{what} has no place {place}");
    let cure = format!("put the line below a line `disk_config {wanted}`");
    Problem::error(Code::WrongStanza, at, message, cure)
}

/// FAI looks for this before it parses, so that even a `;` in quotes counts.
fn old_style(text: &str, line: u32) -> Option<Problem> {
    let code_part = text.split('#').next().unwrap_or(text);
    let position = code_part.char_indices().skip(1).find(|(_, c)| *c == ';')?.0;
    let at = Span { line, column: u32::try_from(position + 1).unwrap_or(u32::MAX), length: 1 };
    let (message, cure) = match code_part[..position].contains('"') {
        true => (
            "FAI takes a line with a ';' for its old format, even in quotes",
            "write the options without ';'",
        ),
        false => (
            "a ';' marks FAI's old format, which is no longer read",
            "write the line in the format of setup-storage(8), or remove the ';'",
        ),
    };
    Some(Problem::error(Code::OldStyle, at, message, cure))
}

/// Refuses whatever is left on a line; `options` may follow there.
pub(super) fn expect_end(cursor: &Cursor<'_>, options: &[&str]) -> Result<(), Box<Problem>> {
    if cursor.at_end() {
        return Ok(());
    }
    let word = cursor.peek_word();
    let at = cursor.here();
    if word.starts_with('#') {
        return Err(trailing_comment(cursor));
    }
    let message = format!("'{word}' is not understood here");
    let name = word.split([':', '=']).next().unwrap_or(word);
    let cure = match closest(name, options) {
        Some(option) => format!("write `{option}` if that is what you mean"),
        None if options.is_empty() => "remove it: nothing may follow here".to_owned(),
        None => format!("remove it; what may follow is {}", options.join(", ")),
    };
    Err(Box::new(Problem::error(Code::UnknownOption, at, message, cure)))
}

/// The mistake of a comment that does not begin its line.
pub(super) fn trailing_comment(cursor: &Cursor<'_>) -> Box<Problem> {
    let at = cursor.span(cursor.rest().trim_end_matches(is_blank).len());
    let message = "a comment cannot follow something else on its line";
    let cure = "move the comment to a line of its own";
    Box::new(Problem::error(Code::TrailingComment, at, message, cure))
}
