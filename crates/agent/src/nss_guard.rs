//! Keeps the C library's name service switch out of the static program.
//!
//! glibc's NSS loads shared objects, and with them a second C library, which crashes a static
//! program (rust-lang/rust#100711). Definitions in this program win over those of libc.a, so NSS
//! and the dlopen(3) behind it are never linked. What they are for is not needed here: servers are
//! named by address, and nobody asks for users. `cargo xtask agent` looks whether it worked.
#![expect(unsafe_code, reason = "functions of the C library cannot be defined safely")]

use std::ffi::{c_char, c_int, c_void};

/// `EAI_FAIL` of netdb.h. Addresses in numbers never get here: std reads them itself.
const EAI_FAIL: c_int = -4;

#[unsafe(no_mangle)]
extern "C" fn getaddrinfo(
    _node: *const c_char,
    _service: *const c_char,
    _hints: *const c_void,
    _found: *mut *mut c_void,
) -> c_int {
    EAI_FAIL
}

#[unsafe(no_mangle)]
extern "C" fn freeaddrinfo(_found: *mut c_void) {}

#[unsafe(no_mangle)]
extern "C" fn gai_strerror(_code: c_int) -> *const c_char {
    c"this program only knows servers by their addresses".as_ptr()
}

/// Nobody is found: `result` becomes NULL and the status is 0.
#[unsafe(no_mangle)]
extern "C" fn getpwuid_r(
    _uid: u32,
    _entry: *mut c_void,
    _buffer: *mut c_char,
    _length: usize,
    result: *mut *mut c_void,
) -> c_int {
    nobody(result)
}

/// The same by name.
#[unsafe(no_mangle)]
extern "C" fn getpwnam_r(
    _name: *const c_char,
    _entry: *mut c_void,
    _buffer: *mut c_char,
    _length: usize,
    result: *mut *mut c_void,
) -> c_int {
    nobody(result)
}

fn nobody(result: *mut *mut c_void) -> c_int {
    if !result.is_null() {
        // SAFETY: getpwnam_r(3) requires a valid place for the result; NULL was ruled out.
        unsafe { *result = std::ptr::null_mut() };
    }
    0
}
