//! Storage on the simulated machine, from the text of a disk_config to the disks: power cuts at every
//! operation, layouts and faults at random, what is kept and what is put back.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not by their crate")]
#![allow(clippy::disallowed_methods, reason = "variables say how much of the random runs is tried")]

mod behind_hooks;
mod crash;
mod layouts;
mod loaders;
mod random;
mod random_layout;
mod rig;
mod undo;
