//! Conditions behind `PACKAGES action`: a list of classes or a boolean expression over them.
//!
//! ```text
//! condition = { class }                            any of them; none at all is always true
//!           | or                                   where one of ! & | ( ) occurs
//! or        = and { "||" and }
//! and       = not { "&&" not }
//! not       = "!" not | "(" or ")" | class
//! ```

use hostwright_model::class::{ClassList, ClassName};
use std::fmt;

/// When the packages below a header count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    Always,
    /// One of the classes is active.
    Any(Vec<ClassName>),
    /// A boolean expression is true.
    Expression(Expression),
}

/// A boolean expression over classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// The class is active.
    Class(ClassName),
    /// The operand is false.
    Not(Box<Expression>),
    /// Both operands are true.
    And(Box<Expression>, Box<Expression>),
    /// One operand is true.
    Or(Box<Expression>, Box<Expression>),
}

/// Why a text is no condition, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadCondition<'a> {
    pub message: String,
    pub span: &'a str,
}

impl Condition {
    /// Reads what follows action and option of a header.
    pub(crate) fn parse(text: &str) -> Result<Self, BadCondition<'_>> {
        if text.contains(['!', '&', '|', '(', ')']) {
            return Parser::new(text)?.whole().map(Self::Expression);
        }
        let classes: Vec<ClassName> =
            text.split_whitespace().map(class).collect::<Result<_, _>>()?;
        Ok(if classes.is_empty() { Self::Always } else { Self::Any(classes) })
    }

    /// True for these classes.
    pub fn holds(&self, classes: &ClassList) -> bool {
        match self {
            Self::Always => true,
            Self::Any(names) => names.iter().any(|name| classes.contains(name.as_str())),
            Self::Expression(expression) => expression.holds(classes),
        }
    }

    /// True if the absence of a class may make it true.
    pub fn has_negation(&self) -> bool {
        matches!(self, Self::Expression(expression) if expression.has_negation())
    }

    /// Every class it mentions.
    pub fn classes(&self) -> Vec<&ClassName> {
        match self {
            Self::Always => Vec::new(),
            Self::Any(names) => names.iter().collect(),
            Self::Expression(expression) => expression.classes(),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Any(names) => {
                let names: Vec<&str> = names.iter().map(ClassName::as_str).collect();
                f.write_str(&names.join(" "))
            }
            Self::Expression(expression) => expression.fmt(f),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(name) => name.fmt(f),
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::And(left, right) => write!(f, "({left} && {right})"),
            Self::Or(left, right) => write!(f, "({left} || {right})"),
        }
    }
}

impl Expression {
    fn holds(&self, classes: &ClassList) -> bool {
        match self {
            Self::Class(name) => classes.contains(name.as_str()),
            Self::Not(inner) => !inner.holds(classes),
            Self::And(left, right) => left.holds(classes) && right.holds(classes),
            Self::Or(left, right) => left.holds(classes) || right.holds(classes),
        }
    }

    fn has_negation(&self) -> bool {
        match self {
            Self::Class(_) => false,
            Self::Not(_) => true,
            Self::And(left, right) | Self::Or(left, right) => {
                left.has_negation() || right.has_negation()
            }
        }
    }

    fn classes(&self) -> Vec<&ClassName> {
        match self {
            Self::Class(name) => vec![name],
            Self::Not(inner) => inner.classes(),
            Self::And(left, right) | Self::Or(left, right) => {
                [left.classes(), right.classes()].concat()
            }
        }
    }
}

fn class(word: &str) -> Result<ClassName, BadCondition<'_>> {
    word.parse()
        .map_err(|_| BadCondition { message: format!("'{word}' is not a class name"), span: word })
}

/// Words of an expression, from left to right.
struct Parser<'a> {
    words: std::iter::Peekable<std::vec::IntoIter<&'a str>>,
    text: &'a str,
    /// How deep parentheses and negations nest, bounded for the sake of the stack.
    depth: u32,
}

const DEPTH_MAX: u32 = 64;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, BadCondition<'a>> {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '!' | '(' | ')' => 1,
                '&' | '|' if rest[1..].starts_with(first) => 2,
                '&' | '|' => {
                    let message = format!("'{first}' alone is no operator; write '{first}{first}'");
                    return Err(BadCondition { message, span: &rest[..1] });
                }
                _ => {
                    let end = |c: char| c.is_whitespace() || "!&|()".contains(c);
                    rest.find(end).unwrap_or(rest.len())
                }
            };
            words.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
        Ok(Self { words: words.into_iter().peekable(), text, depth: 0 })
    }

    fn whole(mut self) -> Result<Expression, BadCondition<'a>> {
        let expression = self.or()?;
        match self.words.next() {
            None => Ok(expression),
            Some(")") => Err(self.unbalanced()),
            Some(word) => {
                let message = format!("there is no operator in front of '{word}'");
                Err(BadCondition { message, span: word })
            }
        }
    }

    fn or(&mut self) -> Result<Expression, BadCondition<'a>> {
        let mut left = self.and()?;
        while self.words.next_if_eq(&"||").is_some() {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, BadCondition<'a>> {
        let mut left = self.not()?;
        while self.words.next_if_eq(&"&&").is_some() {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, BadCondition<'a>> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("the expression nests deeper than {DEPTH_MAX}");
            return Err(BadCondition { message, span: self.text });
        }
        let expression = match self.words.next() {
            Some("!") => Expression::Not(Box::new(self.not()?)),
            Some("(") => {
                let inner = self.or()?;
                self.words.next_if_eq(&")").ok_or_else(|| self.unbalanced())?;
                inner
            }
            Some(word @ (")" | "&&" | "||")) => {
                let message = format!("there is no class in front of '{word}'");
                return Err(BadCondition { message, span: word });
            }
            Some(word) => Expression::Class(class(word)?),
            None => {
                let message = "the expression ends where a class is wanted".to_owned();
                return Err(BadCondition { message, span: self.text });
            }
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn unbalanced(&self) -> BadCondition<'a> {
        let message = "the parentheses of the expression do not balance".to_owned();
        BadCondition { message, span: self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, classes: &str) -> bool {
        let condition = Condition::parse(condition).expect("a condition");
        condition.holds(&classes.parse().expect("classes"))
    }

    #[test]
    fn lists_and_expressions() {
        for (condition, classes, expected) in [
            ("", "A", true),
            ("A B", "B", true),
            ("A B", "C", false),
            ("A && B", "A", false),
            ("A&&B", "A B", true),
            ("A && ! B", "A", true),
            ("A && !B", "A B", false),
            ("A || B && C", "A", true),
            ("(A || B) && C", "A", false),
            ("!(A||B)", "C", true),
            ("!!A", "A", true),
            ("my-host && A", "A my-host", true),
        ] {
            assert_eq!(holds(condition, classes), expected, "'{condition}' for {classes}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (condition, span) in [
            ("A & B", "&"),
            ("A && ", "A && "),
            ("(A || B", "(A || B"),
            ("A || B)", "A || B)"),
            ("A && || B", "||"),
            ("!A B", "B"),
            ("()", ")"),
        ] {
            let bad = Condition::parse(condition).expect_err(condition);
            assert_eq!(bad.span, span, "{condition}: {}", bad.message);
        }
        let deep = "(".repeat(100_000);
        assert!(Condition::parse(&deep).is_err(), "and the stack survives");
    }
}
