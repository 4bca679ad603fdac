//! What the kernel calls as /sbin/modprobe when it wants a module: `modprobe -q -- fs-ext4`.

use crate::tools_root::ROOT;
use hostwright_host::boot::load::ModuleLoader;

/// Loads what the last argument names, from the initramfs or else from the tools image. False if
/// nobody has it or it does not load; the kernel then says so itself.
pub(crate) fn load(args: &[String]) -> bool {
    let Some(wanted) = args.last() else { return false };
    ["/", ROOT].into_iter().any(|root| {
        let mut loader = ModuleLoader::open(root);
        loader.knows(wanted) && loader.load(wanted).is_ok()
    })
}
