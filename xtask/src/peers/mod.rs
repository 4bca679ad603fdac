//! The same work done by Hostwright and by its peers, side by side.

mod disk;
pub mod fai_tools;
pub mod fai_tree;
pub mod setup_storage;
mod tree;
