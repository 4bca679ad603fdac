//! The nouns of Hostwright: what every other crate passes around.
//!
//! This crate never does I/O, never reads a clock or a random number, and is never async: its types
//! are plain data that serialise the same everywhere. Read [`plan::Plan`] first, then
//! [`event::Event`]: a plan says what will happen, events say what did.
//!
//! ```
//! use hostwright_model::class::ClassList;
//! let classes: ClassList = "DEFAULT FAIBASE DEBIAN LAST".parse()?;
//! assert!(classes.contains("DEBIAN"));
//! # Ok::<(), hostwright_model::class::BadClassName>(())
//! ```

pub mod api;
pub mod apt_names;
pub mod boot_loader;
pub mod class;
pub mod diagnostic;
pub mod event;
pub mod existing;
pub mod facts;
pub mod fault;
pub mod ids;
pub mod image;
pub mod installer;
pub mod manners;
pub mod monitored;
pub mod network;
pub mod overrides;
pub mod package;
pub mod phase;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod quirk;
pub mod shell;
pub mod size;
pub mod space;
pub mod storage;
mod title;
pub mod vars;
