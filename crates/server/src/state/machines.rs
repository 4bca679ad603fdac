//! Machines in the database.

use super::{State, StateError, Writer, from_json, from_word, to_json, to_word};
use hostwright_model::api::{Machine, MachineSpec, NextBoot, RunState};
use hostwright_model::facts::Facts;
use hostwright_model::ids::{MachineName, RunId};
use sqlx::Row as _;

impl State {
    /// All machines by name, each with its latest run.
    pub(crate) async fn machines(&self) -> Result<Vec<Machine>, StateError> {
        let rows = sqlx::query("SELECT name, spec, next_boot, facts FROM machines ORDER BY name");
        let mut machines = Vec::new();
        for row in rows.fetch_all(&self.readers).await? {
            let name = MachineName::new(row.get::<String, _>("name"));
            let facts: Option<String> = row.get("facts");
            machines.push(Machine {
                spec: from_json("a machine", row.get("spec"))?,
                next_boot: from_word("a next boot", row.get("next_boot"))?,
                run: self.latest_run(&name).await?,
                facts: facts.map(|json| from_json("facts", &json)).transpose()?,
            });
        }
        Ok(machines)
    }
}

impl Writer<'_> {
    /// Adds a machine that boots from its disk.
    pub(crate) async fn add_machine(&mut self, spec: &MachineSpec) -> Result<(), StateError> {
        sqlx::query("INSERT INTO machines (name, spec, next_boot) VALUES (?, ?, ?)")
            .bind(spec.name.as_str())
            .bind(to_json(spec))
            .bind(to_word(&NextBoot::Disk))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Replaces a machine's description.
    pub(crate) async fn change_machine(&mut self, spec: &MachineSpec) -> Result<(), StateError> {
        sqlx::query("UPDATE machines SET spec = ? WHERE name = ?")
            .bind(to_json(spec))
            .bind(spec.name.as_str())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Removes a machine with its runs and their events.
    pub(crate) async fn remove_machine(&mut self, name: &MachineName) -> Result<(), StateError> {
        sqlx::query("DELETE FROM machines WHERE name = ?")
            .bind(name.as_str())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Keeps what the machine of a run looks like.
    pub(crate) async fn set_facts(&mut self, run: &RunId, facts: &Facts) -> Result<(), StateError> {
        sqlx::query(
            "UPDATE machines SET facts = ? WHERE name = (SELECT machine FROM runs WHERE id = ?)",
        )
        .bind(to_json(facts))
        .bind(run.as_str())
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Ends a run: its machine boots from its disk from now on.
    pub(crate) async fn end_run(
        &mut self,
        run: &RunId,
        state: RunState,
        now_ms: i64,
    ) -> Result<(), StateError> {
        let mut transaction = self.begin().await?;
        super::runs::end(&mut transaction, run, state, now_ms).await?;
        transaction.commit().await?;
        Ok(())
    }
}
