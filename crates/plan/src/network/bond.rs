//! Options of bonds, by the names that the kernel and each of the programs have for them.

/// An option.
pub(super) struct BondOption {
    /// The kernel's name; ifupdown's is the same with `-` and `bond-` in front, NetworkManager's the
    /// same.
    pub kernel: &'static str,
    /// Of netplan(5).
    pub netplan: &'static str,
    /// Of systemd.netdev(5).
    pub networkd: &'static str,
    /// What its value may be.
    pub value: OptionValue,
}

/// What the value of an option may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionValue {
    /// Milliseconds.
    Milliseconds,
    /// A number.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a member.
    Member,
}

/// All that can be set.
const OPTIONS: [BondOption; 10] = [
    option("miimon", "mii-monitor-interval", "MIIMonitorSec", OptionValue::Milliseconds),
    option("updelay", "up-delay", "UpDelaySec", OptionValue::Milliseconds),
    option("downdelay", "down-delay", "DownDelaySec", OptionValue::Milliseconds),
    option("min_links", "min-links", "MinLinks", OptionValue::Number),
    option(
        "xmit_hash_policy",
        "transmit-hash-policy",
        "TransmitHashPolicy",
        OptionValue::Word(&["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"]),
    ),
    option("lacp_rate", "lacp-rate", "LACPTransmitRate", OptionValue::Word(&["slow", "fast"])),
    option(
        "ad_select",
        "ad-select",
        "AdSelect",
        OptionValue::Word(&["stable", "bandwidth", "count"]),
    ),
    option(
        "fail_over_mac",
        "fail-over-mac-policy",
        "FailOverMACPolicy",
        OptionValue::Word(&["none", "active", "follow"]),
    ),
    option(
        "primary_reselect",
        "primary-reselect-policy",
        "PrimaryReselectPolicy",
        OptionValue::Word(&["always", "better", "failure"]),
    ),
    // systemd has it on the member.
    option("primary", "primary", "", OptionValue::Member),
];

const fn option(
    kernel: &'static str,
    netplan: &'static str,
    networkd: &'static str,
    value: OptionValue,
) -> BondOption {
    BondOption { kernel, netplan, networkd, value }
}

/// The option of this name of the kernel's.
pub(super) fn known(kernel: &str) -> Option<&'static BondOption> {
    OPTIONS.iter().find(|option| option.kernel == kernel)
}

/// The names of all options.
pub(super) fn names() -> Vec<&'static str> {
    OPTIONS.iter().map(|option| option.kernel).collect()
}

/// The options of a bond that are known, each with its value.
pub(super) fn each(
    options: &[(String, String)],
) -> impl Iterator<Item = (&'static BondOption, &str)> {
    options.iter().filter_map(|(name, value)| Some((known(name)?, value.as_str())))
}
