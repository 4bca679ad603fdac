//! `{%NAME%}` in a file becomes the value of the variable NAME.

use crate::tools::Env;

/// The text with values in it, and each variable that is not set with its line, from 1. In its
/// place the text gets `${NAME}`.
pub(crate) fn substitute(text: &[u8], env: &Env) -> (Vec<u8>, Vec<(String, usize)>) {
    let (mut done, mut unset) = (Vec::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"{%") {
        done.extend_from_slice(&rest[..at]);
        let Some(name) = name_in_front(&rest[at + 2..]) else {
            done.push(rest[at]);
            rest = &rest[at + 1..];
            continue;
        };
        match env.get_even_empty(name) {
            Some(value) => done.extend_from_slice(value.as_bytes()),
            None => {
                let before = text.len() - rest.len() + at;
                let line = 1 + text[..before].iter().filter(|byte| **byte == b'\n').count();
                unset.push((name.to_owned(), line));
                done.extend_from_slice(format!("${{{name}}}").as_bytes());
            }
        }
        rest = &rest[at + 2 + name.len() + 2..];
    }
    done.extend_from_slice(rest);
    (done, unset)
}

/// The name of `NAME%}` at the start of `text`.
fn name_in_front(text: &[u8]) -> Option<&str> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.iter().take_while(|byte| is_word(byte)).count();
    let ends = length > 0 && text[length..].starts_with(b"%}");
    std::str::from_utf8(&text[..length]).ok().filter(|_| ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_marks_are_replaced() {
        let mut env = Env::default();
        env.set("A", "1");
        env.set("EMPTY", "");
        let (text, unset) =
            substitute(b"{%A%}{%A%}x{%EMPTY%} {%A {%-%} {{%A%}}\n{%NO%}\xff{%", &env);
        assert_eq!(text, b"11x {%A {%-%} {1}\n${NO}\xff{%");
        assert_eq!(unset, [("NO".to_owned(), 2)]);
    }
}
