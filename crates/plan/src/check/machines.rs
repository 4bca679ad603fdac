//! Disk layouts held against machines: whether each fits one at least, and whether it can boot.

use super::Machine;
use crate::space::ConfigSpace;
use crate::storage::{self, DiskConfig, StorageFacts};
use hostwright_model::diagnostic::{Diagnostic, Severity};

/// What keeps a layout from every one of the machines. One machine that takes it is enough: which
/// machine gets which layout only class scripts can say.
pub(super) fn findings(space: &ConfigSpace, machines: &[Machine]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for file in space.disk_configs.values() {
        let broken = |finding: &Diagnostic| finding.severity == Severity::Error;
        if storage::check(&file.config).iter().any(broken) {
            continue;
        }
        let tried = machines.iter().map(|machine| objections(&file.config, machine));
        let best = tried.min_by_key(|objections| {
            let errors = objections.iter().filter(|found| broken(found)).count();
            (errors, objections.len())
        });
        found.extend(best.unwrap_or_default());
    }
    found
}

/// What is wrong with a layout on one machine, which the messages name.
fn objections(config: &DiskConfig, machine: &Machine) -> Vec<Diagnostic> {
    let facts = StorageFacts::from(&machine.facts);
    let mut found = match storage::layout(config, &facts) {
        Ok(layout) => storage::check_firmware(config, &layout, machine.facts.firmware),
        Err(found) => found,
    };
    for finding in &mut found {
        finding.message = format!("{}: {}", machine.name, finding.message);
    }
    found
}
