//! From text to plan, and nothing else: config spaces are parsed, plans are made, printed and
//! checked here.
//!
//! The crate never does I/O of any kind, reads no clock and no environment: who calls it brings
//! every byte along and gets values back, so the server's preview and the machine's real plan are
//! the same plan. Read [`storage`] for disk layouts.

pub mod storage;
