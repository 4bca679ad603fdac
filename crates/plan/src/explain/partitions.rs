//! Which disk_config counts for a machine, and which of its lines asks for a volume.

use super::{Asked, Explanation, Reason, place, reason, whole};
use crate::space::DiskConfigFile;
use hostwright_model::class::ClassName;

pub(super) fn explain(asked: &Asked<'_>, name: &str) -> Explanation {
    let mut explanation = Explanation::new(format!("partition {name}"), String::new());
    let counts = asked.classes.as_ref().and_then(|classes| asked.space.disk_config_of(classes));
    let mut files: Vec<(&ClassName, &DiskConfigFile)> = asked.space.disk_configs.iter().collect();
    files.sort_by_key(|(class, _)| asked.rank(class));
    for (class, file) in files {
        let lines = lines(asked, &file.path, name);
        let is_counting = counts.is_some_and(|(known, _)| known == class);
        if is_counting {
            let text = format!("class {class} is the last of the machine's that has a layout");
            explanation.because.push(reason(text, whole(&file.path)));
        }
        if is_counting || asked.classes.is_none() {
            explanation.because.extend(lines);
        } else {
            let order = if asked.has(class.as_str()) { "came last" } else { "were there" };
            let with = |line: Reason| reason(format!("if {class} {order}: {}", line.text), line.at);
            explanation.otherwise.extend(lines.into_iter().map(with));
        }
    }
    let asked_for =
        explanation.because.iter().any(|reason| reason.at.as_ref().is_some_and(|at| at.line > 0));
    explanation.answer = match (asked_for, counts, &asked.classes) {
        (true, Some((class, _)), _) => format!("class {class} asks for it"),
        (true, None, _) => "these layouts ask for it".to_owned(),
        (false, Some((_, file)), _) => format!("{} does not ask for it", file.path),
        (false, None, Some(_)) => "none of the machine's classes has a layout".to_owned(),
        (false, None, None) => "no layout asks for it".to_owned(),
    };
    explanation
}

/// Lines of a layout with this mount point, volume or kind.
fn lines(asked: &Asked<'_>, path: &str, name: &str) -> Vec<Reason> {
    let mut found = Vec::new();
    for (line, text) in asked.lines(path) {
        let code = text.trim();
        if code.starts_with('#') {
            continue;
        }
        // Behind the second word come sizes and options, in which a name means something else.
        let mut words = code.split_whitespace().take(2);
        if let Some(word) = words.find(|word| word.split(':').next() == Some(name)) {
            let column = text.find(word).unwrap_or_default() as u32 + 1;
            found.push(reason(code, place(path, line, column, word.len())));
        }
    }
    found
}
