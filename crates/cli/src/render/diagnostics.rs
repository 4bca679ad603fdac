//! Diagnostics as rustc draws them: the line, the place in it, and what cures it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use hostwright_model::diagnostic::{Diagnostic, Severity};

/// Writes diagnostics to standard error, worst last, with a count.
pub fn print(found: &[Diagnostic]) {
    let renderer = Renderer::styled();
    let mut sorted: Vec<&Diagnostic> = found.iter().collect();
    sorted.sort_by_key(|diagnostic| diagnostic.severity);
    for diagnostic in sorted {
        anstream::eprintln!("{}\n", renderer.render(&[draw(diagnostic)]));
    }
    anstream::eprintln!("{}", count(found));
}

/// `2 errors, 1 warning`.
pub fn count(found: &[Diagnostic]) -> String {
    let kinds =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let counted = kinds.iter().filter_map(|(severity, name)| {
        let number = found.iter().filter(|d| d.severity == *severity).count();
        let plural = if number == 1 { "" } else { "s" };
        (number > 0).then(|| format!("{number} {name}{plural}"))
    });
    match counted.collect::<Vec<_>>() {
        none if none.is_empty() => "no mistakes found".to_owned(),
        some => some.join(", "),
    }
}

fn draw(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let group = Group::with_title(title);
    let group = match (&diagnostic.at, &diagnostic.source_line) {
        (Some(at), Some(line)) => {
            let start = (at.column.max(1) - 1) as usize;
            let start = start.min(line.len());
            let length = if at.length == 0 { line.len() - start } else { at.length as usize };
            let end = (start + length).min(line.len());
            let marked = AnnotationKind::Primary.span(start..end);
            let snippet = Snippet::source(line.as_str()).path(at.file.as_str());
            group.element(snippet.line_start(at.line.max(1) as usize).annotation(marked))
        }
        (Some(at), None) => group.element(annotate_snippets::Origin::path(at.file.as_str())),
        (None, _) => group,
    };
    group.element(Level::HELP.message(diagnostic.cure.as_str()))
}
