//! From text to plan, and nothing else: config spaces are parsed, plans are made, printed and
//! checked here.
//!
//! The crate never does I/O of any kind, reads no clock and no environment: who calls it brings
//! every byte along and gets values back, so the server's preview and the machine's real plan are
//! the same plan. Read [`ConfigTree`] first, what goes in, then [`resolve()`], what comes out.
//!
//! ```
//! use hostwright_plan::{ConfigTree, TreeFile, check};
//! let mut tree = ConfigTree::default();
//! tree.files.insert("class/50-hosts".into(), TreeFile::file("#!/bin/sh\necho FAIBASE\n", false));
//! let found = check(&tree);
//! assert!(found.iter().any(|diagnostic| diagnostic.code == "no-run-bit"));
//! ```

mod check;
mod check_plan;
pub mod classes;
mod codes;
pub mod dependencies;
mod diff;
pub mod dominator;
mod explain;
mod finding;
pub mod image_install;
pub mod machine_file;
pub mod network;
pub mod packages;
mod render;
mod resolve;
pub mod space;
pub mod storage;
mod tree;

pub use check::{
    Against, Machine, PackageIndex, ShellFile, check, check_against, shell_files, shell_syntax,
};
pub use check_plan::check_plan;
pub use codes::diagnostic_codes;
pub use diff::{Change, PlanDiff, Side, diff};
pub use explain::{Asked, Explanation, Reason, Subject, explain};
pub use machine_file::MachineFile;
pub use render::render;
pub use resolve::{advise, resolve};
pub use space::{ConfigSpace, parse};
pub use tree::{ConfigTree, FileKind, TreeFile};
