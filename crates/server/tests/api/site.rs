//! A real server in a thread of this process, on a state directory that outlives it.

use hostwright_client::{AgentClient, OperatorClient};
use hostwright_model::api::{MachineSpec, Run};
use hostwright_model::ids::{Digest, MachineName};
use hostwright_model::installer::{InstallerFile, InstallerManifest};
use hostwright_server::{Bound, Config, serve};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use tempfile::TempDir;

pub const MAC: &str = "52:54:00:12:34:56";

/// A state directory, a space, an installer.
pub struct Site {
    pub dir: TempDir,
}

/// A server that runs; dropped, it ends gracefully.
pub struct Running {
    pub url: String,
    pub token: String,
    pub monitor: Option<std::net::SocketAddr>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("space/class")).unwrap();
        fs::write(at("space/class/10-base"), "#!/bin/sh\necho BASE\n").unwrap();
        make_executable(&at("space/class/10-base"));
        fs::create_dir_all(at("installer")).unwrap();
        write_installer(&at("installer"), "tools of the first installer");
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config_text(&self) -> String {
        let dir = self.dir.path().display();
        format!(
            "listen = \"127.0.0.1:0\"\nopen_page = false\n\
             state_dir = \"{dir}/state\"\nstore_dir = \"{dir}/store\"\n\
             installer_dir = \"{dir}/installer\"\nkernel_cmdline = \"console=ttyS0\"\n\
             [spaces]\nsimple = \"{dir}/space\"\n"
        )
    }

    pub fn start(&self) -> Running {
        self.start_with(&self.config_text())
    }

    pub fn start_with(&self, config: &str) -> Running {
        let config = Config::parse(config, "serve.toml").expect("sound");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = mpsc::channel::<Bound>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ready = |bound: &Bound| tell.send(bound.clone()).expect("somebody waits");
            let stopped = async { stopped.await.unwrap_or_default() };
            runtime.expect("runtime").block_on(serve(config, stopped, ready)).expect("serves");
        });
        let bound = told.recv().expect("it starts");
        let token = fs::read_to_string(&bound.operator_token).unwrap().trim().to_owned();
        let url = format!("http://{}", bound.http);
        Running { url, token, monitor: bound.monitor, stop: Some(stop), thread: Some(thread) }
    }
}

impl Running {
    pub fn operator(&self) -> OperatorClient {
        OperatorClient::new(&self.url, &self.token)
    }

    /// Describes `demohost` and arms it.
    pub fn arm(&self) -> Run {
        self.operator().add_machine(&spec("demohost", MAC)).expect("added");
        self.operator().install(&"demohost".into()).expect("armed")
    }

    /// Boots a machine as its firmware would, and returns its script.
    pub fn boot(&self, mac: &str) -> String {
        self.get(&format!("/boot/ipxe/{mac}"), None).1
    }

    /// The agent that a machine's boot script would start.
    pub fn agent(&self, mac: &str, start: &str) -> AgentClient {
        AgentClient::new(&self.url, &self.run_token(mac), start)
    }

    pub fn run_token(&self, mac: &str) -> String {
        let script = self.boot(mac);
        let at = script.find("hostwright.token=").expect("an install script") + 17;
        script[at..].split_whitespace().next().unwrap().to_owned()
    }

    /// Status and body of a plain request.
    pub fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let mut request = agent.get(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().expect("an answer");
        let body = response.body_mut().read_to_vec().unwrap();
        (response.status().as_u16(), String::from_utf8_lossy(&body).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().expect("started").join();
        if !thread::panicking() {
            ended.expect("the server ends well");
        }
    }
}

pub fn spec(name: &str, mac: &str) -> MachineSpec {
    MachineSpec {
        name: MachineName::new(name),
        macs: vec![mac.parse().unwrap()],
        address: None,
        classes: vec!["DEMO".into()],
        space: "simple".into(),
        image: None,
        vars: [("LANGUAGE".to_owned(), "en".to_owned())].into(),
        manners: Default::default(),
    }
}

pub fn write_installer(dir: &Path, tools: &str) {
    let file = |name: &str, text: &str| {
        fs::write(dir.join(name), text).unwrap();
        let digest = Digest(*blake3::hash(text.as_bytes()).as_bytes());
        InstallerFile { file: name.into(), size_bytes: text.len() as u64, digest }
    };
    let manifest = InstallerManifest {
        kernel_release: "6.1.0-test".into(),
        kernel: file("vmlinuz", "kernel"),
        initrd: file("initrd.img", "initramfs"),
        tools: file("tools.squashfs", tools),
    };
    fs::write(dir.join("installer.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// For clients that must not have to wait.
pub fn no_wait(error: &hostwright_client::ClientError, _: std::time::Duration) {
    panic!("tried again after: {error}");
}
