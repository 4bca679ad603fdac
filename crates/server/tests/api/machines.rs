//! Describing machines, and every way to get it wrong.

use crate::site::{MAC, Site, spec};
use hostwright_client::ClientError;
use hostwright_model::api::NextBoot;

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    result.expect_err("must be refused").code().expect("by the server").to_owned()
}

#[test]
fn machines_are_added_shown_changed_and_removed() {
    let site = Site::new();
    let server = site.start();
    let client = server.operator();
    let added = client.add_machine(&spec("web01", MAC)).unwrap();
    assert_eq!((added.next_boot, added.run), (NextBoot::Disk, None));
    let mut changed = spec("web01", "52:54:00:00:00:01");
    changed.classes = vec!["WEB".into()];
    client.change_machine(&changed).unwrap();
    assert_eq!(client.machine(&"web01".into()).unwrap().spec, changed);
    assert_eq!(client.machines().unwrap().len(), 1);
    assert_eq!(client.health().unwrap().open_runs, 0);
    client.remove_machine(&"web01".into()).unwrap();
    assert_eq!(client.machines().unwrap(), []);
    assert_eq!(code(client.machine(&"web01".into())), "no-such-machine");
}

#[test]
fn what_cannot_be_is_refused_with_a_code() {
    let site = Site::new();
    let server = site.start();
    let client = server.operator();
    client.add_machine(&spec("web01", MAC)).unwrap();
    let add = |change: &dyn Fn(&mut hostwright_model::api::MachineSpec)| {
        let mut spec = spec("web02", "52:54:00:00:00:02");
        change(&mut spec);
        code(client.add_machine(&spec))
    };
    assert_eq!(add(&|spec| spec.name = "web01".into()), "machine-exists");
    assert_eq!(add(&|spec| spec.name = "Web_2".into()), "bad-machine-name");
    assert_eq!(add(&|spec| spec.macs = vec![MAC.parse().unwrap()]), "mac-taken");
    assert_eq!(add(&|spec| spec.macs.clear()), "no-mac");
    assert_eq!(add(&|spec| spec.space = "none".into()), "no-such-space");
    assert_eq!(add(&|spec| spec.classes = vec!["A B".into()]), "bad-class-name");
    let image = |image: &str| {
        let mut spec = spec("web02", "52:54:00:00:00:02");
        spec.image = Some(image.to_owned());
        client.add_machine(&spec).unwrap();
        let refused = code(client.install(&"web02".into()));
        client.remove_machine(&"web02".into()).unwrap();
        refused
    };
    assert_eq!(image("no-such-image"), "image-unusable");
    assert_eq!(image("../etc"), "image-unusable");
}

#[test]
fn a_body_that_is_not_understood_is_explained() {
    let site = Site::new();
    let server = site.start();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let request = agent.post(format!("{}/api/v1/machines", server.url));
    let request = request.header("authorization", format!("Bearer {}", server.token));
    let request = request.header("content-type", "application/json");
    let mut response = request.send("{\"name\": \"x\", \"colour\": \"red\"}").unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    assert_eq!(response.status(), 422);
    assert!(text.contains("bad-body") && text.contains("colour"), "{text}");
}

/// Goal: an image whose pack was lost or cut is refused when the machine is armed.
#[test]
fn an_image_without_its_bytes_is_refused() {
    let site = Site::new();
    let tree = site.path("tree");
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    std::fs::write(tree.join("etc/hostname"), "x".repeat(5000)).unwrap();
    let store = hostwright_store::Store::open(site.path("store")).unwrap();
    let options = hostwright_store::AddOptions::default();
    store.add_tree(&tree, "demo", &options, &|_, _| ()).unwrap();
    let server = site.start();
    let client = server.operator();
    let mut spec = spec("web01", MAC);
    spec.image = Some("demo".into());
    client.add_machine(&spec).unwrap();
    let run = client.install(&"web01".into()).unwrap();
    client.cancel(&run.machine).unwrap();
    let pack = std::fs::read_dir(site.path("store/packs")).unwrap().next().unwrap().unwrap();
    std::fs::File::options().write(true).open(pack.path()).unwrap().set_len(3).unwrap();
    assert_eq!(code(client.install(&"web01".into())), "image-unusable");
    std::fs::remove_file(pack.path()).unwrap();
    assert_eq!(code(client.install(&"web01".into())), "image-unusable");
}
