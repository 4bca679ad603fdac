//! `--fai-bugs` and `--lenient`, which several verbs have.

use hostwright_model::plan::Rules;

/// How the config space is read where there is a choice.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RuleArgs {
    /// Do as FAI does where its documentation says otherwise; each such place warns.
    #[arg(long)]
    fai_bugs: bool,
    /// Leave packages out that no package source knows, and say so, instead of stopping.
    #[arg(long)]
    lenient: bool,
}

impl RuleArgs {
    /// The same without the command line.
    pub fn rules(self) -> Rules {
        Rules { fai_bugs: self.fai_bugs, lenient: self.lenient }
    }
}
