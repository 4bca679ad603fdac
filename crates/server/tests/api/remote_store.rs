//! A server whose image store is elsewhere.

use crate::site::{MAC, Site, no_wait, spec};
use hostwright_store::{AddOptions, HttpSource, Store, fetch};
use std::fs;
use std::path::PathBuf;

/// A site, the store that its server has elsewhere, and the configuration that says so.
fn site() -> (Site, Store, String) {
    let site = Site::new();
    let elsewhere = Store::open(site.path("elsewhere")).unwrap();
    let key = elsewhere.public_key().unwrap();
    let store = format!("store = \"{}\"\nstore_key = \"{key}\"\n", elsewhere.root().display());
    let config = store + &site.config_text();
    (site, elsewhere, config)
}

fn add(site: &Site, store: &Store, content: &str) -> hostwright_model::ids::Digest {
    let tree = site.path("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("motd"), content).unwrap();
    store.add_tree(&tree, "web", &AddOptions::default(), &|_, _| ()).unwrap().manifest
}

fn only(dir: PathBuf) -> PathBuf {
    fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn machines_are_armed_from_it_and_fetch_through_the_server() {
    let (site, store, config) = site();
    let digest = add(&site, &store, &"content ".repeat(1000));
    let server = site.start_with(&config);
    let mut machine = spec("web01", MAC);
    machine.image = Some("web".into());
    server.operator().add_machine(&machine).unwrap();
    server.operator().install(&"web01".into()).unwrap();
    let agent = server.agent(MAC, "x");
    let order = agent.order(&mut no_wait).unwrap();
    assert_eq!(order.image.expect("an image").manifest, digest);

    let source = HttpSource::new(format!("{}/store", server.url));
    fetch(&source, digest, &site.path("ram"), &|_, _| ()).expect("fetch");
    // What was asked for is here now.
    fs::remove_dir_all(site.path("elsewhere/packs")).unwrap();
    fs::remove_dir_all(site.path("ram")).unwrap();
    fetch(&source, digest, &site.path("ram"), &|_, _| ()).expect("fetch from what is kept");
}

#[test]
fn it_is_published_like_a_directory_but_nothing_else_of_it() {
    let (site, store, config) = site();
    add(&site, &store, "content");
    let server = site.start_with(&config);
    let pack = only(site.path("elsewhere/packs"));
    let (name, whole) = (pack.file_name().unwrap().to_str().unwrap(), fs::read(&pack).unwrap());
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let get = |path: &str, range: &str| {
        let request = agent.get(format!("{}{path}", server.url)).header("range", range);
        let mut response = request.call().unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let headers = (header("content-range"), header("cache-control"));
        let body = response.body_mut().read_to_vec().unwrap();
        (response.status().as_u16(), headers, body)
    };
    let path = format!("/store/packs/{name}");
    let (status, (range, cache), body) = get(&path, "bytes=2-5");
    assert_eq!((status, body), (206, whole[2..6].to_vec()));
    assert_eq!(range, format!("bytes 2-5/{}", whole.len()));
    assert!(cache.contains("immutable"), "{cache}");
    let (status, _, body) = get(&path, "none");
    assert!(status == 200 && body == whole);
    assert_eq!(get(&path, "bytes=9999999-").0, 416);
    for path in [
        "/store/packs/none.pack",
        "/store/refs/web",
        "/store/signing-key",
        "/store/packs/..%2fsigning-key",
    ] {
        assert_eq!(get(path, "none").0, 404, "{path}");
    }
    let maps = only(site.path("elsewhere/maps"));
    let (_, (_, cache), _) =
        get(&format!("/store/maps/{}", maps.file_name().unwrap().display()), "none");
    assert!(!cache.contains("immutable"), "{cache}");
}

#[test]
fn an_image_that_somebody_else_signed_is_refused() {
    let (site, store, config) = site();
    add(&site, &store, "content");
    let stranger = Store::open(site.path("stranger")).unwrap();
    add(&site, &stranger, "other content");
    fs::copy(site.path("stranger/refs/web"), site.path("elsewhere/refs/web")).unwrap();
    let server = site.start_with(&config);
    let mut machine = spec("web01", MAC);
    machine.image = Some("web".into());
    server.operator().add_machine(&machine).unwrap();
    let error = server.operator().install(&"web01".into()).unwrap_err().to_string();
    assert!(error.contains("signed by"), "{error}");
}
