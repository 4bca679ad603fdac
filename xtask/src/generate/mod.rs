//! The reference in `docs/reference`: written where a program can, compared with the sources where
//! people have to.
//!
//! | page | made of |
//! |---|---|
//! | `cli.md` | written here, from the program's help |
//! | `faults.md`, `diagnostics/*.md` | written by people; a section for each code of the sources |
//! | `openapi.json` | compared and written by the tests of the server's crate |

mod cli;
mod codes;
mod functions;
mod pages;
mod tokens;

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

/// Writes the page about the command line and tells what people have to write; with `check_only`
/// writes nothing and fails if anything is missing or out of date.
pub fn generate(root: &Path, check_only: bool) -> Result<()> {
    let mut wrong = pages::disagreements(root)?;
    let (path, wanted) = (root.join(cli::PAGE), cli::render(root)?);
    if fs::read_to_string(&path).ok().as_ref() != Some(&wanted) {
        match check_only {
            true => wrong.push(format!("{} is out of date: run `cargo xtask generate`", cli::PAGE)),
            false => fs::write(&path, wanted).with_context(|| path.display().to_string())?,
        }
    }
    match (wrong.is_empty(), check_only) {
        (true, _) => Ok(()),
        (false, true) => {
            bail!("the reference is not what the sources are:\n  {}", wrong.join("\n  "))
        }
        (false, false) => {
            println!("left for people to write:\n  {}", wrong.join("\n  "));
            Ok(())
        }
    }
}
