//! The shell functions that hooks and scripts of config spaces expect, and the files below
//! `/usr/lib/fai` that some of them name by path.

/// Shell text that defines FAI's functions. Evaluated under `set -a` in the long-lived bash, so
/// that every bash below it has them too. Defines functions only; runs nothing.
pub const PRELUDE: &str = include_str!("prelude.sh");

/// File in the log directory that says why the run must stop: a number, a blank, and the reason.
/// The function `task_error` writes it above `STOP_ON_ERROR`, and `die` always.
pub const STOP_FILE: &str = "stop";

/// What a [`Shim`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShimKind {
    /// A link to the program that runs the [tools](crate::tools), under the last part of the path.
    Tool,
    /// A file with this text, mode 0644.
    Text(&'static str),
}

/// A file that scripts name by its absolute path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shim {
    /// Where it must be.
    pub path: &'static str,
    /// What must be there.
    pub kind: ShimKind,
}

const fn tool(path: &'static str) -> Shim {
    Shim { path, kind: ShimKind::Tool }
}

/// Everything below `/usr/lib/fai` that must exist where scripts run.
pub const SHIMS: &[Shim] = &[
    Shim { path: "/usr/lib/fai/subroutines", kind: ShimKind::Text(PRELUDE) },
    tool("/usr/lib/fai/check_status"),
    tool("/usr/lib/fai/create_resolv_conf"),
    tool("/usr/lib/fai/fai-disk-info"),
    tool("/usr/lib/fai/fai-divert"),
    tool("/usr/lib/fai/fai-savelog"),
    tool("/usr/lib/fai/fetch-basefile"),
    tool("/usr/lib/fai/get-boot-info"),
    tool("/usr/lib/fai/mkramdisk"),
    tool("/usr/lib/fai/mount2dir"),
    tool("/usr/lib/fai/updatebase"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools;

    #[test]
    fn every_linked_shim_is_a_tool() {
        for shim in SHIMS.iter().filter(|shim| shim.kind == ShimKind::Tool) {
            let name = shim.path.rsplit('/').next().unwrap_or_default();
            assert!(tools::NAMES.contains(&name), "{}", shim.path);
        }
    }
}
