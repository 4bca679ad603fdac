//! docs/reference/diagnostics.md is what the code says.

mod support;

use hostwright_model::quirk::Quirk;
use hostwright_plan::{TreeFile, check, diagnostic_codes};
use std::collections::BTreeSet;

const HEAD: &str = "\
# Diagnostics

Every finding about a config space or a plan has one of these names. `hostwright check` and
`hostwright plan` show it in brackets, with the place and the cure.

| name | meaning |
|---|---|
";

#[test]
fn every_code_has_a_line_in_the_reference() {
    let rows = diagnostic_codes().map(|(code, meaning)| format!("| `{code}` | {meaning} |\n"));
    let wanted = HEAD.to_owned() + &rows.collect::<String>();
    let path = support::project().join("docs/reference/diagnostics.md");
    if support::is_set("HOSTWRIGHT_WRITE_REFERENCE") {
        support::write_text(&path, &wanted);
    }
    let found = support::read_text(&path);
    assert!(
        found == wanted,
        "docs/reference/diagnostics.md is out of date: run \
         HOSTWRIGHT_WRITE_REFERENCE=1 cargo nextest run -p hostwright-plan --test reference"
    );
}

const QUIRKS_HEAD: &str = "\
# What `--fai-bugs` does

Where FAI does something else than its documentation says, Hostwright does what the documentation says.
`--fai-bugs` (in the server's configuration `fai_bugs`, for a tool called alone `HOSTWRIGHT_FAI_BUGS=1`)
gives what FAI does. Each place warns with its name when it makes a difference:

| warning | what FAI does |
|---|---|
";

#[test]
fn every_quirk_has_a_line_in_the_reference() {
    let rows = Quirk::ALL.iter();
    let rows = rows.map(|(quirk, what)| format!("| `{}` |{what} |\n", quirk.id()));
    let wanted = QUIRKS_HEAD.to_owned() + &rows.collect::<String>();
    let path = support::project().join("docs/reference/fai-bugs.md");
    if support::is_set("HOSTWRIGHT_WRITE_REFERENCE") {
        support::write_text(&path, &wanted);
    }
    let found = support::read_text(&path);
    assert!(
        found == wanted,
        "docs/reference/fai-bugs.md is out of date: run \
         HOSTWRIGHT_WRITE_REFERENCE=1 cargo nextest run -p hostwright-plan --test reference"
    );
}

#[test]
fn quirks_of_the_planner_warn_under_their_own_names() {
    let planned = [Quirk::StickyRemoval, Quirk::CylinderAlignment, Quirk::KeptBelowRemade];
    for quirk in planned {
        assert!(diagnostic_codes().any(|(code, _)| code == quirk.id()), "{}", quirk.id());
    }
}

#[test]
fn no_code_is_there_twice() {
    let mut seen = BTreeSet::new();
    assert!(diagnostic_codes().all(|(code, _)| seen.insert(code)));
}

#[test]
fn the_schema_of_dependencies_has_the_keys_that_are_read() {
    let path = support::project().join("docs/reference/dependencies.schema.json");
    let schema: serde_json::Value =
        serde_json::from_str(&support::read_text(&path)).expect("the schema is JSON");
    let keys = schema["additionalProperties"]["properties"].as_object().expect("properties");
    for key in keys.keys() {
        let found = broken_dependencies(&format!("[A]\n{key} = [\"DEFAULT\"]\n"));
        assert_eq!(found, Vec::<String>::new(), "{key}");
    }
    assert_eq!(keys.len(), 3);
    assert_eq!(broken_dependencies("[A]\nneeds = []\n"), ["bad-dependencies"]);
}

fn broken_dependencies(text: &str) -> Vec<String> {
    let mut tree = support::minimal();
    let file = TreeFile::file(text, false);
    tree.files.insert("class/dependencies.toml".to_owned(), file);
    let codes = check(&tree).into_iter().map(|diagnostic| diagnostic.code);
    codes.filter(|code| code == "bad-dependencies").collect()
}
