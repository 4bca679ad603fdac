//! Randomness from a seed that somebody put beside the configuration: mixed into the kernel's pool
//! and counted, so that a machine without a source of its own does not wait for one.

use super::{failed, failed_io};
use crate::HostError;
use rustix::ioctl::{self, Opcode};
use std::ffi::{c_int, c_void};
use std::fs::OpenOptions;

/// What the kernel takes at once is enough for its pool many times over.
pub const SEED_BYTES_MAX: usize = 512;
const DEVICE: &str = "/dev/urandom";
/// `RNDADDENTROPY` of linux/random.h: `_IOW('R', 0x03, int[2])`.
const ADD_ENTROPY: Opcode = 0x4008_5203;

/// Mixes a seed in and credits it with all of its bits. Needs the right to administer the machine.
/// What is longer than [`SEED_BYTES_MAX`] is cut.
pub fn credit(seed: &[u8]) -> Result<(), HostError> {
    if seed.is_empty() {
        return Ok(());
    }
    let device = OpenOptions::new().write(true).open(DEVICE);
    let device = device.map_err(failed_io("open", DEVICE))?;
    let mut pool = PoolInfo::new(seed);
    // SAFETY: the request reads a `struct rand_pool_info`, which `PoolInfo` is, with as many bytes
    // behind its head as it says.
    #[expect(unsafe_code, reason = "rustix knows no request for the entropy pool")]
    let added = unsafe { ioctl::ioctl(&device, AddEntropy(&mut pool)) };
    added.map_err(failed("add entropy to", DEVICE))
}

/// `struct rand_pool_info` with room for a seed.
#[repr(C)]
struct PoolInfo {
    entropy_bits: c_int,
    size_bytes: c_int,
    seed: [u8; SEED_BYTES_MAX],
}

impl PoolInfo {
    fn new(seed: &[u8]) -> Self {
        let length = seed.len().min(SEED_BYTES_MAX);
        let mut pool = Self { entropy_bits: 0, size_bytes: 0, seed: [0; SEED_BYTES_MAX] };
        pool.seed[..length].copy_from_slice(&seed[..length]);
        pool.size_bytes = length as c_int;
        pool.entropy_bits = 8 * pool.size_bytes;
        pool
    }
}

struct AddEntropy<'a>(&'a mut PoolInfo);

// SAFETY: the argument is a pointer to a `struct rand_pool_info`, which lives for the call and has
// as many bytes as it says.
#[expect(unsafe_code, reason = "describes the ioctl to rustix")]
unsafe impl ioctl::Ioctl for AddEntropy<'_> {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        ADD_ENTROPY
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
    fn a_seed_counts_with_all_of_its_bits_and_is_cut_to_what_the_kernel_takes() {
        let pool = PoolInfo::new(&[7; 32]);
        assert_eq!((pool.entropy_bits, pool.size_bytes), (256, 32));
        assert_eq!(PoolInfo::new(&[7; 1000]).size_bytes, 512);
        assert_eq!(std::mem::offset_of!(PoolInfo, seed), 8);
    }

    /// Goal: the kernel takes it. Method: a real seed; the kernel of the test gains randomness.
    #[test]
    fn root_the_kernel_takes_a_seed() {
        credit(b"").unwrap();
        credit(&[0x5a; 64]).unwrap();
    }
}
