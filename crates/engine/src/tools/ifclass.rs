//! `ifclass`: is a class defined, or all, or any of several, or is an expression over classes true.
//!
//! ```text
//! expression = either [ "?" expression ":" expression ]
//! either     = both { "||" both }
//! both       = single { "&&" single }
//! single     = "!" single | "(" expression ")" | "TRUE" | "FALSE" | CLASS
//! ```

use super::session::usage;
use super::{Session, ToolError};
use fancy_regex::Regex;

pub(super) const USAGE: &str = "[-a|-o] CLASS… | 'EXPRESSION'";

/// How deep parentheses may be nested.
const DEPTH_MAX: u32 = 200;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    if session.env.get_even_empty("classes").is_none() {
        session.warn("ifclass: variable $classes is not set");
    }
    let classes = session.classes();
    let holds = |question: &String| holds(question, &classes).map_err(usage);
    let answer = match args {
        [flag] if flag == "-a" => false,
        [flag, questions @ ..] if flag == "-a" => all(questions, holds)?,
        [flag, questions @ ..] if flag == "-o" => !all(questions, |q| holds(q).map(|yes| !yes))?,
        [question] => holds(question)?,
        [] => return Err(usage("a class is needed")),
        _ => return Err(usage("several classes need -a or -o, an expression needs quotes")),
    };
    Ok(i32::from(!answer))
}

fn all(
    questions: &[String],
    holds: impl Fn(&String) -> Result<bool, ToolError>,
) -> Result<bool, ToolError> {
    for question in questions {
        if !holds(question)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `question` holds: a class, an expression (as FAI 6.4 and later take it), or a regular
/// expression over whole class names (as FAI up to 6.3 took it).
pub(crate) fn holds(question: &str, classes: &[String]) -> Result<bool, String> {
    let is_defined = |name: &str| classes.iter().any(|class| class == name);
    if is_defined(question) {
        return Ok(true);
    }
    let is_expression = question.contains(|c: char| c.is_whitespace() || "!&?".contains(c))
        || question.contains("||")
        || question.starts_with('(');
    if is_expression {
        let tokens = tokens(question)?;
        let mut parser = Parser { tokens: &tokens, is_defined: &is_defined, depth: 0 };
        let value = parser.expression()?;
        return match parser.tokens.first() {
            None => Ok(value),
            Some(token) => Err(format!("'{token}' is not expected in '{question}'")),
        };
    }
    if question.contains(|c: char| ".*+[]()|^$\\".contains(c)) {
        let pattern = Regex::new(&format!("^(?:{question})$"));
        let pattern = pattern.map_err(|error| format!("'{question}' is no pattern: {error}"))?;
        return Ok(classes.iter().any(|class| pattern.is_match(class).unwrap_or(false)));
    }
    Ok(matches!(question, "TRUE"))
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let operator =
            ["&&", "||", "!", "(", ")", "?", ":"].iter().find(|op| rest.starts_with(*op));
        let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let length = operator.map_or_else(
            || rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            |operator| operator.len(),
        );
        if length == 0 {
            return Err(format!("'{rest}' begins with neither a class nor an operator"));
        }
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [String],
    is_defined: &'a dyn Fn(&str) -> bool,
    depth: u32,
}

impl Parser<'_> {
    fn accept(&mut self, token: &str) -> bool {
        let found = self.tokens.first().is_some_and(|next| next == token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.accept(token) { Ok(()) } else { Err(format!("a '{token}' is missing")) }
    }

    fn expression(&mut self) -> Result<bool, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("the expression is nested too deep".to_owned());
        }
        let mut value = self.either()?;
        if self.accept("?") {
            let yes = self.expression()?;
            self.expect(":")?;
            let no = self.expression()?;
            value = if value { yes } else { no };
        }
        self.depth -= 1;
        Ok(value)
    }

    fn either(&mut self) -> Result<bool, String> {
        let mut value = self.both()?;
        while self.accept("||") {
            value |= self.both()?;
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut value = self.single()?;
        while self.accept("&&") {
            value &= self.single()?;
        }
        Ok(value)
    }

    fn single(&mut self) -> Result<bool, String> {
        let mut negated = false;
        while self.accept("!") {
            negated = !negated;
        }
        if self.accept("(") {
            let value = self.expression()?;
            self.expect(")")?;
            return Ok(value != negated);
        }
        let Some((name, rest)) = self.tokens.split_first() else {
            return Err("a class is missing at the end".to_owned());
        };
        if name.starts_with(|c: char| "&|!()?:".contains(c)) {
            return Err(format!("a class is missing in front of '{name}'"));
        }
        self.tokens = rest;
        let value = match name.as_str() {
            "TRUE" => true,
            "FALSE" => false,
            name => (self.is_defined)(name),
        };
        Ok(value != negated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: &str) -> Result<bool, String> {
        let classes = ["DEFAULT", "DEBIAN", "AMD64", "FAI-BASE", "web.example", "LAST"];
        holds(question, &classes.map(str::to_owned))
    }

    #[test]
    fn expressions() {
        let yes = [
            "DEBIAN && AMD64",
            "DEBIAN && ! UBUNTU",
            "UBUNTU || DEBIAN",
            "!UBUNTU",
            "! ( UBUNTU || ROCKY ) && AMD64",
            "UBUNTU && ROCKY || DEBIAN",
            "DEBIAN || UBUNTU && ROCKY",
            "FAI-BASE && web.example",
            "UBUNTU ? ROCKY : DEBIAN",
            "TRUE && !FALSE",
            "!!DEBIAN",
        ];
        for question in yes {
            assert_eq!(ask(question), Ok(true), "{question}");
        }
        for question in ["DEBIAN && UBUNTU", "!DEBIAN", "!(DEBIAN)", "FALSE || UBUNTU", "UBUNTU"] {
            assert_eq!(ask(question), Ok(false), "{question}");
        }
    }

    #[test]
    fn mistakes_are_errors() {
        for question in
            ["DEBIAN &&", "&& DEBIAN", "(DEBIAN", "DEBIAN)", "A B", "A & B", "! ", "a ?"]
        {
            assert!(ask(question).is_err(), "{question}");
        }
        let deep = format!("{}A{}", "(".repeat(500), ")".repeat(500));
        assert!(ask(&deep).is_err());
    }

    #[test]
    fn old_patterns_over_whole_names() {
        assert_eq!(ask("DEB.*"), Ok(true));
        assert_eq!(ask("EB.*"), Ok(false));
        assert_eq!(ask("UBUNTU|DEBIAN"), Ok(true));
        assert_eq!(ask("web.example"), Ok(true));
    }
}
