//! Makes a block device of a file: loop(4).

use super::{failed, failed_io};
use crate::HostError;
use rustix::ioctl::{self, Opcode};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, RawFd};

/// Request numbers of linux/loop.h.
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const LOOP_SET_FD: Opcode = 0x4C00;

/// Attaches `path` read-only to a free loop device, and names that.
pub fn attach(path: &str) -> Result<String, HostError> {
    const ATTEMPTS_MAX: usize = 16;
    let file = File::open(path).map_err(failed_io("open", path))?;
    let control =
        File::open("/dev/loop-control").map_err(failed_io("open", "/dev/loop-control"))?;
    for _ in 0..ATTEMPTS_MAX {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument and answers with a number.
        #[expect(unsafe_code, reason = "rustix knows no loop device ioctls")]
        let number = unsafe { ioctl::ioctl(&control, GetFree) }
            .map_err(failed("find a free loop device for", path))?;
        let device = format!("/dev/loop{number}");
        let node = OpenOptions::new().read(true).open(&device);
        let node = node.map_err(failed_io("open", &device))?;
        // SAFETY: LOOP_SET_FD takes a file descriptor, which `file` keeps open for the call.
        #[expect(unsafe_code, reason = "rustix knows no loop device ioctls")]
        match unsafe { ioctl::ioctl(&node, SetFd(file.as_raw_fd())) } {
            Ok(()) => return Ok(device),
            // Somebody else took it in between.
            Err(rustix::io::Errno::BUSY) => {}
            Err(errno) => return Err(failed("attach", device)(errno)),
        }
    }
    Err(failed("find a free loop device for", path)(rustix::io::Errno::BUSY))
}

struct GetFree;

// SAFETY: the opcode has no argument; the kernel returns the number and writes nothing.
#[expect(unsafe_code, reason = "describes the ioctl to rustix")]
unsafe impl ioctl::Ioctl for GetFree {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(number: i32, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(number)
    }
}

struct SetFd(RawFd);

// SAFETY: the argument is the descriptor itself, not a pointer to it; the kernel writes nothing.
#[expect(unsafe_code, reason = "describes the ioctl to rustix")]
unsafe impl ioctl::Ioctl for SetFd {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_SET_FD
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.0 as usize)
    }

    unsafe fn output_from_ptr(_: i32, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
