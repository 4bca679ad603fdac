//! A real `hostwright serve` inside the lab's network, which can be killed and started again.

use crate::network::{BRIDGE, Network, SERVER, SUBNET};
use crate::parts::Parts;
use crate::process::{Memory, Process};
use anyhow::{Context as _, Result, bail};
use hostwright_client::{ClientError, OperatorClient};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Port of the API, the page and the boot files.
const PORT: u16 = 8080;
/// Port of the package proxy.
const PROXY_PORT: u16 = 3142;
/// Port at which a package proxy outside of the network is led in.
pub const UPLINK_PORT: u16 = 3143;

/// A boot server.
pub struct Server {
    network: Network,
    words: Vec<String>,
    dir: PathBuf,
    running: Option<Process>,
}

/// What a server is started with.
pub struct Offer<'a> {
    /// Where what it serves was made.
    pub parts: &'a Parts,
    /// The config space.
    pub space: &'a Path,
    /// Kernel, initramfs and tools image.
    pub installer: &'a Path,
    /// True if the package proxy has a way out.
    pub uplink: bool,
}

impl Server {
    /// Writes the configuration into `dir` and starts the server.
    pub fn start(network: &Network, dir: &Path, offer: &Offer<'_>) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let config = dir.join("hostwright.toml");
        fs::write(&config, configuration(dir, offer))?;
        let program = offer.parts.program.display().to_string();
        let words = vec![program, "serve".into(), "--config".into(), config.display().to_string()];
        let (network, dir) = (network.clone(), dir.to_owned());
        let mut server = Self { network, words, dir, running: None };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it (again) and waits until it answers.
    pub fn start_again(&mut self) -> Result<()> {
        let (words, log) = (self.words.clone(), self.dir.join("serve.log"));
        self.running = Some(self.network.inside().run(move || Process::start(&words, &log))??);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.answers()? {
            self.running.as_mut().context("just started")?.must_run()?;
            if Instant::now() > deadline {
                bail!(
                    "hostwright serve does not answer; see {}",
                    self.dir.join("serve.log").display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().context("the server is not running")?.kill()
    }

    /// Fails if it has ended by itself.
    pub fn must_run(&mut self) -> Result<()> {
        self.running.as_mut().context("the server is not running")?.must_run()
    }

    /// Its memory.
    pub fn memory(&self) -> Result<Memory> {
        self.running.as_ref().context("the server is not running")?.memory()
    }

    /// Makes its page reachable from the user's browser.
    pub fn publish(&self) -> Result<SocketAddr> {
        self.network.publish(SocketAddr::from((SERVER, PORT)))
    }

    /// Asks the server something, from inside the network.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&OperatorClient) -> Result<T, ClientError> + Send + 'static,
    ) -> Result<T> {
        let token_file = self.state_dir().join("operator.token");
        let token = fs::read_to_string(&token_file)
            .with_context(|| format!("cannot read {}", token_file.display()))?;
        let answer = self.network.inside().run(move || {
            let client = OperatorClient::new(&format!("http://{SERVER}:{PORT}"), token.trim());
            question(&client)
        })?;
        Ok(answer?)
    }

    /// Where it keeps its database.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn answers(&self) -> Result<bool> {
        // Before its first start the server has not written its token yet.
        if !self.state_dir().join("operator.token").exists() {
            return Ok(false);
        }
        Ok(self.ask(OperatorClient::health).is_ok())
    }
}

fn configuration(dir: &Path, offer: &Offer<'_>) -> String {
    let uplink = match offer.uplink {
        true => format!("upstream = \"http://{SERVER}:{UPLINK_PORT}\"\n"),
        false => String::new(),
    };
    format!(
        "listen = \"{SERVER}:{PORT}\"\n\
         state_dir = \"{state}\"\n\
         store_dir = \"{store}\"\n\
         installer_dir = \"{installer}\"\n\
         open_page = true\n\
         kernel_cmdline = \"console=tty0 console=ttyS0,115200\"\n\
         \n\
         [spaces]\n\
         simple = \"{space}\"\n\
         \n\
         [dhcp]\n\
         interface = \"{BRIDGE}\"\n\
         subnet = \"{SUBNET}\"\n\
         pool = \"10.77.0.100-10.77.0.199\"\n\
         domain = \"lab.example\"\n\
         \n\
         [package_proxy]\n\
         listen = \"{SERVER}:{PROXY_PORT}\"\n\
         cache_dir = \"{cache}\"\n\
         {uplink}",
        state = dir.join("state").display(),
        store = offer.parts.store().display(),
        installer = offer.installer.display(),
        space = offer.space.display(),
        cache = dir.join("packages").display(),
    )
}
