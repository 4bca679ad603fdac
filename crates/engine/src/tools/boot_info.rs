//! `get-boot-info` and `create_resolv_conf`: what the network said, for hooks that ask again.

use super::options::Options;
use super::session::words;
use super::{Session, ToolError};
use hostwright_host::command::quote;

pub(super) const INFO_USAGE: &str = "";
pub(super) const RESOLV_USAGE: &str = "";

/// Variables about the network; those that list something have one for each entry, too.
const NAMES: [&str; 18] = [
    "BROADCAST",
    "CIDR",
    "DHCP_SERVER_IDENTIFIER",
    "DNSSRVS",
    "DOMAIN",
    "GATEWAYS",
    "HOSTNAME",
    "IPADDR",
    "MAC",
    "NETMASK",
    "NETWORK",
    "NIC1",
    "NTPSRVS",
    "SERVER",
    "SUBNET_CIDR",
    "YPDOMAIN",
    "YPSRVR",
    "netdevices",
];

/// Writes the variables to `boot.log`, to be sourced.
pub(super) fn info(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    Options::parse("", args)?;
    let is_wanted = |name: &str| {
        let listed = name.rsplit_once('_').map_or(name, |(list, number)| {
            if number.bytes().all(|byte| byte.is_ascii_digit()) { list } else { name }
        });
        NAMES.contains(&listed) || name.starts_with("netdevices_")
    };
    let vars = session.env.as_map().iter().filter(|(name, _)| is_wanted(name));
    let text: String = vars.map(|(name, value)| format!("{name}={}\n", quote(value))).collect();
    let Some(path) = session.log_file("boot.log") else {
        return Err(ToolError::refused(1, "LOGDIR is not set"));
    };
    session.host.write(&path, text.as_bytes(), 0o644)?;
    Ok(0)
}

/// Writes resolv.conf(5) of the installer from DNSSRVS and DOMAIN; that of another system is left
/// alone.
pub(super) fn resolv_conf(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    Options::parse("", args)?;
    if !session.env.is_on("do_init_tasks") {
        return Err(ToolError::refused(1, "this is not the installer of a machine"));
    }
    let servers = words(session.env.get("DNSSRVS").unwrap_or_default());
    if servers.is_empty() {
        return Ok(0);
    }
    let domain = session.env.get("DOMAIN").map(|domain| format!("search {domain}\n"));
    let servers = servers.iter().map(|server| format!("nameserver {server}\n"));
    let text: String = domain.into_iter().chain(servers).collect();
    session.host.write("/etc/resolv.conf", text.as_bytes(), 0o644)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{self, Env, PackageLists, PackageRequest, PackageSelection};
    use hostwright_host::Host as _;
    use hostwright_host::sim::{RootKind, SimHost};

    struct NoPackages;

    impl PackageLists for NoPackages {
        fn select(&self, _: PackageRequest<'_>) -> PackageSelection {
            unreachable!("invariant: these tools read no package_config")
        }
    }

    fn run(name: &str, env: &[(&str, &str)], host: &mut SimHost) -> i32 {
        let env: Env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let dir = "/".to_owned();
        let packages = &NoPackages;
        let mut session = Session { env, dir, host, packages, out: &mut out, err: &mut err };
        tools::main(name, &[], &mut session)
    }

    #[test]
    fn the_network_is_told_again() {
        let mut host = SimHost::new(crate::samples::inputs().facts, RootKind::Memory);
        let mut env = vec![
            ("LOGDIR", "/log"),
            ("DOMAIN", "example.org"),
            ("DNSSRVS", "10.0.0.1 10.0.0.2"),
            ("DNSSRVS_2", "10.0.0.2"),
            ("ROOTPW", "secret"),
        ];
        assert_eq!(run("get-boot-info", &env, &mut host), 0);
        let text = host.read("/log/boot.log").unwrap().unwrap();
        let expected = "DNSSRVS='10.0.0.1 10.0.0.2'\nDNSSRVS_2=10.0.0.2\nDOMAIN=example.org\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);

        assert_eq!(run("create_resolv_conf", &env, &mut host), 1);
        assert_eq!(host.read("/etc/resolv.conf").unwrap(), None, "it may be a build machine's");
        env.push(("do_init_tasks", "1"));
        assert_eq!(run("create_resolv_conf", &env, &mut host), 0);
        let text = host.read("/etc/resolv.conf").unwrap().unwrap();
        let expected = "search example.org\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
