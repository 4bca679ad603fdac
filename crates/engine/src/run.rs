//! The loop of a run: plan, carry out a stage, take over what it said at its barrier, plan again.

use crate::fault::{ActionError, at_step};
use crate::journal::{Record, ShellChange};
use crate::logs::LogFile;
use crate::passphrases::Passphrases;
use crate::session::Session;
use crate::work::exists;
use crate::{actions, barrier, drift, observe, pass, task_error, undo};
use hostwright_model::api::RecoveryKey;
use hostwright_model::class::ClassList;
use hostwright_model::event::EventBody;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::ids::StepId;
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Inputs, Observed, Plan, Step};
use hostwright_model::storage::EncryptionKey;

/// Makes plans. The engine does not know how.
pub trait Planner {
    /// The plan for `inputs`, checked.
    fn plan(&mut self, inputs: &Inputs) -> Result<Plan, Box<Fault>>;

    /// The classes of a machine, once its scripts have named some: with those that the others need,
    /// in the order that they need. A planner without class dependencies leaves them as they are.
    fn settle_classes(&mut self, named: ClassList) -> Result<ClassList, Box<Fault>> {
        Ok(named)
    }

    /// The passphrase that a line of a disk_config gives an encrypted device. Plans and journals
    /// only name the place.
    fn passphrase(&mut self, _file: &str, _line: u32) -> Option<String> {
        None
    }

    /// Keeps a recovery key where its owner finds it when nothing else opens the device. The engine
    /// forgets it when this returns.
    fn keep_recovery_key(&mut self, key: &RecoveryKey) -> Result<(), Box<Fault>> {
        Err(Box::new(Fault::new(
            FaultKind::Config,
            "no-key-keeper",
            format!("nobody here keeps a recovery key for {}", key.device),
            "install by a boot server, or leave recovery keys out of the disk_config",
        )))
    }
}

/// What a finished run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// FAI's highest task error; 0 if nothing complained.
    pub task_error: u32,
    /// Steps that were carried out, in all attempts.
    pub steps: u64,
    /// Where the logs are.
    pub log_dir: String,
}

impl Report {
    fn of(session: &Session<'_>, task_error: u32) -> Self {
        let steps = session.history().finished.len() as u64;
        Self { task_error, steps, log_dir: session.settings.log_dir.clone() }
    }
}

/// Runs a session to its end. The session can be resumed after every fault, and after the death of
/// this process at any moment.
pub fn run(
    session: &mut Session<'_>,
    planner: &mut dyn Planner,
    emit: &mut dyn FnMut(EventBody),
) -> Result<Report, Box<Fault>> {
    if let Some(task_error) = session.history().ended {
        return Ok(Report::of(session, task_error));
    }
    let mut runner = Runner { session, planner, emit, phase: None, plan: None, told: false };
    match runner.run_all() {
        Ok(task_error) => {
            (runner.emit)(EventBody::RunFinished { ok: true, task_error, fault: None });
            Ok(Report::of(session, task_error))
        }
        Err(error) => Err(runner.give_up(error.into())),
    }
}

struct Runner<'r, 'a> {
    session: &'r mut Session<'a>,
    planner: &'r mut dyn Planner,
    emit: &'r mut dyn FnMut(EventBody),
    phase: Option<Phase>,
    plan: Option<Plan>,
    /// True if the fault was told with the step it stopped.
    told: bool,
}

impl Runner<'_, '_> {
    fn run_all(&mut self) -> Result<u32, ActionError> {
        loop {
            let plan = self.make_plan()?;
            if std::mem::take(&mut self.session.to_restore) {
                self.restore(&plan)?;
            }
            if self.run_to_barrier(&plan)? {
                continue;
            }
            if !plan.open.is_empty() {
                return Err(ActionError::new(
                    FaultKind::Bug,
                    "plan-open",
                    format!("the plan ends although {} is still open", plan.open.join(", ")),
                    "report this with the plan and the config space",
                ));
            }
            return self.end();
        }
    }

    fn make_plan(&mut self) -> Result<Plan, ActionError> {
        let plan = self.planner.plan(self.session.inputs())?;
        drift::check(self.session.history(), &plan)?;
        let mut phases: Vec<(Phase, u64)> = Vec::new();
        for (phase, _) in plan.steps() {
            match phases.last_mut() {
                Some((last, count)) if *last == phase => *count += 1,
                _ => phases.push((phase, 1)),
            }
        }
        let steps = plan.steps().count() as u64;
        let finished = self.session.history().finished.len() as u64;
        let record = Record::Planned { inputs: plan.inputs, steps };
        self.session.journal.append(self.session.host, &record)?;
        (self.emit)(EventBody::Planned { steps, phases, finished });
        self.plan = Some(plan.clone());
        Ok(plan)
    }

    /// Carries out what is not done yet. True if a barrier was passed and the plan must be made
    /// again, false at the end of the plan.
    fn run_to_barrier(&mut self, plan: &Plan) -> Result<bool, ActionError> {
        for stage in &plan.stages {
            for step in &stage.steps {
                if !self.session.history().finished.contains_key(&step.id) {
                    self.enter(stage.phase)?;
                    self.run_step(plan, stage.phase, step)?;
                }
            }
            let name = barrier::name(stage);
            if stage.barrier && !self.session.history().barriers.contains(&name) {
                self.enter(stage.phase)?;
                pass::pass(self.session, self.planner, self.emit, plan, stage)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts back what a reboot since the last attempt may have undone.
    fn restore(&mut self, plan: &Plan) -> Result<(), ActionError> {
        let finished: Vec<Action> =
            self.session.history().finished_steps().map(|begun| begun.action.clone()).collect();
        let id = StepId::from("resume");
        let passphrases = self.passphrases(&finished);
        let mut work = self.session.work(self.emit, plan, Phase::Confdir, &id, true);
        work.passphrases = passphrases;
        actions::restore(&mut work, &finished)
    }

    /// The passphrases that actions need.
    fn passphrases(&mut self, actions: &[Action]) -> Passphrases {
        let mut passphrases = Passphrases::default();
        for action in actions {
            if let Action::Encrypt { encrypted } = action
                && let EncryptionKey::Passphrase { file, line } = &encrypted.key
                && let Some(passphrase) = self.planner.passphrase(file, *line)
            {
                passphrases.put(file, *line, passphrase);
            }
        }
        passphrases
    }

    fn end(&mut self) -> Result<u32, ActionError> {
        self.leave()?;
        let session = &mut *self.session;
        session.logs.flush(session.host, &session.settings)?;
        let task_error = task_error::highest(session.host, &session.settings)?;
        session.journal.append(session.host, &Record::Ended { task_error })?;
        Ok(task_error)
    }

    fn enter(&mut self, phase: Phase) -> Result<(), ActionError> {
        if self.phase == Some(phase) {
            return Ok(());
        }
        self.leave()?;
        let session = &mut *self.session;
        observe::forget_skips_before(session.host, &session.settings, phase)?;
        task_error::begin_task(session.host, &session.settings)?;
        session.logs.line(LogFile::Fai, &format!("Calling task_{phase}"));
        session.tell_monitor(&format!("TASKBEGIN {phase}"))?;
        self.phase = Some(phase);
        (self.emit)(EventBody::PhaseStarted { phase });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), ActionError> {
        let Some(phase) = self.phase.take() else {
            return Ok(());
        };
        self.settle(phase)?;
        let session = &mut *self.session;
        let error = task_error::of_task(session.host, &session.settings)?;
        session.tell_monitor(&format!("TASKEND {phase} {error}"))?;
        (self.emit)(EventBody::PhaseFinished { phase });
        Ok(())
    }

    /// Raises the errors that FAI raises at the end of a task.
    fn settle(&mut self, phase: Phase) -> Result<(), ActionError> {
        let session = &mut *self.session;
        let code = match phase {
            Phase::Configure if session.history().has_failed_script(phase) => {
                Some(task_error::CONFIGURE_FAILED)
            }
            Phase::Tests if actions::tests_failed(session.host, &session.settings)? => {
                Some(task_error::TESTS_FAILED)
            }
            _ => None,
        };
        if let Some(code) = code {
            session.raise(code)?;
            let limit = session.shell_vars.get("STOP_ON_ERROR").map(String::as_str);
            task_error::check(session.host, &session.settings, limit, phase)?;
        }
        Ok(())
    }

    fn run_step(&mut self, plan: &Plan, phase: Phase, step: &Step) -> Result<(), ActionError> {
        let session = &mut *self.session;
        let repeated = session.history().begun(&step.id).is_some();
        let action = Box::new(step.action.clone());
        let begun = Record::Begun { step: step.id.clone(), phase, action };
        session.journal.append(session.host, &begun)?;
        let title = step.action.title();
        (self.emit)(EventBody::StepStarted { step: step.id.clone(), phase, title });
        match self.try_step(plan, phase, step, repeated) {
            Ok(()) => Ok(()),
            Err(error) => {
                let fault = at_step(step, error.into());
                let (step, told) = (step.id.clone(), Fault::clone(&fault));
                (self.emit)(EventBody::StepFailed { step, fault: told });
                self.told = true;
                Err(fault.into())
            }
        }
    }

    fn try_step(
        &mut self,
        plan: &Plan,
        phase: Phase,
        step: &Step,
        repeated: bool,
    ) -> Result<(), ActionError> {
        let before = self.session.history().shell.clone();
        let earlier = self.observed_in(plan, phase);
        let passphrases = self.passphrases(std::slice::from_ref(&step.action));
        let mut work = self.session.work(self.emit, plan, phase, &step.id, repeated);
        work.passphrases = passphrases;
        let mut done = actions::execute(&mut work, &step.action, &earlier)?;
        if let Action::Encrypt { encrypted } = &step.action
            && let Some(key) = actions::recovery::taken_from(&mut work, encrypted)?
        {
            self.planner.keep_recovery_key(&key)?;
            actions::recovery::forget(&mut work, encrypted)?;
        }
        if actions::is_user_code(&step.action) {
            let limit = work.shell_vars.get("STOP_ON_ERROR").cloned();
            task_error::check(work.host, work.settings, limit.as_deref(), phase)?;
            let mut known = work.inputs.skips.clone();
            known.extend(earlier.into_iter().flat_map(|observed| observed.skips));
            done.observed.skips = observe::new_skips(work.host, work.settings, &known, &step.id)?;
        }
        let session = &mut *self.session;
        session.logs.flush(session.host, &session.settings)?;
        let shell = ShellChange::between(&before, &session.shell_vars);
        let (outcome, observed) = (done.outcome.clone(), done.observed);
        let finished = Record::Finished { step: step.id.clone(), outcome, observed, shell };
        session.journal.append(session.host, &finished)?;
        (self.emit)(EventBody::StepFinished { step: step.id.clone(), outcome: done.outcome });
        Ok(())
    }

    /// What the finished steps of a phase observed, in the order of the plan.
    fn observed_in(&self, plan: &Plan, phase: Phase) -> Vec<Observed> {
        let steps = plan.steps().filter(|(of, _)| *of == phase);
        let finished = &self.session.history().finished;
        steps.filter_map(|(_, step)| Some(finished.get(&step.id)?.observed.clone())).collect()
    }

    /// Notes the fault, saves the logs if there is a system to save them into, and lets go of a
    /// directory. A machine keeps its mounts for whoever looks for the cause.
    fn give_up(&mut self, fault: Box<Fault>) -> Box<Fault> {
        let code = fault.code.clone();
        let noted = self.session.journal.append(self.session.host, &Record::Failed { code });
        // Without power nothing more can be done; what else fails here is not the cause.
        let mut fault = fault;
        if noted.is_ok() {
            self.put_disks_back(&mut fault);
            let _ = self.save_what_can_be_saved(&fault);
        }
        let session = &mut *self.session;
        let task_error = task_error::highest(session.host, &session.settings).unwrap_or(0);
        let untold = (!self.told).then(|| Fault::clone(&fault));
        (self.emit)(EventBody::RunFinished { ok: false, task_error, fault: untold });
        fault
    }

    /// Before anything of value is overwritten, a run that stops leaves the disks as they were.
    fn put_disks_back(&mut self, fault: &mut Fault) {
        if !undo::is_worth_it(self.session.history()) {
            return;
        }
        match undo::undo_with(self.session, self.emit) {
            Ok(_) => fault.cure = format!("the disks are as they were; {}", fault.cure),
            Err(error) => {
                let reason = Box::<Fault>::from(error);
                let record_dir = &self.session.settings.record_dir;
                let command = undo::command(&self.session.inputs().target, record_dir);
                fault.output.push(format!("the disks were not put back: {reason}"));
                fault.cure = format!("{}; '{command}' puts the disks back", fault.cure);
            }
        }
    }

    fn save_what_can_be_saved(&mut self, fault: &Fault) -> Result<(), ActionError> {
        let session = &mut *self.session;
        session.logs.line(LogFile::Fai, &format!("FATAL ERROR. {fault}"));
        session.logs.flush(session.host, &session.settings)?;
        let etc = session.settings.in_target("etc");
        let plan = self.plan.take();
        if let Some(plan) = plan.filter(|_| self.phase < Some(Phase::Savelog))
            && exists(session.host, &etc)?
        {
            session.start_shell()?;
            let savelog = plan.steps().filter(|(phase, _)| *phase == Phase::Savelog);
            for (phase, step) in savelog {
                let mut work = session.work(self.emit, &plan, phase, &step.id, true);
                actions::execute(&mut work, &step.action, &[])?;
            }
        }
        let profile = session.inputs().target.clone();
        if !profile.has_disks() {
            actions::unmount_target(session.host, &session.settings.target_dir, &profile)?;
        }
        Ok(())
    }
}
