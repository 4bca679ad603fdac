//! A host that fails on purpose: by a list, or at random from a seed that can be printed.

use crate::{
    Command, DeviceIds, Host, HostError, MountRequest, OnLine, Output, ShellReply, ShellRequest,
    Tool,
};
use hostwright_model::facts::Facts;
use hostwright_model::image::{BlockSource, TreeSource};
use std::io;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Operation number `n`, counted from 1, is not done and fails.
    Before(u64),
    /// Operation number `n` is done and fails nevertheless.
    After(u64),
    /// The `n`th call of a tool, counted from 1, is not made and ends with status 1.
    OnTool(Tool, u64),
}

/// Where faults come from.
#[derive(Clone, Debug)]
enum Source {
    Listed(Vec<Fault>),
    Seeded { seed: u64, one_in: u64 },
}

/// What happens to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Well,
    Before,
    After,
}

/// Injects faults into the host that it wraps. Every call that may change something is an
/// operation; reading is none.
#[derive(Debug)]
pub struct FaultHost<H> {
    inner: H,
    source: Source,
    ops: u64,
    calls: Vec<Tool>,
    injected: Vec<String>,
}

impl<H: Host> FaultHost<H> {
    /// Fails where `faults` says.
    pub fn listed(inner: H, faults: Vec<Fault>) -> Self {
        Self::with(inner, Source::Listed(faults))
    }

    /// Fails about one operation in `one_in`, always the same ones for the same seed, half of them
    /// after they were done.
    pub fn seeded(inner: H, seed: u64, one_in: u64) -> Self {
        Self::with(inner, Source::Seeded { seed, one_in: one_in.max(1) })
    }

    fn with(inner: H, source: Source) -> Self {
        Self { inner, source, ops: 0, calls: Vec::new(), injected: Vec::new() }
    }

    /// The seed, to be printed when a test fails.
    pub fn seed(&self) -> Option<u64> {
        match self.source {
            Source::Seeded { seed, .. } => Some(seed),
            Source::Listed(_) => None,
        }
    }

    /// How many operations there were.
    pub fn ops(&self) -> u64 {
        self.ops
    }

    /// The faults that happened, a line each.
    pub fn injected(&self) -> &[String] {
        &self.injected
    }

    /// The wrapped host.
    pub fn into_inner(self) -> H {
        self.inner
    }

    /// The wrapped host, to look into it.
    pub fn inner(&self) -> &H {
        &self.inner
    }

    fn fate(&mut self) -> Fate {
        self.ops += 1;
        let number = self.ops;
        match &self.source {
            Source::Listed(faults) if faults.contains(&Fault::Before(number)) => Fate::Before,
            Source::Listed(faults) if faults.contains(&Fault::After(number)) => Fate::After,
            Source::Listed(_) => Fate::Well,
            Source::Seeded { seed, one_in } => {
                let roll = mix(seed.wrapping_add(number));
                match (roll.is_multiple_of(*one_in), roll >> 63) {
                    (false, _) => Fate::Well,
                    (true, 0) => Fate::Before,
                    (true, _) => Fate::After,
                }
            }
        }
    }

    /// The error of an injected fault.
    fn error(&mut self, operation: &'static str, path: &str) -> HostError {
        let seed = self.seed().map(|seed| format!(", seed {seed}")).unwrap_or_default();
        let cause = format!("injected fault at operation {}{seed}", self.ops);
        self.injected.push(format!("{operation} {path}: {cause}"));
        HostError::Io { operation, path: path.to_owned(), source: io::Error::other(cause) }
    }

    fn operate<T>(
        &mut self,
        operation: &'static str,
        path: &str,
        act: impl FnOnce(&mut H) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        match self.fate() {
            Fate::Well => act(&mut self.inner),
            Fate::Before => Err(self.error(operation, path)),
            Fate::After => {
                act(&mut self.inner)?;
                Err(self.error(operation, path))
            }
        }
    }

    /// True if this call of a tool is to fail.
    fn tool_fails(&mut self, tool: Tool) -> bool {
        self.calls.push(tool);
        let count = self.calls.iter().filter(|called| **called == tool).count() as u64;
        match &self.source {
            Source::Listed(faults) => faults.contains(&Fault::OnTool(tool, count)),
            Source::Seeded { .. } => false,
        }
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014).
fn mix(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl<H: Host> Host for FaultHost<H> {
    fn run(&mut self, command: &Command, on_line: OnLine<'_>) -> Result<Output, HostError> {
        let shown = command.to_shell();
        if self.tool_fails(command.tool) {
            self.ops += 1;
            let line = format!("injected fault at operation {}", self.ops);
            self.injected.push(format!("run {shown}: {line}"));
            let (status, stdout) = (1, String::new());
            return Ok(Output { command: shown, status, stdout, tail: vec![line] });
        }
        self.operate("run", &shown, |inner| inner.run(command, on_line))
    }

    fn shell(
        &mut self,
        request: &ShellRequest,
        on_line: OnLine<'_>,
    ) -> Result<ShellReply, HostError> {
        let path = match request {
            ShellRequest::Start { .. } => "bash",
            ShellRequest::Eval { script, .. } => script,
            ShellRequest::Source { path, .. } | ShellRequest::Execute { path, .. } => path,
        };
        self.operate("run", path, |inner| inner.shell(request, on_line))
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.inner.read(path)
    }

    fn read_at(&mut self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
        self.inner.read_at(path, offset, length)
    }

    fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.operate("overwrite", path, |inner| inner.write_at(path, offset, bytes))
    }

    fn random_bytes(&mut self, count: usize) -> Result<Vec<u8>, HostError> {
        self.inner.random_bytes(count)
    }

    fn write(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.operate("write", path, |inner| inner.write(path, content, mode))
    }

    fn append(&mut self, path: &str, content: &[u8]) -> Result<(), HostError> {
        self.operate("append to", path, |inner| inner.append(path, content))
    }

    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), HostError> {
        self.operate("make directory", path, |inner| inner.make_dir(path, mode))
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<(), HostError> {
        self.operate("link", path, |inner| inner.symlink(path, target))
    }

    fn remove(&mut self, path: &str) -> Result<(), HostError> {
        self.operate("remove", path, |inner| inner.remove(path))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), HostError> {
        self.operate("rename", from, |inner| inner.rename(from, to))
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        self.inner.list(path)
    }

    fn mount(&mut self, request: &MountRequest) -> Result<(), HostError> {
        self.operate("mount", &request.target, |inner| inner.mount(request))
    }

    fn unmount(&mut self, path: &str) -> Result<(), HostError> {
        self.operate("unmount", path, |inner| inner.unmount(path))
    }

    fn mounts_below(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        self.inner.mounts_below(path)
    }

    fn lay_tree(
        &mut self,
        root: &str,
        source: &dyn TreeSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        self.operate("lay down", root, |inner| inner.lay_tree(root, source, on_bytes))
    }

    fn lay_blocks(
        &mut self,
        device: &str,
        source: &dyn BlockSource,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        self.operate("lay down", device, |inner| inner.lay_blocks(device, source, on_bytes))
    }

    fn facts(&mut self) -> Result<Facts, HostError> {
        self.inner.facts()
    }

    fn device_ids(&mut self, device: &str) -> Result<DeviceIds, HostError> {
        self.inner.device_ids(device)
    }

    fn now_ms(&mut self) -> i64 {
        self.inner.now_ms()
    }
}
