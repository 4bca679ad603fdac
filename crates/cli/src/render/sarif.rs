//! Diagnostics as SARIF 2.1.0, which code hosting sites show beside the lines they are about.

use hostwright_model::diagnostic::{Diagnostic, Location, Severity};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The published schema of the format.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// A log with one run. `meanings` are the names of everything that can be found, each with a
/// sentence about it; `base` is what paths of diagnostics are relative to, as a path below the root
/// of the repository that ends in `/`, or empty.
pub fn log<'a>(
    found: &[Diagnostic],
    meanings: impl Iterator<Item = (&'a str, &'a str)>,
    base: &str,
) -> Value {
    let used: BTreeSet<&str> = found.iter().map(|diagnostic| diagnostic.code.as_str()).collect();
    let rules: Vec<(&str, &str)> = meanings.filter(|(code, _)| used.contains(code)).collect();
    let index = |code: &str| rules.iter().position(|(known, _)| *known == code);
    let results: Vec<Value> =
        found.iter().map(|diagnostic| result(diagnostic, index(&diagnostic.code), base)).collect();
    let rules: Vec<Value> = rules.iter().map(|(code, meaning)| rule(code, meaning)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "hostwright",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str, meaning: &str) -> Value {
    json!({ "id": code, "shortDescription": { "text": meaning } })
}

fn result(diagnostic: &Diagnostic, rule_index: Option<usize>, base: &str) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let text = format!("{}; {}", diagnostic.message, diagnostic.cure);
    let mut result = json!({
        "ruleId": diagnostic.code,
        "level": level,
        "message": { "text": text },
    });
    if let Some(index) = rule_index {
        result["ruleIndex"] = index.into();
    }
    if let Some(at) = &diagnostic.at {
        let line = diagnostic.source_line.as_deref();
        result["locations"] = json!([{ "physicalLocation": place(at, line, base) }]);
    }
    result
}

fn place(at: &Location, line: Option<&str>, base: &str) -> Value {
    let uri = percent_encoded(&format!("{base}{}", at.file));
    let mut place = json!({ "artifactLocation": { "uri": uri } });
    if at.line > 0 {
        place["region"] = region(at, line.unwrap_or_default());
    }
    place
}

/// Columns in characters, from 1; the end is behind the last one. Ours count bytes.
fn region(at: &Location, line: &str) -> Value {
    let mut region = json!({ "startLine": at.line });
    let characters = |bytes: u32| {
        let bytes = (bytes as usize).min(line.len());
        line.char_indices().filter(|(start, _)| *start < bytes).count()
    };
    if at.column > 0 {
        let start = characters(at.column - 1) + 1;
        region["startColumn"] = start.into();
        if at.length > 0 {
            let end = characters(at.column - 1 + at.length) + 1;
            region["endColumn"] = end.max(start).into();
        }
    }
    region
}

/// A path as RFC 3986 wants it in a URI reference.
fn percent_encoded(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encode = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(file: &str, line: u32, column: u32, length: u32) -> Diagnostic {
        Diagnostic {
            code: "no-run-bit".to_owned(),
            severity: Severity::Error,
            message: "it has no run bit".to_owned(),
            at: Some(Location { file: file.to_owned(), line, column, length }),
            cure: "give it one".to_owned(),
            source_line: Some("äb cd".to_owned()),
        }
    }

    #[test]
    fn places_count_characters_and_paths_are_encoded() {
        let found = [diagnostic("class/1 ö", 3, 5, 2), diagnostic("class", 0, 0, 0)];
        let meanings = [("bad-value", "A"), ("no-run-bit", "B")];
        let log = log(&found, meanings.into_iter(), "fai/");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 1);
        assert_eq!(run["results"][0]["ruleIndex"], 0);
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "fai/class/1%20%C3%B6");
        let region = json!({ "startLine": 3, "startColumn": 4, "endColumn": 6 });
        assert_eq!(place["region"], region);
        let whole = &run["results"][1]["locations"][0]["physicalLocation"];
        assert_eq!(whole.get("region"), None);
    }

    /// What the schema of SARIF 2.1.0 asks of the parts that are written here: which properties must
    /// be there, which may, and what their values are.
    #[test]
    fn the_log_keeps_to_the_schema() {
        let found = [diagnostic("a", 1, 1, 1), diagnostic("b", 0, 0, 0)];
        let log = log(&found, [("no-run-bit", "B")].into_iter(), "");
        keys(&log, &["version", "runs"], &["$schema"]);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        keys(run, &["tool"], &["columnKind", "results"]);
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        let driver = &run["tool"]["driver"];
        keys(driver, &["name"], &["semanticVersion", "rules"]);
        let rules = driver["rules"].as_array().unwrap();
        rules.iter().for_each(|rule| keys(rule, &["id"], &["shortDescription"]));
        for result in run["results"].as_array().unwrap() {
            keys(result, &["message"], &["ruleId", "ruleIndex", "level", "locations"]);
            keys(&result["message"], &["text"], &[]);
            assert!(
                ["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap())
            );
            let index = result["ruleIndex"].as_u64().unwrap() as usize;
            assert_eq!(rules[index]["id"], result["ruleId"]);
            let place = &result["locations"][0]["physicalLocation"];
            keys(place, &["artifactLocation"], &["region"]);
            keys(&place["artifactLocation"], &["uri"], &[]);
            if let Some(region) = place.get("region") {
                keys(region, &["startLine"], &["startColumn", "endColumn"]);
                let positive = |value: &Value| value.as_u64().is_some_and(|number| number >= 1);
                assert!(region.as_object().unwrap().values().all(positive), "{region}");
            }
        }
    }

    fn keys(value: &Value, required: &[&str], optional: &[&str]) {
        let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
        let is_known = |key: &String| [required, optional].concat().contains(&key.as_str());
        assert!(object.keys().all(is_known), "{value} has something more");
        assert!(required.iter().all(|key| object.contains_key(*key)), "{value} lacks something");
    }
}
