//! Which file sets a variable, and which others would.

use super::{Asked, Explanation, place, reason};
use crate::space::VarFile;
use hostwright_model::class::ClassName;
use hostwright_model::vars::is_secret;

pub(super) fn explain(asked: &Asked<'_>, name: &str) -> Explanation {
    let mut explanation = Explanation::new(format!("variable {name}"), String::new());
    let mut setters: Vec<(&ClassName, &VarFile)> = asked.space.var_files.iter().collect();
    setters.retain(|(_, file)| file.assignments.contains_key(name));
    setters.sort_by_key(|(class, _)| asked.rank(class));
    let mut last = None;
    for (class, file) in &setters {
        let assignment = &file.assignments[name];
        let at = place(&file.path, assignment.line, assignment.column, name.len());
        let text = shown(name, assignment.text.trim());
        if asked.has(class.as_str()) {
            explanation.because.push(reason(text, at));
            last = Some(class);
        } else {
            let text = format!("with class {class}, which is not there: {text}");
            explanation.otherwise.push(reason(text, at));
        }
    }
    let told = asked.vars.0.get(name);
    explanation.answer = match (told, last, &asked.classes) {
        (Some(var), ..) => format!("'{}' from {}", shown_value(name, &var.value), var.origin),
        (None, Some(class), Some(_)) => format!("{class}.var has the last word"),
        (None, Some(_), None) => "of these, the file of the machine's last class wins".to_owned(),
        (None, None, _) => "no .var file of these classes sets it".to_owned(),
    };
    let code = asked.mentions(&["class/", "hooks/"], name);
    let is_other = |reason: &super::Reason| {
        reason.at.as_ref().is_some_and(|at| !at.file.ends_with(".var"))
            && reason.text.contains(&format!("{name}="))
    };
    explanation.otherwise.extend(code.into_iter().filter(is_other));
    explanation
}

fn shown_value<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name) { "…" } else { value }
}

fn shown(name: &str, assignment: &str) -> String {
    match assignment.split_once('=') {
        Some((left, _)) if is_secret(name) => format!("{left}=…"),
        _ => assignment.to_owned(),
    }
}
