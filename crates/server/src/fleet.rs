//! The machines as they are now, in memory: what boot services and the live page read.
//!
//! The database is the truth; the fleet is changed by whoever has just changed the database, while
//! still holding the right to write.

use hostwright_model::api::UnknownMachine;
use hostwright_model::api::{Machine, MachineSpec, NextBoot, Run, RunState, StoredEvent};
use hostwright_model::facts::Facts;
use hostwright_model::ids::{MacAddr, MachineName};
use hostwright_model::progress::RunProgress;
use hostwright_netboot::BootEvent;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// Machines that nobody described are remembered up to this number, the latest; addresses can be
/// forged.
pub(crate) const UNKNOWN_LIMIT: usize = 1000;
/// An unknown machine that goes on asking is written down this often.
const UNKNOWN_PERIOD_MS: i64 = 60_000;

/// All machines.
#[derive(Debug)]
pub(crate) struct Fleet {
    inner: RwLock<Inner>,
    /// Rises with every change.
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    machines: BTreeMap<MachineName, Member>,
    by_mac: HashMap<MacAddr, MachineName>,
    unknown: HashMap<MacAddr, UnknownMachine>,
}

/// One machine.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its description, latest run and facts.
    pub(crate) machine: Machine,
    /// Where its latest run is.
    pub(crate) progress: RunProgress,
    /// What it did last while booting.
    pub(crate) boot: Option<BootEvent>,
    /// How much the server's clock is ahead of the machine's, as far as its events tell.
    pub(crate) skew_ms: i64,
    /// The fleet's revision when it last changed.
    pub(crate) revision: u64,
}

impl Member {
    /// A machine whose latest run is at `progress`.
    pub(crate) fn new(machine: Machine, progress: RunProgress) -> Self {
        Self { machine, progress, boot: None, skew_ms: 0, revision: 0 }
    }

    /// The latest run, if it is open.
    pub(crate) fn open_run(&self) -> Option<&Run> {
        self.machine.run.as_ref().filter(|run| run.state.is_open())
    }
}

impl Fleet {
    /// A fleet as it was kept.
    pub(crate) fn new(members: Vec<Member>, unknown: Vec<UnknownMachine>) -> Self {
        let fleet = Self { inner: RwLock::default(), revision: watch::Sender::new(1) };
        let mut inner = fleet.write();
        for member in members {
            inner.insert(member);
        }
        inner.unknown = unknown.into_iter().map(|seen| (seen.mac, seen)).collect();
        drop(inner);
        fleet
    }

    /// The current revision, and word of the next ones.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// All machines by name.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.read().machines.values().cloned().collect()
    }

    /// One machine.
    pub(crate) fn member(&self, name: &MachineName) -> Option<Member> {
        self.read().machines.get(name).cloned()
    }

    /// The machine that one of its interfaces belongs to.
    pub(crate) fn by_mac(&self, mac: MacAddr) -> Option<Member> {
        let inner = self.read();
        inner.machines.get(inner.by_mac.get(&mac)?).cloned()
    }

    /// The machine that always gets `address`.
    pub(crate) fn by_address(&self, address: Ipv4Addr) -> Option<MachineName> {
        let inner = self.read();
        let mut machines = inner.machines.values().map(|member| &member.machine.spec);
        machines.find(|spec| spec.address == Some(address)).map(|spec| spec.name.clone())
    }

    /// Runs that are armed, booting or running.
    pub(crate) fn open_runs(&self) -> u64 {
        self.read().machines.values().filter(|member| member.open_run().is_some()).count() as u64
    }

    /// Machines that asked and are not ours, latest first.
    pub(crate) fn unknown(&self) -> Vec<UnknownMachine> {
        let mut unknown: Vec<_> = self.read().unknown.values().cloned().collect();
        unknown.sort_by_key(|seen| std::cmp::Reverse(seen.last_seen_ms));
        unknown
    }

    /// Adds a machine, or replaces its description.
    pub(crate) fn describe(&self, spec: MachineSpec) {
        let mut inner = self.write();
        for mac in &spec.macs {
            inner.unknown.remove(mac);
        }
        let mut member = inner.remove(&spec.name).unwrap_or_else(|| {
            let next_boot = NextBoot::Disk;
            let machine = Machine { spec: spec.clone(), next_boot, run: None, facts: None };
            Member::new(machine, RunProgress::default())
        });
        member.machine.spec = spec;
        member.revision = self.next_revision();
        inner.insert(member);
    }

    /// Forgets a machine.
    pub(crate) fn remove(&self, name: &MachineName) {
        self.write().remove(name);
        self.next_revision();
    }

    /// A machine was armed.
    pub(crate) fn arm(&self, run: Run) {
        self.change(&run.machine.clone(), |member| {
            member.machine.next_boot = NextBoot::Install;
            member.machine.run = Some(run);
            member.progress = RunProgress::default();
            member.boot = None;
        });
    }

    /// The agent of an open run has asked for its order.
    pub(crate) fn starts(&self, mut run: Run) {
        self.change(&run.machine.clone(), |member| {
            // A boot is noted here first.
            let booted_at_ms = member.machine.run.as_ref().and_then(|known| known.booted_at_ms);
            run.booted_at_ms = booted_at_ms.max(run.booted_at_ms);
            member.machine.run = Some(run);
            member.machine.next_boot = NextBoot::Install;
        });
    }

    /// The machine of a run looks like this.
    pub(crate) fn set_facts(&self, run: &Run, facts: Facts) {
        self.change(&run.machine, |member| member.machine.facts = Some(facts));
    }

    /// The machine of an open run has loaded its boot script.
    pub(crate) fn boots(&self, name: &MachineName, now_ms: i64) -> Option<Run> {
        let mut booting = None;
        self.change(name, |member| {
            if let Some(run) = member.machine.run.as_mut().filter(|run| run.state.is_open()) {
                run.state = RunState::Booting;
                run.booted_at_ms = Some(now_ms);
                booting = Some(run.clone());
            }
        });
        booting
    }

    /// Events of a run were stored.
    pub(crate) fn recorded(&self, run: &Run, events: &[StoredEvent], last_seq: u64, now_ms: i64) {
        self.change(&run.machine, |member| {
            let Some(latest) = member.machine.run.as_mut().filter(|known| known.id == run.id)
            else {
                return;
            };
            let current = events.iter().any(|event| event.attempt == latest.attempts);
            if current {
                latest.last_seq = latest.last_seq.max(last_seq);
                let happened_ms = events.last().map_or(now_ms, |stored| stored.event.at_ms);
                member.skew_ms = now_ms - happened_ms;
            }
            for stored in events {
                member.progress.apply(stored.attempt, &stored.event);
            }
        });
    }

    /// A run ended: its machine boots from its disk.
    pub(crate) fn ended(&self, run: &Run, state: RunState, now_ms: i64) {
        self.change(&run.machine, |member| {
            if let Some(latest) = member.machine.run.as_mut().filter(|known| known.id == run.id) {
                latest.state = state;
                latest.ended_at_ms = Some(now_ms);
                member.machine.next_boot = NextBoot::Disk;
            }
        });
    }

    /// An operator asked for a failed run to be taken up again.
    pub(crate) fn asked_to_resume(&self, run: &Run) {
        self.change(&run.machine, |member| {
            if let Some(latest) = member.machine.run.as_mut().filter(|known| known.id == run.id) {
                latest.resume_asked_at_ms = run.resume_asked_at_ms;
            }
        });
    }

    /// A step of some machine's boot. What it means for an unknown machine, to be kept.
    pub(crate) fn saw(&self, mac: MacAddr, event: BootEvent) -> Option<UnknownMachine> {
        let name = self.read().by_mac.get(&mac).cloned();
        if let Some(name) = name {
            self.change(&name, |member| member.boot = Some(event));
            return None;
        }
        let asked_for = event.step.to_string();
        let seen = UnknownMachine { mac, last_seen_ms: event.at_ms, asked_for };
        let mut inner = self.write();
        if inner.unknown.len() >= UNKNOWN_LIMIT && !inner.unknown.contains_key(&mac) {
            inner.forget_oldest_unknown();
        }
        let before = inner.unknown.insert(mac, seen.clone());
        drop(inner);
        self.next_revision();
        let recent =
            |before: &UnknownMachine| seen.last_seen_ms - before.last_seen_ms < UNKNOWN_PERIOD_MS;
        (!before.is_some_and(|before| recent(&before))).then_some(seen)
    }

    fn change(&self, name: &MachineName, change: impl FnOnce(&mut Member)) {
        let mut inner = self.write();
        if let Some(member) = inner.machines.get_mut(name) {
            change(member);
            // Under the lock, so that nobody sees a revision without what belongs to it.
            member.revision = self.next_revision();
        }
    }

    /// Something beside the machines changed that the page shows.
    pub(crate) fn touch(&self) {
        self.next_revision();
    }

    fn next_revision(&self) -> u64 {
        let mut next = 0;
        self.revision.send_modify(|revision| {
            *revision += 1;
            next = *revision;
        });
        next
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_oldest_unknown(&mut self) {
        let oldest = self.unknown.values().min_by_key(|seen| seen.last_seen_ms);
        if let Some(mac) = oldest.map(|seen| seen.mac) {
            self.unknown.remove(&mac);
        }
    }

    fn insert(&mut self, member: Member) {
        let spec = &member.machine.spec;
        self.by_mac.extend(spec.macs.iter().map(|mac| (*mac, spec.name.clone())));
        self.machines.insert(spec.name.clone(), member);
    }

    fn remove(&mut self, name: &MachineName) -> Option<Member> {
        self.by_mac.retain(|_, owner| owner != name);
        self.machines.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_netboot::BootStep;

    #[test]
    fn the_latest_unknown_machines_are_listed_however_many_ask() {
        let fleet = Fleet::new(Vec::new(), Vec::new());
        let count = UNKNOWN_LIMIT as u32 + 5;
        for number in 0..count {
            let [a, b, c, d] = number.to_be_bytes();
            let mac = MacAddr([0x52, 0x54, a, b, c, d]);
            let step = BootStep::Declined { address: Ipv4Addr::LOCALHOST };
            let event = BootEvent { mac: Some(mac), address: None, at_ms: number.into(), step };
            assert!(fleet.saw(mac, event).is_some(), "{number} is not kept");
        }
        let listed = fleet.unknown();
        assert_eq!(listed.len(), UNKNOWN_LIMIT);
        let seen: Vec<i64> = listed.iter().map(|seen| seen.last_seen_ms).collect();
        assert_eq!((seen[0], seen[UNKNOWN_LIMIT - 1]), (i64::from(count) - 1, 5));
    }
}
