//! Describing, changing and forgetting machines.

use super::App;
use crate::fleet::Member;
use crate::problem::Problem;
use hostwright_model::api::{Machine, MachineSpec};
use hostwright_model::class::ClassName;
use hostwright_model::ids::MachineName;

impl App {
    /// One machine.
    pub(crate) fn member(&self, name: &MachineName) -> Result<Member, Problem> {
        self.fleet.member(name).ok_or_else(|| Problem::no_machine(name))
    }

    /// Adds a machine; it boots from its disk until it is armed.
    pub(crate) async fn add_machine(&self, spec: MachineSpec) -> Result<Machine, Problem> {
        self.check_text(&spec)?;
        let mut writer = self.state.writer().await;
        if self.fleet.member(&spec.name).is_some() {
            let message = format!("there is already a machine '{}'", spec.name);
            let cure = "choose another name, or change the machine with PUT";
            return Err(Problem::conflict("machine-exists", message, cure));
        }
        self.check_unique(&spec)?;
        writer.add_machine(&spec).await?;
        writer.forget_unknown(&spec.macs).await?;
        let name = spec.name.clone();
        self.fleet.describe(spec);
        Ok(self.member(&name)?.machine)
    }

    /// Replaces a machine's description. An open run goes on as it was armed.
    pub(crate) async fn change_machine(
        &self,
        name: &MachineName,
        spec: MachineSpec,
    ) -> Result<Machine, Problem> {
        if spec.name != *name {
            let message =
                format!("the machine is '{name}' and the description says '{}'", spec.name);
            let cure = "a machine keeps its name: remove it and add it under the new one";
            return Err(Problem::bad("machine-renamed", message, cure));
        }
        self.check_text(&spec)?;
        let mut writer = self.state.writer().await;
        self.member(name)?;
        self.check_unique(&spec)?;
        writer.change_machine(&spec).await?;
        writer.forget_unknown(&spec.macs).await?;
        self.fleet.describe(spec);
        Ok(self.member(name)?.machine)
    }

    /// Forgets a machine, its runs and their events.
    pub(crate) async fn remove_machine(&self, name: &MachineName) -> Result<(), Problem> {
        let mut writer = self.state.writer().await;
        if let Some(run) = self.member(name)?.open_run() {
            let message = format!("run {} of '{name}' is open", run.id);
            let cure = format!("take it back first: hostwright machine cancel {name}");
            return Err(Problem::conflict("run-open", message, cure));
        }
        writer.remove_machine(name).await?;
        self.fleet.remove(name);
        Ok(())
    }

    /// What can be said about a description without looking at other machines.
    fn check_text(&self, spec: &MachineSpec) -> Result<(), Problem> {
        if !is_host_name(spec.name.as_str()) {
            let message = format!("'{}' is not a host name", spec.name);
            let cure = "use 1 to 63 lower-case letters, digits and '-', not at either end";
            return Err(Problem::bad("bad-machine-name", message, cure));
        }
        if spec.macs.is_empty() {
            let message = format!("machine '{}' has no interface address", spec.name);
            let cure = "give the address of the interface it boots from: --mac 52:54:00:12:34:56";
            return Err(Problem::bad("no-mac", message, cure));
        }
        for class in &spec.classes {
            class.parse::<ClassName>().map_err(|error| {
                let cure = "correct the name; FAI's classes are upper case by convention";
                Problem::bad("bad-class-name", error.to_string(), cure)
            })?;
        }
        if !self.config.spaces.contains_key(&spec.space) {
            let known: Vec<_> = self.config.spaces.keys().map(String::as_str).collect();
            let message = format!("there is no config space '{}'", spec.space);
            let cure = format!("choose one of: {}; or add it to [spaces]", known.join(", "));
            return Err(Problem::bad("no-such-space", message, cure));
        }
        match (&self.config.dhcp, spec.address) {
            (Some(network), Some(address)) if !network.subnet.contains(address) => {
                let message = format!("{address} is not in subnet {}", network.subnet);
                let cure = "give an address of the subnet, or none for one of the pool";
                Err(Problem::bad("address-outside", message, cure))
            }
            _ => Ok(()),
        }
    }

    /// What must differ from all other machines.
    fn check_unique(&self, spec: &MachineSpec) -> Result<(), Problem> {
        for mac in &spec.macs {
            let owner = self.fleet.by_mac(*mac).map(|member| member.machine.spec.name);
            if let Some(owner) = owner.filter(|owner| *owner != spec.name) {
                let message = format!("{mac} belongs to machine '{owner}'");
                let cure = format!("correct the address, or remove '{owner}' first");
                return Err(Problem::conflict("mac-taken", message, cure));
            }
        }
        let Some(address) = spec.address else { return Ok(()) };
        let own = self.config.dhcp.as_ref().map(|network| network.server_address);
        if own == Some(address) {
            let message = format!("{address} is the boot server's own address");
            return Err(Problem::bad("address-taken", message, "give another address"));
        }
        match self.fleet.by_address(address).filter(|owner| *owner != spec.name) {
            Some(owner) => {
                let message = format!("{address} belongs to machine '{owner}'");
                let cure = format!("give another address, or change '{owner}' first");
                Err(Problem::conflict("address-taken", message, cure))
            }
            None => Ok(()),
        }
    }
}

/// RFC 952 and 1123, in lower case: the name becomes part of file names and addresses.
fn is_host_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(good)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
