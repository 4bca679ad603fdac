//! Takes back what a run did to partition tables, superblocks and signatures, as long as nothing
//! else was overwritten.

use crate::actions;
use crate::fault::ActionError;
use crate::images::NoImages;
use crate::journal::{History, Journal, Record};
use crate::session::Session;
use crate::settings::Settings;
use hostwright_host::Host;
use hostwright_model::event::EventBody;
use hostwright_model::facts::Disk;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::{Digest, StepId};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, PLAN_VERSION, Plan, TargetProfile};
use hostwright_model::storage::{Fate, OldLayer};

/// True for actions that only change what is saved before them.
pub(crate) fn can_be_undone(action: &Action) -> bool {
    match action {
        Action::TakeDown { layer } => !matches!(layer, OldLayer::LogicalVolume { .. }),
        Action::PartitionTable { .. } => true,
        _ => false,
    }
}

/// True for actions behind which there is no way back: they write where data may be.
fn is_final(action: &Action) -> bool {
    match action {
        Action::TakeDown { .. } => !can_be_undone(action),
        Action::ResizeFileSystem { .. } => true,
        Action::RaidArray { array } => array.fate == Fate::Create,
        Action::Encrypt { encrypted } => encrypted.fate == Fate::Create,
        Action::VolumeGroup { group } => group.fate == Fate::Create,
        Action::LogicalVolume { volume, .. } => {
            matches!(volume.fate, Fate::Create | Fate::Resize { .. })
        }
        Action::Format { volume, .. } => !volume.fate.keeps_content(),
        _ => false,
    }
}

/// True if something was changed that can be taken back.
pub(crate) fn is_worth_it(history: &History) -> bool {
    let saved = |action: &Action| matches!(action, Action::SaveMetadata { .. });
    history.finished_steps().any(|begun| saved(&begun.action))
        && history.begun.iter().any(|begun| can_be_undone(&begun.action))
        && !history.begun.iter().any(|begun| is_final(&begun.action))
}

/// Puts partition tables, superblocks and signatures back as they were before the run whose record
/// is in `record_dir`. How many devices were changed. The run can be resumed afterwards: it does
/// those steps again.
///
/// # Errors
///
/// If the run has overwritten data already, if it saved nothing, or if a device does not take what
/// is written.
pub fn undo_record(host: &mut dyn Host, record_dir: &str) -> Result<usize, Box<Fault>> {
    let settings = Settings::of_record(record_dir);
    let journal = Journal::open(host, settings.journal()).map_err(Box::<Fault>::from)?;
    let journal = journal.ok_or_else(|| {
        Box::new(Fault::new(
            FaultKind::Environment,
            "nothing-saved",
            format!("there is no journal in {record_dir}"),
            "name the record directory of the run that changed the disks",
        ))
    })?;
    if let Some(last) = journal.history().begun.iter().find(|begun| is_final(&begun.action)) {
        return Err(Box::new(Fault::new(
            FaultKind::Config,
            "too-late-to-undo",
            format!("the run cannot be undone: step {} has overwritten data", last.step),
            "resume the run; the old tables are in 'storage' of its record for whoever digs deeper",
        )));
    }
    let mut images = NoImages;
    let mut session = Session::of_journal(host, &mut images, settings, journal);
    Ok(undo_with(&mut session, &mut |_| {})?)
}

pub(crate) fn undo_with(
    session: &mut Session<'_>,
    emit: &mut dyn FnMut(EventBody),
) -> Result<usize, ActionError> {
    let plan = Plan {
        version: PLAN_VERSION,
        inputs: Digest([0; 32]),
        stages: Vec::new(),
        layout: None,
        open: Vec::new(),
        policy: None,
    };
    let disks = confirmed_disks(session.history());
    // First, so that a run that goes on after half of it does those steps again.
    session.journal.append(session.host, &Record::Undone)?;
    let mut work = session.work(emit, &plan, Phase::Partition, &StepId::from("undo"), true);
    actions::put_back(&mut work, &disks)
}

/// The disks as the run found them before it wrote to any.
fn confirmed_disks(history: &History) -> Vec<Disk> {
    let disks = history.finished_steps().filter_map(|begun| match &begun.action {
        Action::ConfirmDisks { disks } => Some(disks),
        _ => None,
    });
    disks.flatten().cloned().collect()
}

/// What an operator types to undo the run with this record, on the machine that it was on.
pub(crate) fn command(target: &TargetProfile, record_dir: &str) -> String {
    match target.is_own_machine() {
        true => format!("hostwright-agent undo {record_dir}"),
        false => format!("hostwright run undo {record_dir}"),
    }
}
