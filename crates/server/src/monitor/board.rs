//! What was told, by machine; in memory, as FAI's monitor keeps it.

use super::message::News;
use hostwright_model::monitored::{MonitoredMachine, MonitoredState, MonitoredTask};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names cost nothing to make up: beyond this number the one that was silent longest goes.
const MACHINES_MAX: usize = 2000;
/// The same for the tasks of a machine, of which FAI has about twenty.
const TASKS_MAX: usize = 100;

/// Everything that was told.
#[derive(Debug, Default)]
pub(crate) struct Board {
    machines: Mutex<BTreeMap<String, MonitoredMachine>>,
}

impl Board {
    /// All machines by name.
    pub(crate) fn machines(&self) -> Vec<MonitoredMachine> {
        self.lock().values().cloned().collect()
    }

    /// Takes note of what `name` told from `address`.
    pub(super) fn note(&self, name: String, news: News, address: String, now_ms: i64) {
        let mut machines = self.lock();
        if machines.len() >= MACHINES_MAX && !machines.contains_key(&name) {
            let oldest = machines.values().min_by_key(|machine| machine.last_heard_ms);
            let oldest = oldest.map(|machine| machine.name.clone());
            oldest.and_then(|name| machines.remove(&name));
        }
        let machine = machines.entry(name).or_insert_with_key(|name| MonitoredMachine {
            name: name.clone(),
            address: String::new(),
            last_heard_ms: now_ms,
            tasks: Vec::new(),
        });
        machine.address = address;
        machine.last_heard_ms = now_ms;
        match news {
            News::Check => machine.tasks.clear(),
            News::Begin(task) => set(machine, task, MonitoredState::Running, 0),
            News::Skip(task) => set(machine, task, MonitoredState::Skipped, 0),
            News::End(task, error) => set(machine, task, MonitoredState::of_error(error), error),
            News::Other => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MonitoredMachine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(machine: &mut MonitoredMachine, name: String, state: MonitoredState, error: u32) {
    if let Some(known) = machine.tasks.iter_mut().find(|task| task.name == name) {
        (known.state, known.error) = (state, error);
    } else if machine.tasks.len() < TASKS_MAX {
        machine.tasks.push(MonitoredTask { name, state, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(board: &Board, name: &str, news: News, now_ms: i64) {
        board.note(name.to_owned(), news, "192.0.2.1".to_owned(), now_ms);
    }

    #[test]
    fn tasks_follow_each_other_and_check_begins_anew() {
        let board = Board::default();
        tell(&board, "web1", News::Begin("partition".to_owned()), 1);
        tell(&board, "web1", News::End("partition".to_owned(), 710), 2);
        tell(&board, "web1", News::Skip("debconf".to_owned()), 3);
        let tasks = board.machines()[0].tasks.clone();
        let seen: Vec<_> = tasks.iter().map(|t| (t.name.as_str(), t.state, t.error)).collect();
        let failed = ("partition", MonitoredState::Failed, 710);
        assert_eq!(seen, [failed, ("debconf", MonitoredState::Skipped, 0)]);
        tell(&board, "web1", News::Check, 4);
        assert_eq!((board.machines()[0].tasks.len(), board.machines()[0].last_heard_ms), (0, 4));
    }

    #[test]
    fn made_up_names_cost_only_so_much() {
        let board = Board::default();
        for number in 0..=MACHINES_MAX as i64 {
            tell(&board, &format!("host{number}"), News::Check, number);
        }
        let machines = board.machines();
        assert_eq!(machines.len(), MACHINES_MAX);
        assert!(!machines.iter().any(|machine| machine.name == "host0"), "it was silent longest");
    }
}
