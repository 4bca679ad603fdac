//! docs/reference/openapi.json is what the code that answers says.

use std::fs;
use std::path::Path;

#[test]
fn the_reference_has_the_document_of_this_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let wanted = hostwright_server::openapi() + "\n";
    if writes_reference() {
        fs::write(&path, &wanted).expect("the reference is writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/openapi.json is out of date: run \
         HOSTWRIGHT_WRITE_REFERENCE=1 cargo nextest run -p hostwright-server --test openapi"
    );
}

/// Goal: a route that the document forgets, or invents, is found. Method: the routes as the source
/// of the router lists them.
#[test]
fn the_document_has_every_route() {
    let document: serde_json::Value =
        serde_json::from_str(&hostwright_server::openapi()).expect("it is JSON");
    let paths = document["paths"].as_object().expect("it has paths");
    let mut described: Vec<&str> = paths.keys().map(String::as_str).collect();
    described.sort_unstable();
    let router = include_str!("../src/api/mod.rs");
    let quoted = router.split('"').filter(|text| text.starts_with("/api/v1/"));
    // The document itself is no part of what it describes; messages name it, too.
    let others = quoted.filter(|path| !path.starts_with("/api/v1/openapi.json"));
    let mut routes: Vec<&str> = others.collect();
    routes.sort_unstable();
    assert_eq!(described, routes);
}

#[expect(clippy::disallowed_methods, reason = "how somebody asks a test to write")]
fn writes_reference() -> bool {
    std::env::var_os("HOSTWRIGHT_WRITE_REFERENCE").is_some()
}
