//! Bodies of the server's HTTP API, shared by server, agent and command line.

use crate::event::Event;
use crate::facts::Facts;
use crate::ids::{Digest, MacAddr, MachineName, RunId};
use crate::image::ImageRef;
use crate::manners::Manners;
use crate::plan::Rules;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A machine as an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// Its name, and its host name.
    pub name: MachineName,
    /// Addresses of its boot interfaces.
    pub macs: Vec<MacAddr>,
    /// The address it always gets; without one it gets one of the pool.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<Ipv4Addr>,
    /// Classes beside those that the space's class scripts give.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Name of the config space, as in the server's configuration.
    pub space: String,
    /// Name or digest of the image; without one packages are installed on the machine.
    #[serde(default)]
    pub image: Option<String>,
    /// Variables beside those of the space.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// How its installer behaves.
    #[serde(default, skip_serializing_if = "Manners::is_empty")]
    pub manners: Manners,
}

/// A machine as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Machine {
    /// What the operator said.
    #[serde(flatten)]
    pub spec: MachineSpec,
    /// What it will boot next.
    pub next_boot: NextBoot,
    /// Its latest run.
    pub run: Option<Run>,
    /// What it looked like at its latest run.
    pub facts: Option<Facts>,
}

/// What a machine boots when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NextBoot {
    /// Its own disk.
    Disk,
    /// The agent, to install.
    Install,
}

/// A machine that asked for an address or a boot file and is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnknownMachine {
    /// Its address.
    pub mac: MacAddr,
    /// When it was last heard, milliseconds since the epoch.
    pub last_seen_ms: i64,
    /// What it asked for, for people.
    pub asked_for: String,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Asked for; the machine has not booted yet.
    Armed,
    /// The machine has loaded its boot script.
    Booting,
    /// The agent reports.
    Running,
    /// Everything was done.
    Installed,
    /// It failed; the machine is up and waits.
    Failed,
    /// Taken back before it began.
    Cancelled,
}

impl RunState {
    /// Its name in the API, which is also the word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Booting => "booting",
            Self::Running => "running",
            Self::Installed => "installed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if the machine still has to boot the agent for this run.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Armed | Self::Booting | Self::Running)
    }
}

/// One installation of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The machine.
    pub machine: MachineName,
    /// How far it is.
    pub state: RunState,
    /// When it was asked for, milliseconds since the epoch.
    pub armed_at_ms: i64,
    /// When the machine loaded its boot script.
    pub booted_at_ms: Option<i64>,
    /// When the agent first reported.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// How often the agent started: more than 1 after a power cut.
    pub attempts: u32,
    /// Highest sequence number of the current attempt that is safely stored.
    pub last_seq: u64,
    /// When an operator asked for it to be taken up again, if its machine has not heard of it yet.
    #[serde(default)]
    pub resume_asked_at_ms: Option<i64>,
}

/// A file to fetch, pinned by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Blob {
    /// Path on the boot server, `/files/…`.
    pub path: String,
    /// BLAKE3 of its content.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// What an agent is told to do. `GET /api/v1/agent/order?start=…`, with the run's
/// token; `start` is a word that is new at each start of the agent, so that asking again after a
/// lost answer is not a new attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Order {
    /// The run.
    pub run: RunId,
    /// Which start of the agent this is, from 1; events are numbered from 1 in each.
    pub attempt: u32,
    /// The machine, and its host name.
    pub machine: MachineName,
    /// The config space, a tar archive compressed by zstd.
    pub space: Blob,
    /// The tools image, squashfs.
    pub tools: Blob,
    /// The image to lay down; without one packages are installed on the machine.
    pub image: Option<ImageRef>,
    /// Path of the image store on the boot server, `/store`.
    pub store_path: String,
    /// Classes beside those that the space's class scripts give.
    pub classes: Vec<String>,
    /// Variables beside those of the space.
    pub vars: BTreeMap<String, String>,
    /// The caching package proxy, `http://10.0.0.1:3142`.
    pub package_proxy: Option<String>,
    /// How the space is read where there is a choice.
    #[serde(default)]
    pub rules: Rules,
    /// How the installer behaves.
    #[serde(default, skip_serializing_if = "Manners::is_empty")]
    pub manners: Manners,
}

/// What the agent that attends to a machine says again and again.
/// `POST /api/v1/agent/word`, with the run's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentWord {
    /// The port of its page and its shell.
    pub port: u16,
    /// True if it takes shells: it has a certificate.
    pub shell: bool,
    /// True if the run has failed, as the machine knows it, and nothing is being done.
    pub waits: bool,
}

/// What the server says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerWord {
    /// True if the run shall be taken up again.
    pub resume: bool,
}

/// A request for a certificate: of the machine of a run, `POST /api/v1/agent/certificate`, or of an
/// operator who wants a shell on it, `POST /api/v1/machines/{name}/shell`. The private key stays
/// where it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CertificateRequest {
    /// PKCS#10, PEM.
    pub csr: String,
}

/// A certificate that is good for one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority of this run, which the other end's certificate is from too, PEM.
    pub authority: String,
}

/// How an operator gets to the shell of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShellPass {
    /// The run that it is good for.
    pub run: RunId,
    /// Where the machine was heard last, `10.0.0.21:6978`.
    pub address: String,
    /// The name in the machine's certificate.
    pub server_name: String,
    /// The operator's certificate.
    #[serde(flatten)]
    pub certificate: Certificate,
}

/// Events from an agent. `POST /api/v1/agent/events`. Sending a batch again does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventBatch {
    /// Which start of the agent they belong to.
    pub attempt: u32,
    /// In order, without gaps.
    pub events: Vec<Event>,
}

/// The server's answer to a batch, once it is safely stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventAck {
    /// Everything up to this sequence number is stored.
    pub last_seq: u64,
}

/// A key that opens an encrypted device when nothing else does, for the server to keep. `POST
/// /api/v1/agent/recovery-keys`. It is no event: it stands in no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryKey {
    /// Device node at the time of the installation.
    pub device: String,
    /// UUID of its LUKS header.
    pub uuid: String,
    /// The passphrase.
    pub key: String,
}

impl std::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "recovery key of {} ({})", self.device, self.uuid)
    }
}

/// A stored event, as readers get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredEvent {
    /// Number in the server's log, from 1; `since=` counts in it.
    pub id: u64,
    /// The run.
    pub run: RunId,
    /// Which start of the agent.
    pub attempt: u32,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// The body of every answer with an error status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiError {
    /// Stable kebab-case name.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub cure: String,
}

/// The answer to `GET /api/v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Version of the server.
    pub version: String,
    /// Runs that are armed, booting or running.
    pub open_runs: u64,
    /// The server's clock, milliseconds since the epoch; machines set theirs by it.
    #[serde(default)]
    pub now_ms: i64,
}
