//! JSON for programs.

use serde::Serialize;

/// Writes a value to standard output, indented, with a newline.
pub fn print(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value);
    println!("{}", text.expect("invariant: our nouns have string keys"));
}

/// Writes a value to standard output as one line.
pub fn print_line(value: &impl Serialize) {
    let text = serde_json::to_string(value);
    println!("{}", text.expect("invariant: our nouns have string keys"));
}
