//! The files of proc, sysfs and /dev that callers look at, made from the simulated state.

use super::block::Place;
use super::content::Content;
use super::state::State;

impl State {
    /// Content of a file that the kernel makes; `None` for every other path.
    pub(super) fn kernel_file(&self, path: &str) -> Option<String> {
        match path {
            "/proc/mounts" | "/proc/self/mounts" => Some(self.mount_table()),
            "/proc/swaps" => Some(self.swap_table()),
            "/proc/uptime" => Some("60.00 60.00\n".to_owned()),
            _ => {
                let (device, file) = path.strip_prefix("/sys/class/block/")?.rsplit_once('/')?;
                let name = device.rsplit('/').next()?;
                let place = self.blocks.find(&format!("/dev/{name}"))?;
                match (file, &place) {
                    ("size", _) => Some(format!("{}\n", self.shown_sectors(&place))),
                    ("start", Place::Partition { start, .. }) => Some(format!("{}\n", start / 512)),
                    _ => None,
                }
            }
        }
    }

    /// Names in a directory that the kernel makes; `None` for every other path.
    pub(super) fn kernel_names(&self, path: &str) -> Option<Vec<String>> {
        let nodes = self.blocks.nodes();
        if let Some(below) = path.strip_prefix("/dev") {
            let prefix = format!("/dev{below}/");
            let found = nodes.iter().filter_map(|(node, _)| node.strip_prefix(&prefix));
            let mut names: Vec<String> =
                found.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
            names.extend(self.names(path));
            names.sort();
            names.dedup();
            return (!names.is_empty()).then_some(names);
        }
        let below = path.strip_prefix("/sys/class/block")?;
        let flat = nodes.iter().filter_map(|(node, place)| {
            let name = node.strip_prefix("/dev/").filter(|name| !name.contains('/'))?;
            Some((name, place))
        });
        match below.trim_start_matches('/') {
            "" => Some(flat.map(|(name, _)| name.to_owned()).collect()),
            inner => match inner.strip_suffix("/holders") {
                Some(name) => Some(self.holders(name.rsplit('/').next().unwrap_or(name))),
                None if inner.ends_with("/slaves") => {
                    Some(self.slaves(inner.trim_end_matches("/slaves")))
                }
                None => {
                    let is_part = |place: &Place| matches!(place, Place::Partition { disk, .. } if disk == inner);
                    let own = ["holders", "size", "slaves"].map(str::to_owned);
                    let mut names: Vec<String> = flat
                        .filter(|(_, place)| is_part(place))
                        .map(|(name, _)| name.to_owned())
                        .collect();
                    names.extend(own);
                    names.sort();
                    self.blocks.find(&format!("/dev/{inner}")).map(|_| names)
                }
            },
        }
    }

    fn mount_table(&self) -> String {
        let line = |source: &str, target: &str, kind: &str, options: &str| {
            let options = if options.is_empty() { "rw" } else { options };
            format!("{source} {} {kind} {options} 0 0\n", target.replace(' ', "\\040"))
        };
        let lines = self
            .mounts
            .iter()
            .map(|mount| line(&mount.source, &mount.target, &mount.kind, &mount.options));
        std::iter::once(line("rootfs", "/", "rootfs", "rw")).chain(lines).collect()
    }

    fn swap_table(&self) -> String {
        let head = "Filename\tType\tSize\tUsed\tPriority\n".to_owned();
        let lines = self.swaps.iter().map(|device| {
            let size = self.blocks.find(device).map_or(0, |place| self.blocks.size(&place));
            format!("{device}\tpartition\t{}\t0\t1\n", size / 1024)
        });
        std::iter::once(head).chain(lines).collect()
    }

    /// The kernel shows an extended partition as two sectors.
    fn shown_sectors(&self, place: &Place) -> u64 {
        if let Place::Partition { disk, number, .. } = place
            && let Some(table) = &self.blocks.disks[disk].table
            && table.entries.get(number).is_some_and(super::block::Entry::is_extended)
        {
            return 2;
        }
        self.blocks.size(place) / 512
    }

    /// Names of arrays and device mapper nodes that are built on a device.
    fn holders(&self, name: &str) -> Vec<String> {
        let Some(place) = self.blocks.find(&format!("/dev/{name}")) else { return Vec::new() };
        let mapped = self.blocks.mappings.values().filter(|mapping| mapping.device == place);
        let mut holders: Vec<String> =
            mapped.enumerate().map(|(number, _)| format!("dm-{}", 100 + number)).collect();
        match self.blocks.slot(&place).map(|slot| &slot.content) {
            Some(Content::PhysicalVolume { group: Some(group), .. }) => {
                let active = self.blocks.groups.get(group).filter(|state| state.active);
                let count = active.map_or(0, |state| state.volumes.len());
                holders.extend((0..count).map(|number| format!("dm-{number}")));
            }
            Some(Content::RaidMember { array }) => {
                let array = self.blocks.arrays.get(array);
                holders.extend(array.and_then(|array| array.running.clone()));
            }
            _ => {}
        }
        holders
    }

    /// Names of the members of a running array.
    fn slaves(&self, name: &str) -> Vec<String> {
        let Some(Place::Array(uuid)) = self.blocks.find(&format!("/dev/{name}")) else {
            return Vec::new();
        };
        let members = self.blocks.members_of(&uuid);
        let nodes = members.iter().filter_map(|member| self.blocks.node_of(member));
        nodes.filter_map(|node| Some(node.strip_prefix("/dev/")?.to_owned())).collect()
    }
}
