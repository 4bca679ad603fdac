//! Turns what failed around a run into a [`Fault`]; inside a run the engine does.

use hostwright_client::ClientError;
use hostwright_host::HostError;
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_store::StoreError;
use std::error::Error;

/// An error with its causes, on one line.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The machine, or the initramfs, does not do what every installation needs.
pub(crate) fn of_host(error: &HostError) -> Box<Fault> {
    Box::new(hostwright_engine::of_host(error))
}

/// The server does not give what was asked for, and trying again would not help.
pub(crate) fn of_client(error: &ClientError) -> Box<Fault> {
    let message = sentence(error);
    let fault = match error {
        ClientError::Refused { error, .. } => {
            Fault::new(FaultKind::Remote, &error.code, error.message.clone(), error.cure.clone())
        }
        ClientError::Corrupt { .. } => Fault::new(
            FaultKind::Remote,
            "download-corrupt",
            message,
            "build the file again on the boot server: 'hostwright installer build' makes the tools \
             image, the config space is packed by 'hostwright machine install'",
        ),
        ClientError::File { .. } => Fault::new(
            FaultKind::Environment,
            "work-dir",
            message,
            "give the machine more memory: everything is fetched into RAM before a disk is touched",
        ),
        _ => Fault::new(
            FaultKind::Remote,
            "server-not-understood",
            message,
            "let server and installer be of the same version: run 'hostwright installer build'",
        ),
    };
    Box::new(fault)
}

/// The image does not come, or is not what its digest says.
pub(crate) fn of_store(error: &StoreError) -> Box<Fault> {
    let message = sentence(error);
    let fault = match error {
        StoreError::Corrupt { .. } => Fault::new(
            FaultKind::Remote,
            "image-corrupt",
            message,
            "run 'hostwright image verify' on the boot server and build the image again",
        ),
        StoreError::Missing { .. } => Fault::new(
            FaultKind::Remote,
            "image-missing",
            message,
            "build the image on the boot server, or order another one for this machine",
        ),
        StoreError::Remote { .. } => Fault::new(
            FaultKind::Remote,
            "image-unreachable",
            message,
            "look whether the boot server runs and publishes its store, then resume",
        ),
        _ => Fault::new(
            FaultKind::Environment,
            "image-cache",
            message,
            "give the machine more memory: the image is fetched into RAM before a disk is touched",
        ),
    };
    Box::new(fault)
}
