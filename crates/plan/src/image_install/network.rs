//! The network of the installed system, written down for a program that the image has.

use super::ImageInstall;
use crate::dominator;
use crate::finding::Finding;
use crate::machine_file::Section;
use crate::network::{Surroundings, loopback_only, render};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::network::{InterfaceKind, Network, Renderer};
use hostwright_model::plan::{Action, FileTopic, Why};

/// The step's action, and what asks for it.
pub(super) struct Files {
    pub action: Action,
    pub why: Why,
}

const INTERFACES: &str = "/etc/network/interfaces";

/// Makes the files; errors are about cards, subnets and programs that are not there.
pub(super) fn files(install: &ImageInstall<'_>) -> Result<Files, Vec<Diagnostic>> {
    let described = install.described;
    let nics = &install.inputs.facts.nics;
    let own = described.settings.as_ref().map(|file| file.network(nics)).transpose()?.flatten();
    let (network, why) = match (own, &described.settings) {
        (Some(network), Some(file)) => (network, file.why(Section::Network)),
        _ => {
            let network = dominator::network(&described.machine, nics)?;
            let machine = &described.machine;
            (network, Why::line(machine.source.file.clone(), machine.primary.at.line, None))
        }
    };
    let renderer = renderer(install).map_err(|mistake| vec![*mistake])?;
    let missing = missing_hooks(install, &network, renderer);
    if !missing.is_empty() {
        return Err(missing);
    }
    let summary = install.summary;
    let around = Surroundings {
        resolved: summary.resolved,
        resolvconf: summary.programs.contains("resolvconf"),
    };
    let mut files = render(&network, renderer, around);
    let mut remove = summary.network_files.clone();
    if renderer != Renderer::Ifupdown && remove.iter().any(|path| path == INTERFACES) {
        files.push(loopback_only());
    }
    remove.retain(|path| files.iter().all(|file| file.path != *path));
    let action = Action::WriteFiles { topic: FileTopic::Network { renderer }, files, remove };
    Ok(Files { action, why })
}

fn renderer(install: &ImageInstall<'_>) -> Result<Renderer, Box<Diagnostic>> {
    let there = &install.summary.renderers;
    let image = &install.described.image;
    let settings = install.described.settings.as_ref();
    if let Some((file, wanted)) = settings.and_then(|file| Some((file, file.renderer()?))) {
        if there.contains(&wanted) {
            return Ok(wanted);
        }
        let names: Vec<&str> = there.iter().map(|renderer| renderer.name()).collect();
        let message = format!("image {} does not start {}", image.name, wanted.name());
        let cure = match names.is_empty() {
            true => "install and enable it in the image".to_owned(),
            false => format!("install and enable it in the image, or use {}", names.join(", ")),
        };
        return Err(Box::new(file.error_in(Section::Network, "no-renderer", message, cure)));
    }
    there.first().copied().ok_or_else(|| {
        let message = format!("nothing in image {} configures a network", image.name);
        let cure = "install ifupdown, netplan.io or network-manager into the image, or enable \
                    systemd-networkd there";
        let finding = Finding::error("no-renderer", message, cure);
        Box::new(finding.at_line(&image.why.file, image.why.line))
    })
}

/// What ifupdown needs besides itself.
fn missing_hooks(
    install: &ImageInstall<'_>,
    network: &Network,
    renderer: Renderer,
) -> Vec<Diagnostic> {
    if renderer != Renderer::Ifupdown {
        return Vec::new();
    }
    let has_kind = |is: fn(&InterfaceKind) -> bool| network.interfaces.iter().any(|i| is(&i.kind));
    let needs = [
        (
            has_kind(|kind| matches!(kind, InterfaceKind::Bond { .. })),
            "ifenslave",
            "ifenslave",
            "bond",
        ),
        (
            has_kind(|kind| matches!(kind, InterfaceKind::Bridge { .. })),
            "bridge",
            "bridge-utils",
            "bridge",
        ),
    ];
    let image = &install.described.image;
    let programs = &install.summary.programs;
    let missing = needs
        .into_iter()
        .filter(|(needed, hook, ..)| *needed && !programs.contains(&format!("if-pre-up.d/{hook}")));
    let tell = |(_, _, package, what): (bool, &str, &str, &str)| {
        let message = format!(
            "the network has a {what}, and ifupdown of image {} cannot make it",
            image.name
        );
        let cure = format!("install {package} into the image, or use another renderer");
        let finding = Finding::error("image-lacks-part", message, cure);
        finding.at_line(&image.why.file, image.why.line)
    };
    missing.map(tell).collect()
}
