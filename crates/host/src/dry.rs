//! A host that looks but does not touch: reads go to another host, writes become readable lines.

use crate::command::quote;
use crate::{
    Command, DeviceIds, Host, HostError, MountRequest, OnLine, Output, ShellReply, ShellRequest,
};
use hostwright_model::facts::Facts;
use hostwright_model::image::{BlockSource, TreeSource};
use std::collections::BTreeMap;

/// Records what would be done to the host that it wraps. Tools and scripts are not run, so all of
/// them succeed and say nothing. A file that was written here is read back as it was written.
#[derive(Debug)]
pub struct DryHost<H> {
    inner: H,
    ops: Vec<String>,
    /// Files as they would be; `None` for one that would be gone.
    files: BTreeMap<String, Option<Vec<u8>>>,
    vars: BTreeMap<String, String>,
}

impl<H: Host> DryHost<H> {
    /// Wraps `inner`.
    pub fn new(inner: H) -> Self {
        Self { inner, ops: Vec::new(), files: BTreeMap::new(), vars: BTreeMap::new() }
    }

    /// What would have been done so far, a line each, tools in a form to paste.
    pub fn ops(&self) -> &[String] {
        &self.ops
    }

    /// The wrapped host.
    pub fn into_inner(self) -> H {
        self.inner
    }
}

impl<H: Host> Host for DryHost<H> {
    fn run(&mut self, command: &Command, _on_line: OnLine<'_>) -> Result<Output, HostError> {
        let command = command.to_shell();
        self.ops.push(command.clone());
        Ok(Output { command, ..Output::default() })
    }

    fn shell(
        &mut self,
        request: &ShellRequest,
        _on_line: OnLine<'_>,
    ) -> Result<ShellReply, HostError> {
        let line = match request {
            ShellRequest::Start { env, .. } => {
                self.vars = env.clone();
                "start a shell".to_owned()
            }
            ShellRequest::Eval { script, dir } => {
                format!("cd {} && bash -c {}", quote(dir), quote(script))
            }
            ShellRequest::Source { path, dir, .. } => {
                format!("cd {} && . {}", quote(dir), quote(path))
            }
            ShellRequest::Execute { path, args, dir } => {
                let words: Vec<String> =
                    args.iter().map(|arg| format!(" {}", quote(arg))).collect();
                format!("cd {} && {}{}", quote(dir), quote(path), words.concat())
            }
        };
        self.ops.push(line);
        Ok(ShellReply { vars: self.vars.clone(), ..ShellReply::default() })
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        match self.files.get(path) {
            Some(content) => Ok(content.clone()),
            None => self.inner.read(path),
        }
    }

    fn read_at(&mut self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
        self.inner.read_at(path, offset, length)
    }

    fn write_at(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.ops.push(format!("overwrite {} bytes of {path} at {offset}", bytes.len()));
        Ok(())
    }

    fn random_bytes(&mut self, count: usize) -> Result<Vec<u8>, HostError> {
        self.inner.random_bytes(count)
    }

    fn write(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        self.ops.push(format!("write {path} ({} bytes, mode {mode:04o})", content.len()));
        self.files.insert(path.to_owned(), Some(content.to_owned()));
        Ok(())
    }

    fn append(&mut self, path: &str, content: &[u8]) -> Result<(), HostError> {
        self.ops.push(format!("append {} bytes to {path}", content.len()));
        let mut whole = self.read(path)?.unwrap_or_default();
        whole.extend_from_slice(content);
        self.files.insert(path.to_owned(), Some(whole));
        Ok(())
    }

    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), HostError> {
        self.ops.push(format!("make directory {path} (mode {mode:04o})"));
        Ok(())
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<(), HostError> {
        self.ops.push(format!("link {path} to {target}"));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), HostError> {
        self.ops.push(format!("remove {path}"));
        self.files.insert(path.to_owned(), None);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), HostError> {
        self.ops.push(format!("rename {from} to {to}"));
        let content = self.read(from)?;
        self.files.insert(to.to_owned(), content);
        self.files.insert(from.to_owned(), None);
        Ok(())
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        let mut names = self.inner.list(path)?;
        let prefix = format!("{}/", path.trim_end_matches('/'));
        for (file, content) in &self.files {
            let Some(name) = file.strip_prefix(&prefix) else { continue };
            match (name.split_once('/'), content) {
                (None, None) => names.retain(|found| found != name),
                (Some((first, _)), Some(_)) => names.push(first.to_owned()),
                (None, Some(_)) => names.push(name.to_owned()),
                (Some(_), None) => {}
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn mount(&mut self, request: &MountRequest) -> Result<(), HostError> {
        let kind = request.file_system.as_deref().unwrap_or("none");
        self.ops.push(format!(
            "mount -t {kind} -o {} {} {}",
            quote(if request.options.is_empty() { "defaults" } else { &request.options }),
            quote(&request.source),
            quote(&request.target),
        ));
        Ok(())
    }

    fn unmount(&mut self, path: &str) -> Result<(), HostError> {
        self.ops.push(format!("umount {}", quote(path)));
        Ok(())
    }

    fn mounts_below(&mut self, path: &str) -> Result<Vec<String>, HostError> {
        self.inner.mounts_below(path)
    }

    fn lay_tree(
        &mut self,
        root: &str,
        source: &dyn TreeSource,
        _on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        self.ops
            .push(format!("lay {} files and directories down in {root}", source.entries().len()));
        Ok(())
    }

    fn lay_blocks(
        &mut self,
        device: &str,
        source: &dyn BlockSource,
        _on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HostError> {
        let bytes = source.content_bytes();
        self.ops.push(format!("lay a file system with {bytes} bytes down on {device}"));
        Ok(())
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
