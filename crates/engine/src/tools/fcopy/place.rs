//! Copies one file: chooses its variant, prepares the text, replaces the destination.

use super::modes::{self, Modes, Owned};
use super::settings::{Backup, Settings, plain_name};
use super::substitute::substitute;
use crate::tools::session::script;
use crate::tools::{Session, ToolError};
use hostwright_host::HostError;
use hostwright_host::metadata::{self, FileKind, FileStat};
use std::time::SystemTime;

/// Copies files one after the other; a failure of one does not keep the others from being copied.
pub(super) struct Copier<'a, 's> {
    settings: Settings,
    session: &'a mut Session<'s>,
    failed: bool,
    log: String,
}

/// A file that is to be copied.
struct Item {
    /// Path of the destination without a leading slash; also that of the directory of variants.
    name: String,
    /// Directory of the variants.
    variants: String,
    /// The destination as FAI names it.
    shown: String,
    /// The destination with the links of the target followed, but for its own.
    path: String,
}

/// What the destination is to hold.
enum Content {
    Text {
        bytes: Vec<u8>,
        /// True if it went through substitution or `preinst`: the time of the source then says
        /// nothing about it.
        made: bool,
    },
    Link(String),
}

/// The variant that was chosen.
struct Variant {
    class: String,
    /// Its path.
    path: String,
    content: Content,
    /// Time of its last change.
    modified: SystemTime,
    /// What the destination is to get; `None` if that could not be told, which is an error
    /// already reported.
    owned: Option<Owned>,
}

impl Variant {
    fn is_link(&self) -> bool {
        matches!(self.content, Content::Link(_))
    }
}

impl<'a, 's> Copier<'a, 's> {
    pub(super) fn new(settings: Settings, session: &'a mut Session<'s>) -> Self {
        Self { settings, session, failed: false, log: String::new() }
    }

    /// The lines for fcopy.log, and whether anything went wrong.
    pub(super) fn finish(self) -> (String, bool) {
        (self.log, self.failed)
    }

    /// Copies one source.
    pub(super) fn copy(&mut self, source: &str) {
        if let Err(error) = self.try_copy(source) {
            self.fail(&error.full_message());
        }
    }

    fn fail(&mut self, message: &str) {
        self.failed = true;
        self.session.warn(&format!("fcopy: {message}"));
    }

    fn debug(&mut self, message: &str) {
        if self.settings.debug {
            self.session.warn(&format!("fcopy: {message}"));
        }
    }

    fn item(&self, source: &str) -> Result<Item, HostError> {
        let name = plain_name(source).to_owned();
        let target = self.settings.target.trim_end_matches('/');
        Ok(Item {
            variants: format!("{}/{name}", self.settings.source_root),
            shown: format!("{}/{name}", self.settings.target),
            path: metadata::resolve_in_root(target, &name, false)?,
            name,
        })
    }

    fn try_copy(&mut self, source: &str) -> Result<(), ToolError> {
        let item = self.item(source)?;
        match metadata::stat(&item.variants)? {
            Some(meta) if meta.is_dir() => {}
            Some(_) => {
                self.fail(&format!("{} is no directory of variants", item.variants));
                return Ok(());
            }
            None => {
                self.failed |= !self.settings.may_miss;
                self.debug(&format!("there is no directory {}", item.variants));
                return Ok(());
            }
        }
        match self.class_of(&item)? {
            Some(class) => self.copy_variant(&item, class),
            None => self.without_class(&item),
        }
    }

    /// The highest class with a variant.
    fn class_of(&self, item: &Item) -> Result<Option<String>, HostError> {
        for class in self.settings.classes.iter().rev().filter(|class| !class.is_empty()) {
            let path = format!("{}/{class}", item.variants);
            let is_file = metadata::stat(&path)?.is_some_and(|meta| meta.is_file());
            if is_file || (self.settings.copy_links && is_link(&path)?) {
                return Ok(Some(class.clone()));
            }
        }
        Ok(None)
    }

    fn without_class(&mut self, item: &Item) -> Result<(), ToolError> {
        let name = &item.name;
        self.session.warn(&format!("fcopy: no class of this machine has a variant of {name}"));
        self.failed |= !self.settings.may_miss;
        if !self.settings.delete || !self.is_file_in_target(item)? {
            return Ok(());
        }
        self.note(item, "NONE", "removed (no matching class)");
        match self.settings.backup {
            _ if self.settings.dry_run => Ok(()),
            Backup::None => Ok(self.session.host.remove(&item.path)?),
            _ => self.back_up(item),
        }
    }

    fn copy_variant(&mut self, item: &Item, class: String) -> Result<(), ToolError> {
        self.debug(&format!("{} comes from class {class}", item.name));
        let Some(variant) = self.variant(item, class)? else { return Ok(()) };
        let preserved = self.is_there_already(item, &variant.content)?;
        let what = if variant.is_link() { "symlink" } else { "file" };
        let how = if preserved { "preserved" } else { "new" };
        self.note(item, &variant.class, &format!("{how} {what}"));
        if preserved {
            if self.settings.verbose {
                self.session.warn(&format!("fcopy: destination {} remains unchanged", item.name));
            }
            return self.set_metadata(item, &variant);
        }
        if self.settings.refuse_links && is_link(&item.path)? {
            self.fail(&format!("destination {} is a symlink", item.shown));
            return Ok(());
        }
        self.replace(item, &variant)
    }

    /// Everything about the variant of `class`; `None` if there is nothing to copy, with an error
    /// reported.
    fn variant(&mut self, item: &Item, class: String) -> Result<Option<Variant>, ToolError> {
        let path = format!("{}/{class}", item.variants);
        let Some(mut meta) = metadata::stat(&path)? else {
            self.fail(&format!("{path} is a link to nothing"));
            return Ok(None);
        };
        let content = if self.settings.copy_links && is_link(&path)? {
            meta = metadata::stat_link(&path)?.unwrap_or(meta);
            Content::Link(metadata::read_link(&path)?)
        } else {
            match self.text(item, &class, &path)? {
                Some(content) => content,
                None => return Ok(None),
            }
        };
        let owned = self.owned(item, &class, &meta)?;
        Ok(Some(Variant { class, path, content, modified: meta.modified, owned }))
    }

    /// The text of a variant, ready to be written; `None` if `preinst` refused.
    fn text(
        &mut self,
        item: &Item,
        class: &str,
        source: &str,
    ) -> Result<Option<Content>, ToolError> {
        let mut bytes = self.session.host.read(source)?.unwrap_or_default();
        let mut made = false;
        let mark = format!("{}/_substitute", item.variants);
        if self.settings.substitute || metadata::stat(&mark)?.is_some_and(|meta| meta.is_file()) {
            made = true;
            let (text, unset) = substitute(&bytes, &self.session.env);
            for (name, line) in unset {
                self.fail(&format!("variable {name} is not set, {source} line {line} wants it"));
            }
            bytes = text;
        }
        let preinst = format!("{}/preinst", item.variants);
        if metadata::stat(&preinst)?.is_some_and(|meta| meta.is_program()) {
            made = true;
            match self.preinst(&preinst, class, &bytes)? {
                Some(text) => bytes = text,
                None => {
                    self.fail(&format!("{source} is not copied, its preinst did not want it"));
                    return Ok(None);
                }
            }
        }
        Ok(Some(Content::Text { bytes, made }))
    }

    /// Lets `preinst` work on a copy of the text; `None` if it failed.
    fn preinst(
        &mut self,
        preinst: &str,
        class: &str,
        text: &[u8],
    ) -> Result<Option<Vec<u8>>, ToolError> {
        if self.settings.dry_run {
            return Ok(Some(text.to_vec()));
        }
        let dir = self.session.env.get("TMPDIR").unwrap_or("/tmp").to_owned();
        let copy = metadata::temporary_file(&dir, "fcopy")?;
        self.session.host.write(&copy, text, 0o600)?;
        let done = self.script(preinst, class, &copy);
        let text = self.session.host.read(&copy);
        self.session.host.remove(&copy)?;
        Ok(if done? { text? } else { None })
    }

    /// Runs `preinst` or `postinst`. False if it failed.
    fn script(&mut self, path: &str, class: &str, file: &str) -> Result<bool, ToolError> {
        if self.settings.dry_run {
            return Ok(true);
        }
        self.debug(&format!("{path} {class} {file}"));
        let dir = self.session.dir.clone();
        let status = self.session.run(script(&dir, path, &[class, file]))?.status;
        if status != 0 {
            self.fail(&format!("{path} ended with status {status}"));
        }
        Ok(status == 0)
    }

    fn is_there_already(&mut self, item: &Item, content: &Content) -> Result<bool, ToolError> {
        Ok(match content {
            Content::Link(to) => {
                let same = is_link(&item.path)? && metadata::read_link(&item.path)? == *to;
                let path = self.path_behind_links(item)?;
                same && metadata::stat(&path)?.is_some()
            }
            Content::Text { bytes, .. } => {
                self.is_file_in_target(item)?
                    && self.session.host.read(&self.path_behind_links(item)?)?.as_ref()
                        == Some(bytes)
            }
        })
    }

    /// The destination with its own link followed too.
    fn path_behind_links(&self, item: &Item) -> Result<String, HostError> {
        metadata::resolve_in_root(&self.settings.target, &item.name, true)
    }

    fn is_file_in_target(&self, item: &Item) -> Result<bool, HostError> {
        let meta = metadata::stat(&self.path_behind_links(item)?)?;
        Ok(meta.is_some_and(|meta| meta.is_file()))
    }

    fn replace(&mut self, item: &Item, variant: &Variant) -> Result<(), ToolError> {
        if metadata::stat(&self.path_behind_links(item)?)?.is_some_and(|meta| meta.is_dir()) {
            self.fail(&format!("destination {} is a directory", item.shown));
            return Ok(());
        }
        if !self.settings.dry_run {
            self.session.host.make_dir(parent(&item.path), 0o755)?;
            if self.settings.backup != Backup::None && self.is_file_in_target(item)? {
                self.back_up(item)?;
            }
            self.write(item, variant)?;
        }
        let (from, to) = (&variant.path, &item.shown);
        match &variant.content {
            Content::Text { .. } => {
                self.session.say(&format!("fcopy: copied {from} to {to}"));
                self.set_metadata(item, variant)?;
            }
            Content::Link(link) => {
                self.session.say(&format!("fcopy: symlinked {from} -> {link} to {to}"));
            }
        }
        self.postinst(item, &variant.class)
    }

    fn write(&mut self, item: &Item, variant: &Variant) -> Result<(), ToolError> {
        match &variant.content {
            Content::Link(to) => Ok(self.session.host.symlink(&item.path, to)?),
            Content::Text { bytes, .. } => {
                // Readable to its owner only until the owner is the right one.
                let mode = variant.owned.map_or(0o644, |owned| owned.mode & 0o700);
                let path = self.path_behind_links(item)?;
                Ok(self.session.host.write(&path, bytes, mode)?)
            }
        }
    }

    fn back_up(&mut self, item: &Item) -> Result<(), ToolError> {
        let path = match &self.settings.backup {
            Backup::Below(dir) => format!("{dir}/{}", item.name),
            Backup::Beside | Backup::None => format!("{}.pre_fcopy", item.path),
        };
        self.session.host.make_dir(parent(&path), 0o755)?;
        Ok(metadata::move_file(&item.path, &path)?)
    }

    fn postinst(&mut self, item: &Item, class: &str) -> Result<(), ToolError> {
        let path = format!("{}/postinst", item.variants);
        match metadata::stat(&path)? {
            Some(meta) if meta.is_program() => {
                self.script(&path, class, &item.shown)?;
            }
            Some(meta) if meta.is_file() && self.settings.verbose => {
                self.session.warn(&format!("fcopy: {path} is not executable"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Owner, group and mode that the destination is to have; `None` with an error reported.
    fn owned(
        &mut self,
        item: &Item,
        class: &str,
        source: &FileStat,
    ) -> Result<Option<Owned>, ToolError> {
        let table_path = format!("{}/file-modes", item.variants);
        let modes = match self.session.host.read(&table_path)? {
            Some(table) => {
                let found = modes::from_table(&String::from_utf8_lossy(&table), class);
                let Some(found) = found else {
                    self.fail(&format!("{table_path} has no valid line for class {class}"));
                    return Ok(None);
                };
                found
            }
            None => self.settings.modes.clone().unwrap_or_else(|| Modes::of(source)),
        };
        match modes.resolve(self.session, &self.settings.target)? {
            Ok(owned) => Ok(Some(owned)),
            Err(who) => {
                self.fail(&format!("the target has no {who}, wanted for {}", item.shown));
                Ok(None)
            }
        }
    }

    fn set_metadata(&mut self, item: &Item, variant: &Variant) -> Result<(), ToolError> {
        let Some(owned) = variant.owned.filter(|_| !self.settings.dry_run) else { return Ok(()) };
        let as_link = variant.is_link();
        let path = if as_link { item.path.clone() } else { self.path_behind_links(item)? };
        metadata::set_owner(&path, owned.uid, owned.gid, as_link)?;
        if !as_link {
            // After the owner, whose change clears set-id bits.
            metadata::set_mode(&path, owned.mode)?;
        }
        if !matches!(variant.content, Content::Text { made: true, .. }) {
            metadata::set_modified(&path, variant.modified, as_link)?;
        }
        Ok(())
    }

    /// A line for fcopy.log.
    fn note(&mut self, item: &Item, class: &str, comment: &str) {
        self.log.push_str(&format!("{}\t{class}\t# {comment}\n", item.name));
    }
}

fn is_link(path: &str) -> Result<bool, HostError> {
    Ok(metadata::stat_link(path)?.is_some_and(|meta| meta.kind == FileKind::Symlink))
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}
