//! The long-lived bash against everything that hooks are known to do to it.

use hostwright_host::real::{RealHost, RealOptions};
use hostwright_host::{Host, HostError, ShellReply, ShellRequest};
use hostwright_model::event::Stream;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const PRELUDE: &str = "greet() { echo \"hello $1\"; }\nfrom_prelude=yes\ndeclare -A taskduration";

struct Shell {
    host: RealHost,
    dir: tempfile::TempDir,
    lines: Vec<(Stream, String)>,
}

impl Shell {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let mut shell = Self { host: RealHost::new(RealOptions::default()), dir, lines: vec![] };
        let path = hostwright_host::real::PATH.to_owned();
        let env = BTreeMap::from([("PATH".to_owned(), path), ("target".into(), "/target".into())]);
        let request = ShellRequest::Start { env, prelude: PRELUDE.to_owned() };
        shell.ask(&request).expect("bash starts");
        shell
    }

    fn ask(&mut self, request: &ShellRequest) -> Result<ShellReply, HostError> {
        let lines = &mut self.lines;
        self.host.shell(request, &mut |stream, line| lines.push((stream, line.to_owned())))
    }

    fn dir(&self) -> String {
        self.dir.path().to_str().expect("UTF-8").to_owned()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = format!("{}/{name}", self.dir());
        fs::write(&path, content).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("makes executable");
        path
    }

    fn eval(&mut self, script: &str) -> ShellReply {
        let request = ShellRequest::Eval { script: script.to_owned(), dir: self.dir() };
        self.ask(&request).expect("the shell lives")
    }

    fn try_source(&mut self, content: &str) -> Result<ShellReply, HostError> {
        let path = self.file("hook.sh", content);
        let dir = self.dir();
        self.ask(&ShellRequest::Source { path, dir, trace: false })
    }

    fn source(&mut self, content: &str) -> ShellReply {
        self.try_source(content).expect("the shell lives")
    }

    fn execute(&mut self, content: &str, args: &[&str]) -> ShellReply {
        let path = self.file("script", content);
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let dir = self.dir();
        self.ask(&ShellRequest::Execute { path, args, dir }).expect("the shell lives")
    }

    /// The last sign that the shell still does as it should.
    fn assert_alive(&mut self) {
        let reply = self.eval("greet again; echo error >&2; pwd");
        assert_eq!(reply.stdout, format!("hello again\n{}\n", self.dir()));
        assert_eq!(reply.status, 0);
        assert!(self.lines.contains(&(Stream::Err, "error".to_owned())), "{:?}", self.lines);
    }
}

#[test]
fn what_the_prelude_sets_is_exported() {
    let mut shell = Shell::start();
    let reply = shell.execute("#!/bin/bash\ngreet child\necho $from_prelude $target", &[]);
    assert_eq!(reply.stdout, "hello child\nyes /target\n");
    assert_eq!(reply.vars["from_prelude"], "yes");
    assert!(!reply.vars.contains_key("taskduration"), "arrays are not simple");
    let own = reply.vars.keys().find(|name| name.starts_with("__hostwright"));
    assert_eq!(own, None);
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let mut shell = Shell::start();
    let names: Vec<String> = shell.eval(":").vars.into_keys().collect();
    assert_eq!(names, ["PATH", "from_prelude", "target"]);
}

#[test]
fn sourced_files_keep_variables_and_functions() {
    let mut shell = Shell::start();
    let reply = shell.source("local l=1\nFOO='two words'\nbar() { echo bar; }\nreturn 7\n");
    assert_eq!(reply.status, 7);
    assert_eq!(reply.vars["FOO"], "two words");
    assert!(!reply.vars.contains_key("l"), "local is local");
    assert_eq!(shell.execute("#!/bin/bash\nbar; echo $FOO", &[]).stdout, "bar\ntwo words\n");
    let reply = shell.eval("unset FOO");
    assert!(!reply.vars.contains_key("FOO"));
}

#[test]
fn values_survive_whatever_is_in_them() {
    let mut shell = Shell::start();
    let reply =
        shell.source("A=$'line\\nbreak'\nB='q\"u'\\''o$`te'\nC=\nIFS=,\nD='a,b=c'\nset -f\n");
    assert_eq!(reply.vars["A"], "line\nbreak");
    assert_eq!(reply.vars["B"], "q\"u'o$`te");
    assert_eq!(reply.vars["C"], "");
    assert_eq!(reply.vars["D"], "a,b=c");
    let long = "x".repeat(100_000);
    assert_eq!(shell.eval(&format!("LONG={long}")).vars["LONG"], long);
    assert_eq!(shell.eval("unset LONG IFS").vars["D"], "a,b=c");
    shell.assert_alive();
}

#[test]
fn a_var_file_reads_nothing_and_its_output_is_not_kept() {
    let mut shell = Shell::start();
    let path = shell.file("CLASS.var", "read -r line || echo nothing to read\nROOTPW=x\n");
    let dir = shell.dir();
    let reply = shell.ask(&ShellRequest::Source { path, dir, trace: true }).expect("lives");
    assert_eq!(reply.vars["ROOTPW"], "x");
    assert_eq!(reply.stdout, "");
    assert_eq!(shell.lines, [(Stream::Out, "nothing to read".to_owned())]);
}

#[test]
fn a_syntax_error_is_a_status_and_a_line() {
    let mut shell = Shell::start();
    assert_ne!(shell.source("if true; then\n").status, 0);
    assert!(shell.lines.iter().any(|(_, line)| line.contains("syntax error")), "{:?}", shell.lines);
    shell.assert_alive();
}

#[test]
fn options_and_traps_of_a_hook_end_with_it() {
    let mut shell = Shell::start();
    let reply = shell.source("set -eux -o posix\ntrap 'echo trapped' DEBUG ERR\nSET=1\n");
    assert_eq!(reply.vars["SET"], "1");
    shell.lines.clear();
    assert_eq!(shell.eval("false; echo \"$UNSET on\"").stdout, " on\n");
    assert_eq!(shell.lines, [(Stream::Out, " on".to_owned())]);
    assert_eq!(shell.eval("NEW=1; set +a; NEWER=1").vars["NEW"], "1");
    shell.assert_alive();
}

#[test]
fn redirections_of_a_hook_end_with_it() {
    let mut shell = Shell::start();
    let reply = shell.source("exec >log 2>&1 </dev/zero\necho into the log\n");
    assert_eq!(reply.stdout, "");
    let log = fs::read_to_string(format!("{}/log", shell.dir())).expect("was written");
    assert_eq!(log, "into the log\n");
    shell.source("exec 1>&- 2>&- 0<&-\n");
    shell.assert_alive();
}

#[test]
fn the_directory_of_a_hook_ends_with_it() {
    let mut shell = Shell::start();
    shell.source("cd /usr\n");
    shell.assert_alive();
    let dir = "/nowhere/at/all".to_owned();
    let error =
        shell.ask(&ShellRequest::Eval { script: ":".into(), dir }).expect_err("no directory");
    assert_eq!(error.to_string(), "cannot enter /nowhere/at/all");
    shell.assert_alive();
}

#[test]
fn processes_in_the_background_hold_nobody() {
    let mut shell = Shell::start();
    let start = Instant::now();
    let sourced = shell.source("sleep 30 &\necho $!\n");
    let executed = shell.execute("#!/bin/sh\nsleep 30 &\necho $!\nexit 4", &[]);
    assert_eq!(executed.status, 4);
    shell.assert_alive();
    drop(shell);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    for reply in [sourced, executed] {
        let pid = reply.stdout.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("sleeps still");
    }
}

#[test]
fn exit_in_a_sourced_file_ends_the_shell_and_says_so() {
    let mut shell = Shell::start();
    let error = shell.try_source("echo last words\nexit 5\n").expect_err("the shell is gone");
    let HostError::Failed { command, status, output } = error else { panic!("{error:?}") };
    assert_eq!(status, 5);
    assert!(command.ends_with("/hook.sh"), "{command}");
    assert_eq!(output, ["last words"]);
    let eval = ShellRequest::Eval { script: ":".to_owned(), dir: "/".to_owned() };
    assert!(shell.ask(&eval).is_err(), "it stays gone until it is started again");
    let env = BTreeMap::new();
    let start = ShellRequest::Start { env, prelude: PRELUDE.to_owned() };
    shell.ask(&start).expect("starts again");
    shell.assert_alive();
}

#[test]
fn a_failing_command_under_set_e_and_a_signal_end_the_shell() {
    let mut shell = Shell::start();
    let error = shell.try_source("set -e\nfalse\necho not reached\n").expect_err("is gone");
    assert!(matches!(error, HostError::Failed { status: 1, .. }), "{error:?}");
    let mut shell = Shell::start();
    let error = shell.try_source("kill -9 $$\nsleep 5\n").expect_err("is gone");
    assert!(matches!(error, HostError::Failed { status: 137, .. }), "{error:?}");
    let mut shell = Shell::start();
    let error = shell.try_source("exec bash -c 'exit 6'\n").expect_err("is gone");
    assert!(matches!(error, HostError::Failed { status: 6, .. }), "{error:?}");
}

#[test]
fn executed_files_get_arguments_directory_and_their_own_status() {
    let mut shell = Shell::start();
    let script = "#!/bin/sh\necho \"$#:$1:$2\"; pwd; cat; umask; ls /proc/self/fd | grep '^20.$'";
    let reply = shell.execute(script, &["a b", ""]);
    let dir = shell.dir();
    assert_eq!(reply.stdout, format!("2:a b:\n{dir}\n0022\n"));
    let path = format!("{dir}/missing");
    let request = ShellRequest::Execute { path, args: vec![], dir };
    assert_eq!(shell.ask(&request).expect("lives").status, 127);
    shell.assert_alive();
}

#[test]
fn much_output_on_both_streams_arrives_whole() {
    let mut shell = Shell::start();
    let reply = shell.eval("for i in {1..20000}; do echo out $i; echo err $i >&2; done");
    assert_eq!(reply.stdout.lines().count(), 20_000);
    assert_eq!(shell.lines.len(), 40_000);
    assert!(shell.lines.contains(&(Stream::Err, "err 20000".to_owned())));
}

#[test]
fn noise_on_the_private_descriptor_is_passed_over() {
    let mut shell = Shell::start();
    let reply = shell.eval("echo noise >&200; printf 'A=1\\0\\0' >&200; B=2");
    assert_eq!((reply.status, reply.vars["B"].as_str()), (0, "2"));
    shell.assert_alive();
}

#[test]
fn a_pipe_fails_with_its_first_failing_part() {
    let mut shell = Shell::start();
    assert_eq!(shell.eval("false | true").status, 1);
}
