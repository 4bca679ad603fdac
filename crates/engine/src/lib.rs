//! Runs a plan on a host: journal, barriers, resume, and the environment that FAI's hooks and
//! scripts expect.
//!
//! The engine never chooses: what happens is in the [`Plan`](hostwright_model::plan::Plan), and how
//! plans are made it does not know; it asks a [`Planner`] again at every barrier. It touches the
//! machine only through a [`Host`](hostwright_host::Host). Read [`Session`] first, then [`run`].
//!
//! ```no_run
//! # use hostwright_engine::{NoImages, Planner, Session, Settings, run};
//! # use hostwright_model::plan::Inputs;
//! # fn demo(settings: Settings, inputs: Inputs, planner: &mut dyn Planner)
//! # -> Result<(), Box<hostwright_model::fault::Fault>> {
//! let mut host = hostwright_host::real::RealHost::default();
//! let mut images = NoImages;
//! let mut session = Session::open(&mut host, &mut images, settings, inputs)?;
//! let report = run(&mut session, planner, &mut |event| drop(event))?;
//! assert_eq!(report.task_error, 0);
//! # Ok(())
//! # }
//! ```

mod actions;
mod barrier;
pub mod discrepancy;
pub mod disk_file;
mod drift;
mod environment;
mod fault;
pub mod fuzzing;
mod images;
mod interpreter;
mod journal;
mod logs;
mod monitor;
mod network;
mod observe;
mod package_calls;
mod pass;
mod passphrases;
pub mod ready_made;
mod run;
#[cfg(test)]
mod samples;
pub mod sandbox;
mod session;
mod settings;
pub mod shell;
mod task_error;
pub mod tools;
mod undo;
mod work;

pub use environment::{FAI_VERSION, FAT_STAGE};
pub use fault::of_host;
pub use images::{Images, NoImages};
pub use run::{Planner, Report, run};
pub use session::Session;
pub use settings::Settings;
pub use undo::undo_record;
