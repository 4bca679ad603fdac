//! `ainsl`: appends a line to a file of the target unless a line of it matches.

use super::options::Options;
use super::perl_regex::{LinePattern, PatternError, quote};
use super::session::{single_slashes, usage};
use super::{Session, ToolError};
use hostwright_host::metadata;

pub(super) const USAGE: &str = "[-aDhnNqQsv] FILE LINE [PATTERN]";

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("aDsvnqQN", args)?;
    let (file, line, given) = match &options.rest[..] {
        [file, line] => (file, line, None),
        [file, line, pattern, ..] => (file, line, Some(pattern.as_str())),
        _ => return Err(usage("a file and a line are needed")),
    };
    let verbose = options.has('v') || session.env.is_on("verbose");
    let debug = options.has('D') || session.env.is_on("debug");
    let (shown, path) = place(&options, file, session)?;
    let text = pattern(&options, line, given);
    let line = if given.is_none() { without_anchors(line) } else { line };
    if debug {
        session.say(&format!("ainsl: file {shown}, line '{line}', pattern '{text}'"));
    }
    let wrong = |error: PatternError| {
        ToolError::refused(255, format!("the pattern '{text}' cannot be used: {error}"))
    };
    let pattern = LinePattern::new(&text).map_err(wrong)?;
    let mut content = session.host.read(&path)?;
    if content.is_none() && options.has('a') {
        if verbose {
            session.say(&format!("ainsl: create {shown}"));
        }
        content = Some(Vec::new());
        if !options.has('n') {
            session.host.write(&path, b"", 0o644)?;
        }
    }
    let missing = || ToolError::refused(2, format!("target file {shown} does not exist."));
    let content = content.ok_or_else(missing)?;
    if has_line(&content, &pattern).map_err(wrong)? {
        return Ok(0);
    }
    if verbose {
        session.say(&format!("ainsl: appending to {shown}: {line}"));
    }
    if options.has('n') {
        return Ok(0);
    }
    let unfinished = content.last().is_some_and(|byte| *byte != b'\n');
    let addition = format!("{}{line}\n", if unfinished { "\n" } else { "" });
    session.host.append(&path, addition.as_bytes())?;
    Ok(0)
}

/// True if a line of the file matches.
fn has_line(content: &[u8], pattern: &LinePattern) -> Result<bool, PatternError> {
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if pattern.matches(line)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file as FAI names it, and its path with the links of the target followed.
fn place(
    options: &Options,
    file: &str,
    session: &Session<'_>,
) -> Result<(String, String), ToolError> {
    let target = session.env.get("AINSL_TARGET").filter(|_| !options.has('N'));
    let Some(target) = target else {
        let path = single_slashes(&session.absolute(file));
        return Ok((path.clone(), path));
    };
    let shown = single_slashes(&format!("{target}/{file}"));
    let path = metadata::resolve_in_root(&session.absolute(target), file, true)?;
    Ok((shown, path))
}

/// The pattern that shows that the line is there. Without one of its own the line is the pattern,
/// with `( ) +` taken literally.
fn pattern(options: &Options, line: &str, given: Option<&str>) -> String {
    let mut pattern = match given {
        _ if options.has('Q') => quote(given.unwrap_or_else(|| without_anchors(line))),
        Some(pattern) => pattern.to_owned(),
        None => line.replace('(', r"\(").replace(')', r"\)").replace('+', r"\+"),
    };
    if options.has('s') {
        pattern = blanks_match_blanks(&pattern);
    }
    if options.has('q') && !options.has('Q') {
        pattern = pattern.replace('*', r"\*");
    }
    pattern
}

/// The line to write: `^` and `$` at its ends are for the pattern only.
fn without_anchors(line: &str) -> &str {
    let line = line.strip_prefix('^').unwrap_or(line);
    line.strip_suffix('$').unwrap_or(line)
}

/// Every run of blanks becomes `\s+`.
fn blanks_match_blanks(pattern: &str) -> String {
    let mut done = String::new();
    let mut in_blanks = false;
    for c in pattern.chars() {
        let blank = c.is_ascii_whitespace();
        match (blank, in_blanks) {
            (true, false) => done.push_str(r"\s+"),
            (true, true) => {}
            (false, _) => done.push(c),
        }
        in_blanks = blank;
    }
    done
}
