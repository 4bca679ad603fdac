//! A laboratory: QEMU machines with real firmware on a network of their own, installed by a real
//! `hostwright serve`. It is the demo, and it is the end-to-end tests.
//!
//! The lab uses the product only as a user would: it starts the `hostwright` program and talks to
//! its HTTP API. It never links what it tests, and no shipping crate but `cli` uses it. Read
//! [`machine::Machine`] first, then [`network::Network`].

pub mod bench;
pub mod cut;
pub mod demo;
pub mod disk_image;
pub mod interrupt;
pub mod machine;
pub mod namespace;
pub mod network;
pub mod parts;
pub mod process;
pub mod qmp;
pub mod scenario;
pub mod server;
pub mod storage;
pub mod terminal;
pub mod verify;
pub mod watch;
