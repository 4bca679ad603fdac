//! Which config space a verb works with, for which classes, with which variables: options that
//! `build`, `plan` and `apply` share.

use crate::faults::{Failure, file, usage};
use crate::space;
use hostwright_model::class::ClassName;
use hostwright_model::plan::Rules;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A space and what is chosen of it.
#[derive(clap::Args)]
pub struct SpaceArgs {
    /// The config space: its directory, or git+https://…#BRANCH, https://…tar.gz#sha256=…, nfs://…
    #[arg(long, default_value = ".")]
    pub space: PathBuf,
    /// Classes beside those that the space's class scripts give.
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<ClassName>,
    /// Exactly these classes, in this order; no class script is run.
    #[arg(long, value_delimiter = ',', conflicts_with = "classes")]
    pub only_classes: Vec<ClassName>,
    /// The classes of this profile of the space (class/*.profile), beside the others.
    #[arg(long, value_name = "NAME", conflicts_with = "only_classes")]
    pub profile: Option<String>,
    /// A variable; it wins over those of the space.
    #[arg(long = "var", visible_alias = "set", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// A variable of an FAI server's configuration; those of the space win over it.
    #[arg(long = "default-var", value_name = "NAME=VALUE", hide = true)]
    defaults: Vec<String>,
    /// Do as FAI does where its documentation says otherwise; each such place warns.
    #[arg(long)]
    fai_bugs: bool,
    /// Leave packages out that no package source knows, and say so, instead of stopping.
    #[arg(long)]
    lenient: bool,
}

impl SpaceArgs {
    /// Fetches a space from elsewhere; from then on `space` is the absolute path of a directory.
    pub fn locate(&mut self) -> Result<(), Failure> {
        let directory = space::locate(&self.space)?;
        let absolute = std::path::absolute(&directory);
        self.space = absolute.map_err(|error| file("find", &directory, &error))?;
        Ok(())
    }

    /// The classes that are named, and whether class scripts add to them.
    pub fn given_classes(&self) -> (Vec<ClassName>, bool) {
        match self.only_classes.is_empty() {
            true => (self.classes.clone(), true),
            false => (self.only_classes.clone(), false),
        }
    }

    /// The given variables, with the classes of the profile among them. The space must be located.
    pub fn vars(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut vars = parse_vars(&self.vars)?;
        if let Some(name) = &self.profile {
            vars.insert("ADDCLASSES".to_owned(), space::profile(&self.space, name)?);
        }
        Ok(vars)
    }

    /// Variables that those of the space win over.
    pub fn defaults(&self) -> Result<BTreeMap<String, String>, Failure> {
        parse_vars(&self.defaults)
    }

    /// How the space is read where there is a choice.
    pub fn rules(&self) -> Rules {
        Rules { fai_bugs: self.fai_bugs, lenient: self.lenient, ..Rules::default() }
    }
}

/// `NAME=VALUE` words as a map.
pub fn parse_vars(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let split = |word: &String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(usage(format!("--var {word} has no '='"), "write --var NAME=VALUE")),
    };
    words.iter().map(split).collect()
}
