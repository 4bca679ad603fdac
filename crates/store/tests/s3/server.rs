//! An S3 server in this process: real requests, signatures and conditions; its objects are files.

use hostwright_store::{S3Settings, S3Store};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub const BUCKET: &str = "fleet";
const PREFIX: &str = "images/v1";

/// What was asked for, and how much of it is let through.
#[derive(Default)]
struct Gate {
    requests: Vec<String>,
    /// Requests that begin so are refused, after as many as are admitted.
    refuse: Option<(&'static str, usize)>,
}

pub struct S3Server {
    gate: Arc<Mutex<Gate>>,
    endpoint: String,
    dir: TempDir,
    _runtime: Runtime,
}

impl S3Server {
    pub fn start() -> Self {
        let dir = TempDir::new().expect("tempdir");
        fs::create_dir(dir.path().join(BUCKET)).expect("bucket");
        let files = s3s_fs::FileSystem::new(dir.path()).expect("file system");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single("operator", "secret"));
        let service = builder.build();
        let gate = Arc::new(Mutex::new(Gate::default()));
        let runtime = Runtime::new().expect("runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bind");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let for_all = gate.clone();
        // S3 looks at a condition and writes in one step; this server does so only if it is not asked
        // for two at once.
        let one_at_a_time = Arc::new(tokio::sync::Mutex::new(()));
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, gate) = (service.clone(), for_all.clone());
                let one_at_a_time = one_at_a_time.clone();
                let answer = service_fn(move |request| {
                    let is_open = gate.lock().expect("gate").admit(&request);
                    let is_name =
                        request.method() == "PUT" && request.uri().path().contains("/refs/");
                    let (service, one_at_a_time) = (service.clone(), one_at_a_time.clone());
                    async move {
                        let _turn = match is_name {
                            true => Some(one_at_a_time.lock_owned().await),
                            false => None,
                        };
                        match is_open {
                            true => hyper::service::Service::call(&service, request).await,
                            false => Ok(refusal()),
                        }
                    }
                });
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Self { gate, endpoint, dir, _runtime: runtime }
    }

    pub fn store(&self) -> S3Store {
        self.store_of("operator", "secret").expect("store")
    }

    pub fn store_of(
        &self,
        key: &str,
        secret: &str,
    ) -> Result<S3Store, hostwright_store::StoreError> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_PAGER", "nobody knows this one here"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        S3Store::new(BUCKET, PREFIX, &S3Settings { variables: variables.into() })
    }

    /// The file that holds an object of the store.
    pub fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join(BUCKET).join(PREFIX).join(path)
    }

    /// The only object in a directory of the store.
    pub fn only(&self, dir: &str) -> PathBuf {
        let mut found: Vec<PathBuf> =
            fs::read_dir(self.file(dir)).expect("dir").map(|e| e.expect("entry").path()).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// Lets `count` requests through that begin with `method` and refuses the others.
    pub fn refuse(&self, method: &'static str, count: usize) {
        self.gate.lock().expect("gate").refuse = Some((method, count));
    }

    pub fn admit_all(&self) {
        self.gate.lock().expect("gate").refuse = None;
    }

    /// Requests since this was asked for last: method, path, range.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.gate.lock().expect("gate").requests)
    }
}

impl Gate {
    fn admit<B>(&mut self, request: &hyper::Request<B>) -> bool {
        let header = |name: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(|value| format!(" {name}={value}")).unwrap_or_default()
        };
        let (range, cache) = (header("range"), header("cache-control"));
        let line = format!("{} {}{range}{cache}", request.method(), request.uri());
        self.requests.push(line.clone());
        match &mut self.refuse {
            Some((method, left)) if line.starts_with(*method) => {
                let is_admitted = *left > 0;
                *left = left.saturating_sub(1);
                is_admitted
            }
            _ => true,
        }
    }
}

fn refusal() -> hyper::Response<s3s::Body> {
    let body = "<Error><Code>AccessDenied</Code><Message>not now</Message></Error>";
    let mut refusal = hyper::Response::new(s3s::Body::from(body.to_owned()));
    *refusal.status_mut() = hyper::StatusCode::FORBIDDEN;
    refusal
}
