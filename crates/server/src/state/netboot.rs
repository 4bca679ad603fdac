//! Leases and unknown machines in the database.

use super::{State, StateError, Writer, from_json, to_json};
use crate::fleet::UNKNOWN_LIMIT;
use hostwright_model::api::UnknownMachine;
use hostwright_model::ids::MacAddr;
use hostwright_netboot::Lease;
use sqlx::Row as _;

impl State {
    /// All leases that were kept.
    pub(crate) async fn leases(&self) -> Result<Vec<Lease>, StateError> {
        let rows = sqlx::query("SELECT lease FROM leases").fetch_all(&self.readers).await?;
        rows.iter().map(|row| from_json("a lease", row.get("lease"))).collect()
    }

    /// All machines that asked and are not ours.
    pub(crate) async fn unknown_machines(&self) -> Result<Vec<UnknownMachine>, StateError> {
        let query = sqlx::query("SELECT mac, last_seen_ms, asked_for FROM unknown_machines");
        let mut unknown = Vec::new();
        for row in query.fetch_all(&self.readers).await? {
            let mac = super::from_word("an address", row.get("mac"))?;
            let (last_seen_ms, asked_for) = (row.get("last_seen_ms"), row.get("asked_for"));
            unknown.push(UnknownMachine { mac, last_seen_ms, asked_for });
        }
        Ok(unknown)
    }
}

impl Writer<'_> {
    /// Keeps a lease by its address.
    pub(crate) async fn keep_lease(&mut self, lease: &Lease) -> Result<(), StateError> {
        sqlx::query("INSERT OR REPLACE INTO leases (address, lease) VALUES (?, ?)")
            .bind(lease.address.to_string())
            .bind(to_json(lease))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Keeps that an unknown machine asked, and forgets the one that is longest ago beyond the limit.
    pub(crate) async fn keep_unknown(&mut self, seen: &UnknownMachine) -> Result<(), StateError> {
        sqlx::query(
            "INSERT OR REPLACE INTO unknown_machines (mac, last_seen_ms, asked_for) \
             VALUES (?, ?, ?)",
        )
        .bind(seen.mac.to_string())
        .bind(seen.last_seen_ms)
        .bind(&seen.asked_for)
        .execute(&mut *self.0)
        .await?;
        sqlx::query(
            "DELETE FROM unknown_machines WHERE mac IN (SELECT mac FROM unknown_machines \
             ORDER BY last_seen_ms DESC LIMIT -1 OFFSET ?)",
        )
        .bind(UNKNOWN_LIMIT as i64)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Forgets that a machine was unknown.
    pub(crate) async fn forget_unknown(&mut self, macs: &[MacAddr]) -> Result<(), StateError> {
        for mac in macs {
            sqlx::query("DELETE FROM unknown_machines WHERE mac = ?")
                .bind(mac.to_string())
                .execute(&mut *self.0)
                .await?;
        }
        Ok(())
    }
}
