//! One line of the protocol.

/// A line longer than this is not read to its end.
pub(super) const LINE_BYTES_MAX: u64 = 512;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A question for a variable.
    Variable(String),
    /// A machine tells something.
    Told {
        /// What it calls itself.
        name: String,
        /// What it tells.
        news: News,
    },
}

/// What a machine tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It begins.
    Check,
    /// A task begins.
    Begin(String),
    /// A task ended with an error, 0 for none.
    End(String, u32),
    /// A task is left out.
    Skip(String),
    /// Something that changes no task: a hook, an error that the task's end tells again.
    Other,
}

impl Message {
    /// Reads a line; `None` for one that is none of the protocol's.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|word| is_name(word))?.to_owned();
        let kind = words.next()?;
        if name == "VARIABLE" {
            return is_name(kind).then(|| Self::Variable(kind.to_owned()));
        }
        let mut word = || words.next().filter(|word| is_name(word)).map(str::to_owned);
        let news = match kind {
            "check" => News::Check,
            "TASKBEGIN" => News::Begin(word()?),
            "TASKEND" => News::End(word()?, word().and_then(|text| text.parse().ok()).unwrap_or(0)),
            "TASKSKIP" => News::Skip(word()?),
            "HOOK" | "TASKERROR" => News::Other,
            _ => return None,
        };
        Some(Self::Told { name, news })
    }
}

/// Names of machines, tasks and variables; whatever else comes from the network is not repeated.
fn is_name(word: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    (1..=64).contains(&word.len()) && word.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, news: News) -> Option<Message> {
        Some(Message::Told { name: name.to_owned(), news })
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let task = || "partition".to_owned();
        assert_eq!(Message::parse("web1 check\n"), told("web1", News::Check));
        assert_eq!(Message::parse("web1 TASKBEGIN partition"), told("web1", News::Begin(task())));
        assert_eq!(
            Message::parse("web1 TASKEND partition 710"),
            told("web1", News::End(task(), 710))
        );
        assert_eq!(
            Message::parse("01-52-54 TASKSKIP partition"),
            told("01-52-54", News::Skip(task()))
        );
        assert_eq!(Message::parse("web1 HOOK partition.BASE"), told("web1", News::Other));
        assert_eq!(
            Message::parse("VARIABLE NFSROOT"),
            Some(Message::Variable("NFSROOT".to_owned()))
        );
    }

    #[test]
    fn other_lines_are_nothing() {
        let long = "x".repeat(65) + " check";
        for line in ["", "web1", "web1 HELLO", "<b> check", "web1 TASKBEGIN", "VARIABLE", &long] {
            assert_eq!(Message::parse(line), None, "{line}");
        }
    }
}
