//! JSON for programs.

use serde::Serialize;
use std::io::Write as _;

/// Writes a value to standard output, indented, with a newline.
pub fn print(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value);
    line(&text.expect("invariant: our nouns have string keys"));
}

/// Writes a value to standard output as one line.
pub fn print_line(value: &impl Serialize) {
    let text = serde_json::to_string(value);
    line(&text.expect("invariant: our nouns have string keys"));
}

/// Whoever reads may stop when it has seen enough; that is no fault of ours.
fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
