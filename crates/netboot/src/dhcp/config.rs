//! The DHCP server's configuration: as it is written, and as it is once checked.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::str::FromStr;
use thiserror::Error;

/// What the server does about interfaces that belong to no machine it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// Stays silent; they are listed all the same.
    #[default]
    Ignore,
    /// Gives them an address of the pool, and what it takes to boot.
    Lease,
}

/// A network, written `10.0.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    /// Its first address.
    pub network: Ipv4Addr,
    /// How many leading bits its addresses have in common, 8 to 30.
    pub prefix: u8,
}

/// Addresses given to whoever has no fixed one, written `10.0.0.100-10.0.0.199`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pool {
    /// The first address.
    pub first: Ipv4Addr,
    /// The last address, itself one of the pool.
    pub last: Ipv4Addr,
}

/// The DHCP server's configuration, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DhcpConfig {
    /// The one interface to serve; packets of others are never seen.
    pub interface: String,
    /// The address of this server that the machines can reach; TFTP and HTTP are there too.
    pub server_address: Ipv4Addr,
    /// The network the machines are in.
    pub subnet: Subnet,
    /// Addresses for machines without a fixed one. Without a pool only fixed ones are given.
    #[serde(default)]
    pub pool: Option<Pool>,
    /// The way out of the subnet, if there is one.
    #[serde(default)]
    pub router: Option<Ipv4Addr>,
    /// Name servers.
    #[serde(default)]
    pub dns: Vec<Ipv4Addr>,
    /// Domain of the machines.
    #[serde(default)]
    pub domain: Option<String>,
    /// How long an address is given for, in seconds.
    #[serde(default = "default_lease_s")]
    pub lease_s: u32,
    /// What to do about machines nobody described.
    #[serde(default)]
    pub unknown: Unknown,
}

fn default_lease_s() -> u32 {
    3600
}

/// What is wrong with a [`DhcpConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DhcpConfigError {
    /// The text is not a network.
    #[error("subnet '{0}' is not a network such as 10.0.0.0/24 (prefix 8 to 30, host bits 0)")]
    Subnet(String),
    /// The text is not a range.
    #[error("pool '{0}' is not a range of addresses such as 10.0.0.100-10.0.0.199")]
    Pool(String),
    /// No interface is named, or its name is too long for the kernel.
    #[error("interface '{0}' is not the name of a network interface (1 to 15 characters)")]
    Interface(String),
    /// The pool leaves the subnet, or contains its first or last address.
    #[error("pool {pool} is not inside subnet {subnet}")]
    PoolOutside {
        /// The pool.
        pool: Pool,
        /// The subnet.
        subnet: Subnet,
    },
    /// The pool contains an address that is somebody's.
    #[error("pool {pool} contains {address}, the {whose} address")]
    PoolTaken {
        /// The pool.
        pool: Pool,
        /// The address.
        address: Ipv4Addr,
        /// `server's own` or `router's`.
        whose: &'static str,
    },
    /// The router cannot be reached by the machines.
    #[error("router {router} is not in subnet {subnet}")]
    RouterOutside {
        /// The router.
        router: Ipv4Addr,
        /// The subnet.
        subnet: Subnet,
    },
    /// The server cannot be reached by the machines.
    #[error("server_address {address} is not in subnet {subnet}, and no router leads to it")]
    ServerOutside {
        /// The server.
        address: Ipv4Addr,
        /// The subnet.
        subnet: Subnet,
    },
    /// The machines would ask all the time, or never again.
    #[error("lease_s {0} is not between 60 seconds and 30 days (2592000)")]
    LeaseTime(u32),
    /// The domain does not fit into the option or is not one.
    #[error("domain '{0}' is not a domain name")]
    Domain(String),
}

impl Subnet {
    /// The mask of its prefix.
    pub fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.prefix)))
    }

    /// Its last address, which reaches every interface in it.
    pub fn broadcast(&self) -> Ipv4Addr {
        self.network | !self.mask()
    }

    /// True if `address` is one that a machine in the subnet can have.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let inside = address & self.mask() == self.network;
        inside && address != self.network && address != self.broadcast()
    }
}

impl Pool {
    /// True if `address` is one of the pool.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// How many addresses it has.
    pub fn size(&self) -> u32 {
        self.last.to_bits() - self.first.to_bits() + 1
    }
}

impl FromStr for Subnet {
    type Err = DhcpConfigError;
    fn from_str(text: &str) -> Result<Self, DhcpConfigError> {
        let bad = || DhcpConfigError::Subnet(text.to_owned());
        let (network, prefix) = text.split_once('/').ok_or_else(bad)?;
        let network: Ipv4Addr = network.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let subnet = Self { network, prefix };
        if !(8..=30).contains(&prefix) || network & subnet.mask() != network {
            return Err(bad());
        }
        Ok(subnet)
    }
}

impl FromStr for Pool {
    type Err = DhcpConfigError;
    fn from_str(text: &str) -> Result<Self, DhcpConfigError> {
        let bad = || DhcpConfigError::Pool(text.to_owned());
        let (first, last) = text.split_once('-').ok_or_else(bad)?;
        let first: Ipv4Addr = first.trim().parse().map_err(|_| bad())?;
        let last: Ipv4Addr = last.trim().parse().map_err(|_| bad())?;
        if first > last {
            return Err(bad());
        }
        Ok(Self { first, last })
    }
}

macro_rules! text_in_configuration {
    ($($name:ident: $format:literal, $a:ident, $b:ident;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.$a, self.$b)
            }
        }
        impl TryFrom<String> for $name {
            type Error = DhcpConfigError;
            fn try_from(text: String) -> Result<Self, DhcpConfigError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

text_in_configuration! {
    Subnet: "{}/{}", network, prefix;
    Pool: "{}-{}", first, last;
}

/// A [`DhcpConfig`] that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network(DhcpConfig);

impl Network {
    /// Checks `config`.
    pub fn new(config: DhcpConfig) -> Result<Self, DhcpConfigError> {
        let DhcpConfig { subnet, server_address, router, .. } = config;
        if config.interface.is_empty() || config.interface.len() > 15 {
            return Err(DhcpConfigError::Interface(config.interface));
        }
        if let Some(router) = router.filter(|router| !subnet.contains(*router)) {
            return Err(DhcpConfigError::RouterOutside { router, subnet });
        }
        if router.is_none() && !subnet.contains(server_address) {
            return Err(DhcpConfigError::ServerOutside { address: server_address, subnet });
        }
        if !(60..=2_592_000).contains(&config.lease_s) {
            return Err(DhcpConfigError::LeaseTime(config.lease_s));
        }
        if let Some(domain) = config.domain.as_ref().filter(|domain| !is_domain(domain)) {
            return Err(DhcpConfigError::Domain(domain.clone()));
        }
        if let Some(pool) = config.pool {
            check_pool(pool, &config)?;
        }
        Ok(Self(config))
    }

    /// True if the machines are in the server's own network, and not behind a relay.
    pub fn is_local(&self) -> bool {
        self.subnet.contains(self.server_address)
    }
}

impl Deref for Network {
    type Target = DhcpConfig;
    fn deref(&self) -> &DhcpConfig {
        &self.0
    }
}

fn check_pool(pool: Pool, config: &DhcpConfig) -> Result<(), DhcpConfigError> {
    let subnet = config.subnet;
    if !subnet.contains(pool.first) || !subnet.contains(pool.last) {
        return Err(DhcpConfigError::PoolOutside { pool, subnet });
    }
    let taken = [(Some(config.server_address), "server's own"), (config.router, "router's")];
    for (address, whose) in taken {
        if let Some(address) = address.filter(|address| pool.contains(*address)) {
            return Err(DhcpConfigError::PoolTaken { pool, address, whose });
        }
    }
    Ok(())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> DhcpConfig {
        DhcpConfig {
            interface: "br0".into(),
            server_address: Ipv4Addr::new(10, 0, 0, 1),
            subnet: "10.0.0.0/24".parse().unwrap(),
            pool: Some("10.0.0.100-10.0.0.199".parse().unwrap()),
            router: None,
            dns: vec![],
            domain: Some("example.org".into()),
            lease_s: 600,
            unknown: Unknown::Ignore,
        }
    }

    fn error_of(change: impl FnOnce(&mut DhcpConfig)) -> String {
        let mut config = config();
        change(&mut config);
        Network::new(config).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_sound_configuration_is_accepted() {
        let network = Network::new(config()).expect("sound");
        assert!(network.is_local());
        assert_eq!(network.subnet.mask(), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(network.pool.map(|pool| pool.size()), Some(100));
    }

    #[test]
    fn each_mistake_is_named() {
        let cases = [
            (error_of(|c| c.interface.clear()), "interface ''"),
            (error_of(|c| c.router = Some(Ipv4Addr::new(10, 0, 1, 1))), "router 10.0.1.1 is not"),
            (error_of(|c| c.server_address = Ipv4Addr::new(10, 1, 0, 1)), "no router leads to it"),
            (error_of(|c| c.server_address = Ipv4Addr::new(10, 0, 0, 150)), "server's own address"),
            (error_of(|c| c.router = Some(Ipv4Addr::new(10, 0, 0, 100))), "router's address"),
            (error_of(|c| c.pool = "10.0.1.1-10.0.1.9".parse().ok()), "not inside subnet"),
            (error_of(|c| c.pool = "10.0.0.9-10.0.0.255".parse().ok()), "not inside subnet"),
            (error_of(|c| c.lease_s = 5), "lease_s 5"),
            (error_of(|c| c.domain = Some("a b".into())), "domain 'a b'"),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
        }
        for bad in ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/31", "x/24"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
        assert!("10.0.0.9-10.0.0.1".parse::<Pool>().is_err());
    }

    #[test]
    fn a_configuration_file_is_read_and_its_typing_mistakes_are_not_ignored() {
        let text = "interface = 'br0'\nserver_address = '10.0.0.1'\nsubnet = '10.0.0.0/24'\n";
        let config: DhcpConfig = toml::from_str(text).expect("sound");
        assert_eq!((config.lease_s, config.unknown, config.pool), (3600, Unknown::Ignore, None));
        let written = toml::to_string(&config).expect("can be written");
        assert_eq!(toml::from_str::<DhcpConfig>(&written).expect("read again"), config);
        let lease = toml::from_str::<DhcpConfig>(&format!("{text}unknown = 'lease'\n"));
        assert_eq!(lease.expect("sound").unknown, Unknown::Lease);
        for bad in ["rooter = '10.0.0.2'", "pool = '10.0.0.9'", "unknown = 'yes'"] {
            assert!(toml::from_str::<DhcpConfig>(&format!("{text}{bad}\n")).is_err(), "{bad}");
        }
    }
}
