//! Which variant of a file a machine gets, and who copies it.

use super::{Asked, Explanation, reason, whole};
use hostwright_model::class::ClassName;

/// Where files are copied from.
const CODE: [&str; 3] = ["scripts/", "hooks/", "tests/"];

pub(super) fn explain(asked: &Asked<'_>, path: &str) -> Explanation {
    let target = path.trim_start_matches('/');
    let mut explanation = Explanation::new(format!("file /{target}"), String::new());
    let mut variants: Vec<(&ClassName, &String)> =
        asked.space.files.get(target).into_iter().flatten().collect();
    variants.sort_by_key(|(class, _)| asked.rank(class));
    let there = |(class, _): &&(&ClassName, &String)| asked.has(class.as_str());
    let winner = variants.iter().rfind(there).copied();
    for (class, variant) in &variants {
        let is_winner = asked.classes.is_some() && Some((*class, *variant)) == winner;
        if is_winner {
            let text = format!("class {class} is the last of the machine's that has a variant");
            explanation.because.insert(0, reason(text, whole(variant)));
        } else if asked.classes.is_none() {
            explanation.because.push(reason(format!("for class {class}"), whole(variant)));
        } else if asked.has(class.as_str()) {
            let text = format!("class {class} has one, too, but comes earlier");
            explanation.otherwise.push(reason(text, whole(variant)));
        } else {
            let text = format!("would be taken with class {class} behind the others");
            explanation.otherwise.push(reason(text, whole(variant)));
        }
    }
    let copies = asked.mentions(&CODE, &format!("/{target}"));
    explanation.answer = answer(asked, variants.len(), winner, copies.len());
    explanation.because.extend(copies);
    explanation
}

fn answer(
    asked: &Asked<'_>,
    variants: usize,
    winner: Option<(&ClassName, &String)>,
    copies: usize,
) -> String {
    match (variants, winner) {
        (0, _) if copies == 0 => "nothing in the space names it".to_owned(),
        (0, _) => "no variant in files/; code of the space names it".to_owned(),
        (1, _) if asked.classes.is_none() => "one variant, for machines with its class".to_owned(),
        (count, _) if asked.classes.is_none() => format!("{count} variants, the last class wins"),
        (_, Some((_, path))) => format!("fcopy takes {path}"),
        (_, None) => "none of the machine's classes has a variant".to_owned(),
    }
}
