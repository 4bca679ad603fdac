//! Network interfaces before there is a network: which there are, link up, carrier.

use super::failed;
use crate::HostError;
use hostwright_model::ids::MacAddr;
use rustix::ioctl::{self, Opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::ffi::{c_char, c_short, c_void};
use std::fs;

/// An Ethernet interface with hardware behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel name, `eth0`.
    pub name: String,
    /// Its address.
    pub mac: MacAddr,
}

/// Ethernet interfaces with a device behind them, by name. Loopback, bridges and tunnels have
/// none.
pub fn links() -> Vec<Link> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut links: Vec<Link> = names.filter_map(|name| link(&name)).collect();
    links.sort_by(|a, b| a.name.cmp(&b.name));
    links
}

fn link(name: &str) -> Option<Link> {
    /// `ARPHRD_ETHER` of linux/if_arp.h.
    const ETHERNET: &str = "1";
    let dir = format!("/sys/class/net/{name}");
    let attribute = |file: &str| fs::read_to_string(format!("{dir}/{file}")).ok();
    let ethernet = attribute("type")?.trim() == ETHERNET;
    let hardware = fs::symlink_metadata(format!("{dir}/device")).is_ok();
    if !ethernet || !hardware {
        return None;
    }
    let mac = attribute("address")?.trim().parse().ok()?;
    Some(Link { name: name.to_owned(), mac })
}

/// True if a cable with something at its other end is in the interface. Only known once it is up.
pub fn has_carrier(name: &str) -> bool {
    // Reading fails with EINVAL while the interface is down.
    fs::read_to_string(format!("/sys/class/net/{name}/carrier"))
        .is_ok_and(|text| text.trim() == "1")
}

/// Switches an interface on.
pub fn set_up(name: &str) -> Result<(), HostError> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(failed("open a socket for", name))?;
    let mut request = Request::new(name);
    // SAFETY: both requests read and write a `struct ifreq`, which `Request` is.
    #[expect(unsafe_code, reason = "rustix knows no interface flag ioctls")]
    let outcome = unsafe {
        ioctl::ioctl(&socket, Flags::<GET_FLAGS>(&mut request)).and_then(|()| {
            request.flags |= libc::IFF_UP as c_short;
            ioctl::ioctl(&socket, Flags::<SET_FLAGS>(&mut request))
        })
    };
    outcome.map_err(failed("switch on", name))
}

/// `SIOCGIFFLAGS` and `SIOCSIFFLAGS` of linux/sockios.h.
const GET_FLAGS: Opcode = 0x8913;
const SET_FLAGS: Opcode = 0x8914;

/// `struct ifreq` of linux/if.h as these requests use it.
#[repr(C)]
struct Request {
    name: [c_char; libc::IFNAMSIZ],
    flags: c_short,
    rest: [u8; 22],
}

impl Request {
    /// A name that is too long is cut, and then names no interface.
    fn new(name: &str) -> Self {
        let mut request = Self { name: [0; libc::IFNAMSIZ], flags: 0, rest: [0; 22] };
        let room = &mut request.name[..libc::IFNAMSIZ - 1];
        room.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as c_char);
        request
    }
}

struct Flags<'a, const OPCODE: Opcode>(&'a mut Request);

// SAFETY: the argument is a pointer to a `struct ifreq` of the size the kernel expects, which
// lives for the call.
#[expect(unsafe_code, reason = "describes the ioctl to rustix")]
unsafe impl<const OPCODE: Opcode> ioctl::Ioctl for Flags<'_, OPCODE> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(_: i32, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<Request>(), size_of::<libc::ifreq>());
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let error = set_up("nosuchif0").expect_err("there is none");
        assert_eq!(error.to_string(), "cannot switch on nosuchif0");
    }
}
