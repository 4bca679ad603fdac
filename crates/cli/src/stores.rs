//! Opens stores that are elsewhere: what their addresses and the environment say.

use crate::faults::{Failure, usage};
use hostwright_store::{
    DirSource, Failover, HttpOptions, HttpSource, S3Settings, S3Store, Source, StoreAddress,
};
use std::path::{Path, PathBuf};

/// How web servers are talked to.
#[derive(clap::Args)]
pub struct HttpArgs {
    /// PEM file of the authorities that vouch for https:// stores, instead of the system's.
    #[arg(long, value_name = "FILE", env = "HOSTWRIGHT_CA")]
    ca: Option<PathBuf>,
}

/// Tries of a request where other stores can be asked instead.
const TRIES_OF_MANY: u32 = 2;

/// One source of these addresses.
pub fn open(
    addresses: &[StoreAddress],
    http: &HttpArgs,
) -> Result<Box<dyn Source + Send>, Failure> {
    let tries = (addresses.len() > 1).then_some(TRIES_OF_MANY);
    let mut sources = Vec::new();
    for address in addresses {
        sources.push(open_one(address, http, tries)?);
    }
    match sources.len() {
        1 => Ok(sources.remove(0)),
        _ => Ok(Box::new(Failover::new(sources))),
    }
}

fn open_one(
    address: &StoreAddress,
    http: &HttpArgs,
    tries: Option<u32>,
) -> Result<Box<dyn Source + Send>, Failure> {
    Ok(match address {
        StoreAddress::Dir(dir) => {
            check_is_store(dir)?;
            Box::new(DirSource::new(dir))
        }
        StoreAddress::S3 { bucket, prefix } => {
            Box::new(S3Store::new(bucket, prefix, &s3_settings())?)
        }
        StoreAddress::Http(url) => {
            let mut options = HttpOptions { roots: http.ca.clone(), ..HttpOptions::default() };
            options.tries = tries.unwrap_or(options.tries);
            Box::new(HttpSource::open(url.clone(), &options)?)
        }
    })
}

/// A directory that is mistyped must not look like a store without images.
fn check_is_store(dir: &Path) -> Result<(), Failure> {
    if dir.join("packs").is_dir() {
        return Ok(());
    }
    let message = format!("{} is not a store: it has no directory 'packs'", dir.display());
    Err(usage(message, "correct the path"))
}

/// What the environment says about S3.
pub fn s3_settings() -> S3Settings {
    S3Settings {
        variables: std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect(),
    }
}
