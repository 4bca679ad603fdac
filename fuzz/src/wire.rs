//! Targets: what comes from the network and from a boot loader.

use crate::text;
use hostwright_agent::boot_options::BootOptions;
use hostwright_netboot::dhcp::wire::Request;
use hostwright_netboot::tftp::is_client_packet;

/// A DHCP datagram, with every option of it.
pub(crate) fn dhcp(bytes: &[u8]) {
    let Ok(request) = Request::decode(bytes) else { return };
    for code in 0..=u8::MAX {
        request.option(code);
        request.address_option(code);
        request.text_option(code);
    }
}

/// A TFTP datagram.
pub(crate) fn tftp(bytes: &[u8]) {
    is_client_packet(bytes);
}

/// A line that a machine sends to FAI's monitor.
pub(crate) fn monitor_line(bytes: &[u8]) {
    hostwright_server::is_monitor_line(&text(bytes));
}

/// The kernel's command line.
pub(crate) fn agent_cmdline(bytes: &[u8]) {
    BootOptions::from_cmdline(&text(bytes));
}
