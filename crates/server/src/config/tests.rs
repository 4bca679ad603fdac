//! Every mistake is named with file, line and cure.

use super::*;

fn config(change: impl FnOnce(&mut String)) -> Result<Config, ConfigError> {
    let dir = std::env::temp_dir();
    let mut text = format!(
        "listen = \"10.0.0.1:8080\"\nstate_dir = \"/s\"\nstore_dir = \"/t\"\n\n\
         [spaces]\nsimple = \"{}\"\n",
        dir.display()
    );
    change(&mut text);
    Config::parse(&text, "serve.toml")
}

fn mistakes(change: impl FnOnce(&mut String)) -> Vec<String> {
    match config(change).expect_err("must be refused") {
        ConfigError::Mistakes(mistakes) => mistakes.iter().map(Diagnostic::to_string).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn defaults_are_safe() {
    let config = config(|_| ()).expect("sound");
    assert!(!config.open_page, "another address than loopback");
    assert!(!config.tftp && config.dhcp.is_none() && config.package_proxy.is_none());
}

#[test]
fn the_page_is_open_on_loopback_only() {
    let config = config(|text| *text = text.replace("10.0.0.1", "127.0.0.1")).expect("sound");
    assert!(config.open_page);
}

#[test]
fn dhcp_serves_from_the_listen_address_and_brings_tftp() {
    let dhcp = "\n[dhcp]\ninterface = \"br0\"\nsubnet = \"10.0.0.0/24\"\n";
    let loaders = "[loaders]\nbios = \"/etc/passwd\"\nuefi_x64 = \"/etc/group\"\n";
    let config = config(|text| *text += &format!("{dhcp}{loaders}")).expect("sound");
    let network = config.dhcp.expect("configured");
    assert_eq!(network.server_address.to_string(), "10.0.0.1");
    assert!(config.tftp);
}

#[test]
fn unknown_keys_and_bad_values_name_their_line() {
    let found = mistakes(|text| *text = text.replace("state_dir", "statedir"));
    assert!(found[0].starts_with("serve.toml:2:1: error[config-unknown-key]"), "{found:?}");
    let found = mistakes(|text| *text = text.replace("10.0.0.1:8080", "10.0.0.1"));
    assert!(found[0].starts_with("serve.toml:1:10: error[config-bad-value]"), "{found:?}");
    let found = mistakes(|text| *text += "[dhcp]\ninterface = \"x\"\nsubnet = \"10.0.0.1/24\"\n");
    assert!(found[0].starts_with("serve.toml:9:10: error"), "{found:?}");
    let found = mistakes(|text| *text = text.replace("listen", "#"));
    assert!(found[0].contains("config-missing-key") && found[0].contains("listen"), "{found:?}");
}

#[test]
fn all_mistakes_are_found_at_once() {
    let found = mistakes(|text| {
        *text = text.replace("10.0.0.1:8080", "0.0.0.0:8080").replace("\"/s\"", "\"s\"");
        text.insert_str(0, "tftp = true\nkernel_cmdline = \"a && b\"\ninstaller_dir = \"/none\"\n");
        *text += "\"a b\" = \"/no/such/space\"\n\
                  [loaders]\nbios = \"/none\"\n\
                  [package_proxy]\nlisten = \"127.0.0.1:0\"\ncache_dir = \"c\"\nupstream = \"x\"\n\
                  [package_proxy.map]\n\"deb.example.org\" = \"https://x\"\n";
    });
    for expected in [
        "serve.toml:4:10: error[config-listen-address]",
        "serve.toml:5:13: error[config-path]: state_dir",
        "serve.toml:2:18: error[config-kernel-cmdline]",
        "serve.toml:3:17: error[config-path]: installer_dir",
        "serve.toml:10:1: error[config-space-name]",
        "serve.toml:10:9: error[config-path]: spaces.a b",
        "error[config-loader]: there is no boot loader /none",
        "serve.toml:15:13: error[config-path]: package_proxy.cache_dir",
        "serve.toml:16:12: error[config-upstream]",
        "serve.toml:18:21: error[config-mirror]",
    ] {
        assert!(found.iter().any(|line| line.contains(expected)), "{expected} in {found:#?}");
    }
}

#[test]
fn a_store_elsewhere_needs_an_address_and_a_key() {
    let key = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    let with = |lines: &str| {
        let lines = lines.to_owned();
        config(move |text| text.insert_str(0, &lines))
    };
    let good =
        format!("store = \"s3://fleet/images\"\nstore_key = \"{key}\"\nstore_cache_gib = 2\n");
    let store = with(&good).expect("sound").store.expect("configured");
    assert_eq!(
        (store.address.to_string().as_str(), store.cache_bytes),
        ("s3://fleet/images", 2 << 30)
    );
    for bad in [
        "store = \"s3://fleet\"\n".to_owned(),
        format!("store = \"s3://\"\nstore_key = \"{key}\"\n"),
        "store = \"s3://fleet\"\nstore_key = \"me\"\n".to_owned(),
        format!("store_key = \"{key}\"\n"),
    ] {
        let found = mistakes(|text| text.insert_str(0, &bad));
        assert!(found.len() == 1 && found[0].contains("config-store"), "{bad}: {found:?}");
    }
}
