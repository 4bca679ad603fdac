//! Answers for debconf, set before packages ask.

use super::Done;
use super::apt::in_target;
use crate::fault::ActionError;
use crate::work::Work;
use hostwright_host::{HostError, Tool};
use hostwright_model::fault::FaultKind;
use hostwright_model::plan::Action;
use std::collections::BTreeSet;

/// All answers of the space, one file after another, for scripts to read.
const COLLECTED: &str = "debconf.data";
/// A copy of the answers that packages see while they are configured anew: they must not replace
/// them by what they find in their configuration files.
const FROZEN: &str = "/var/cache/debconf/hostwright-frozen.dat";

/// Sets the answers of one file. After the last file, packages that are installed already and are
/// named in any of them are configured anew.
pub(super) fn preseed(work: &mut Work<'_>, path: &str) -> Result<Done, ActionError> {
    let full = work.settings.in_space(path);
    let Some(answers) = work.host.read(&full)? else {
        return Err(ActionError::new(
            FaultKind::Config,
            "space-changed",
            format!("{path} was in the config space when the plan was made and is gone"),
            "start the run over with the space as it is now",
        ));
    };
    let set = in_target(work, Tool::DebconfSetSelections).stdin(answers.clone());
    work.tool(set)?;
    let collected = work.settings.in_logs(COLLECTED);
    let mut all = work.read_text(&collected)?.unwrap_or_default();
    let answers = String::from_utf8_lossy(&answers);
    if !(work.repeated && all.contains(&*answers)) {
        work.host.append(&collected, answers.as_bytes())?;
        all.push_str(&answers);
    }
    if is_last(work) {
        reconfigure(work, &packages_named(&all))?;
    }
    Ok(Done::changed())
}

/// True if no later step of the plan preseeds debconf.
fn is_last(work: &Work<'_>) -> bool {
    let mut later = work.plan.steps().skip_while(|(_, step)| step.id != work.step).skip(1);
    !later.any(|(_, step)| matches!(step.action, Action::Debconf { .. }))
}

fn packages_named(answers: &str) -> BTreeSet<String> {
    let words = answers.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| !word.starts_with('#')).map(str::to_owned).collect()
}

fn reconfigure(work: &mut Work<'_>, named: &BTreeSet<String>) -> Result<(), ActionError> {
    let installed = installed(work)?;
    let packages: Vec<&String> = named.iter().filter(|name| installed.contains(*name)).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let copy = in_target(work, Tool::DebconfCopydb).args([
        "configdb",
        "frozen",
        "--config=Name:frozen",
        "--config=Driver:File",
        &format!("--config=Filename:{FROZEN}"),
    ]);
    work.tool(copy)?;
    for package in packages {
        let command = in_target(work, Tool::DpkgReconfigure)
            .env("DEBCONF_DB_OVERRIDE", format!("File{{{FROZEN} readonly:true}}"))
            .arg(package);
        // As with FAI, a package whose scripts fail here is seen in debconf.log and goes on.
        work.try_tool(command)?;
    }
    for name in [FROZEN.to_owned(), format!("{FROZEN}-old")] {
        work.host.remove(&work.target(&name))?;
    }
    Ok(())
}

fn installed(work: &mut Work<'_>) -> Result<BTreeSet<String>, HostError> {
    let names = work.host.list(&work.target("var/lib/dpkg/info"))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".list")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_the_first_words_of_answers() {
        let answers = "# comment\nlocales locales/default_environment_locale select C\n\n\
                       locales\tother select x\nexim4-config exim4/x select y\n";
        let named = packages_named(answers);
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["exim4-config", "locales"]);
    }
}
