//! `fai-class`: runs the class scripts of a directory and writes the classes to a file.

use super::options::Options;
use super::session::{usage, words};
use super::{Session, ToolError, check_status};
use crate::observe::{printed_classes, whole_lines};
use crate::shell;
use hostwright_host::command::quote;
use hostwright_host::{ShellReply, ShellRequest, metadata};
use hostwright_model::class::ClassName;
use hostwright_model::event::Stream;
use hostwright_model::quirk::Quirk;

pub(super) const USAGE: &str = "[-dhTv] [-t LOGDIR] DIRECTORY CLASSFILE";

/// Status without the directory.
const NO_DIRECTORY: i32 = 99;
/// Status with `-T` when a class was defined twice.
const DUPLICATES: i32 = 2;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("dvt:T", args)?;
    let [dir, file] = &options.rest[..] else {
        return Err(usage("a directory and a file for the classes are needed"));
    };
    let (dir, file) = (session.absolute(dir), session.absolute(file));
    if !metadata::stat(&dir)?.is_some_and(|meta| meta.is_dir()) {
        return Err(ToolError::refused(NO_DIRECTORY, format!("there is no directory {dir}")));
    }
    let logs = options.value('t').or_else(|| session.env.get("LOGDIR")).unwrap_or("/tmp/fai");
    let logs = session.absolute(logs);
    session.env.set("LOGDIR", logs);
    if session.host.read(&file)?.is_some_and(|content| !content.is_empty()) {
        session.host.rename(&file, &format!("{file}.bak"))?;
    }
    let mut definer = Definer { dir, session, classes: Vec::new(), twice: Vec::new() };
    let all_well = definer.define(options.has('d'))?;
    let (classes, twice) = (definer.classes, definer.twice);
    let text: String = classes.iter().map(|class| format!("{class}\n")).collect();
    session.host.write(&file, text.as_bytes(), 0o644)?;
    if options.has('T') && !twice.is_empty() {
        let twice = twice.join(" ");
        session.warn(&format!("fai-class: these classes are defined several times: {twice}"));
        return Ok(DUPLICATES);
    }
    Ok(i32::from(!all_well))
}

/// Collects classes in the order in which they are defined.
struct Definer<'a, 's> {
    dir: String,
    session: &'a mut Session<'s>,
    classes: Vec<ClassName>,
    twice: Vec<String>,
}

impl Definer<'_, '_> {
    /// Defines all classes. False if a script failed.
    fn define(&mut self, debug: bool) -> Result<bool, ToolError> {
        self.add("DEFAULT");
        self.start_shell()?;
        let mut all_well = true;
        for name in self.scripts()? {
            if self.is_usable(&name)? {
                all_well &= self.script(&name)?;
            }
        }
        self.add_file_of_scripts(debug)?;
        let hostname = self.hostname()?;
        let own = self.session.host.read(&format!("{}/{hostname}", self.dir))?;
        self.add_lines(&String::from_utf8_lossy(&own.unwrap_or_default()));
        let more = self.session.env.get("ADDCLASSES").unwrap_or_default().replace(',', " ");
        self.add(&more);
        self.add(&hostname);
        self.add("LAST");
        Ok(all_well)
    }

    fn add(&mut self, names: &str) {
        for word in words(names) {
            match word.parse::<ClassName>() {
                Ok(class) if self.classes.contains(&class) => {
                    let what = format!("fai-class: {word} is defined again and counts twice");
                    if self.session.has_quirk(Quirk::ClassTwice, &what) {
                        self.classes.push(class);
                    }
                    self.twice.push(word);
                }
                Ok(class) => self.classes.push(class),
                Err(error) => self.session.warn(&format!("fai-class: {error}")),
            }
        }
    }

    /// Adds the classes of a text, without comments. To FAI only a whole line can be one.
    fn add_lines(&mut self, text: &str) {
        let what = "fai-class: a comment behind a class is no comment";
        let is_trailing = |line: &str| line.find('#').is_some_and(|at| at > 0);
        if text.lines().any(is_trailing)
            && self.session.has_quirk(Quirk::ClassTrailingComment, what)
        {
            text.lines().filter(|line| !line.starts_with('#')).for_each(|line| self.add(line));
            return;
        }
        self.add(&printed_classes(text).join(" "));
    }

    /// The output of a script; with FAI's mistakes on one line, where a comment takes the rest along
    /// or becomes classes itself.
    fn joined_if_wanted(&mut self, output: String) -> String {
        let what = "fai-class: output with a comment is joined to one line";
        if !output.contains('#') || !self.session.has_quirk(Quirk::JoinedComments, what) {
            return output;
        }
        words(&output).join(" ")
    }

    /// Names of the files that are for defining classes, in order.
    fn scripts(&mut self) -> Result<Vec<String>, ToolError> {
        let has_number = |name: &String| name.bytes().take_while(u8::is_ascii_digit).count() >= 2;
        let is_leftover = |name: &String| name.ends_with('~') || name.ends_with(".bak");
        let names = self.session.host.list(&self.dir)?.into_iter().filter(has_number);
        Ok(names.filter(|name| !is_leftover(name)).collect())
    }

    /// True if a file can be used; says why if it cannot.
    fn is_usable(&mut self, name: &str) -> Result<bool, ToolError> {
        let unusable = match metadata::stat(&format!("{}/{name}", self.dir))? {
            Some(meta) if meta.is_file() && !meta.is_program() => "is not executable",
            Some(meta) if meta.is_file() && name.ends_with(".source") => "must be called *.sh",
            Some(meta) if meta.is_file() => return Ok(true),
            _ => return Ok(false),
        };
        self.session.warn(&format!("fai-class: {name} is not used, it {unusable}"));
        Ok(false)
    }

    /// Starts the bash that all scripts share.
    fn start_shell(&mut self) -> Result<(), ToolError> {
        let mut env = self.session.env.as_map().clone();
        let path = env.entry("PATH".to_owned()).or_default();
        *path = format!(".:{path}");
        let prelude = shell::PRELUDE.to_owned();
        self.ask(&ShellRequest::Start { env, prelude }, Stdout::Shown)?;
        Ok(())
    }

    /// Runs or sources one script. False if it failed.
    fn script(&mut self, name: &str) -> Result<bool, ToolError> {
        let classes: Vec<&str> = self.classes.iter().map(ClassName::as_str).collect();
        let classes = quote(&classes.join("\n"));
        self.eval(&format!("newclasses=; export classes={classes}"))?;
        let dir = self.dir.clone();
        let path = format!("{dir}/{name}");
        let reply = if name.ends_with(".sh") {
            let request = ShellRequest::Source { path, dir, trace: false };
            let reply = self.ask(&request, Stdout::Shown)?;
            let new = reply.vars.get("newclasses").cloned().unwrap_or_default();
            self.add(&new);
            reply
        } else {
            let request = ShellRequest::Execute { path, args: Vec::new(), dir };
            let reply = self.ask(&request, Stdout::Collected)?;
            let output = self.joined_if_wanted(reply.stdout.clone());
            self.add_lines(&output);
            self.raise_errors()?;
            reply
        };
        let line = check_status::line(name, reply.status);
        self.session.say(&line);
        self.session.append_log("status.log", &format!("{line}\n"))?;
        Ok(reply.status == 0)
    }

    /// A child can only note an error; here it counts.
    fn raise_errors(&mut self) -> Result<(), ToolError> {
        let Some(file) = self.session.log_file("task_local_error") else { return Ok(()) };
        let noted = self.session.host.read(&file)?.unwrap_or_default();
        match String::from_utf8_lossy(&noted).trim().parse::<u32>() {
            Ok(code) if code > 0 => self.eval(&format!("task_error {code}")),
            _ => Ok(()),
        }
    }

    fn eval(&mut self, script: &str) -> Result<(), ToolError> {
        let request = ShellRequest::Eval { script: script.to_owned(), dir: self.dir.clone() };
        self.ask(&request, Stdout::Shown).map(|_| ())
    }

    fn ask(&mut self, request: &ShellRequest, stdout: Stdout) -> Result<ShellReply, ToolError> {
        let (out, err) = (&mut *self.session.out, &mut *self.session.err);
        let reply = self.session.host.shell(request, &mut |stream, line| {
            // Output that nobody reads is no failure.
            let _ = match (stream, stdout) {
                (Stream::Err, _) => writeln!(err, "{line}"),
                (Stream::Out, Stdout::Shown) => writeln!(out, "{line}"),
                (Stream::Out, Stdout::Collected) => Ok(()),
            };
        })?;
        Ok(reply)
    }

    /// Classes that scripts which cannot print them left in a file. It is used once.
    fn add_file_of_scripts(&mut self, debug: bool) -> Result<(), ToolError> {
        let Some(file) = self.session.log_file("additional-classes") else { return Ok(()) };
        let Some(content) = self.session.host.read(&file)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&content);
        let what = format!("fai-class: the last line of {file} has no end and is lost");
        let is_cut = !text.is_empty() && !text.ends_with('\n');
        match is_cut && self.session.has_quirk(Quirk::ClassLastLine, &what) {
            true => self.add_lines(whole_lines(&text)),
            false => self.add_lines(&text),
        }
        match debug {
            true => self.session.host.rename(&file, &format!("{file}.used"))?,
            false => self.session.host.remove(&file)?,
        }
        Ok(())
    }

    fn hostname(&mut self) -> Result<String, ToolError> {
        if let Some(name) = self.session.env.get("HOSTNAME") {
            return Ok(name.to_owned());
        }
        let name = self.session.host.read("/proc/sys/kernel/hostname")?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&name).trim().to_owned())
    }
}

/// What becomes of a script's standard output.
#[derive(Clone, Copy)]
enum Stdout {
    Shown,
    Collected,
}
