//! Archives of every kind, targets and options for `ftar`.

use super::bench::{Node, Outcome, Sample};
use super::seed::Seed;
use super::verdict::{Reason, tree_differences};
use super::{Contest, compare};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

const CLASSES: &[&str] = &["DEFAULT", "DEBIAN", "DEMO", "web01", "LAST"];
const SUFFIXES: &[&str] =
    &["tgz", "tar", "tar.gz", "tar.bz2", "tar.xz", "txz", "tar.zst", "tzst", "zip", "tar.Z"];

/// How many different archives there are.
const ARCHIVES: usize = 40;

/// Archives of every kind, packed once: both programs get copies of the same bytes.
fn archives() -> &'static TempDir {
    static PACKED: OnceLock<TempDir> = OnceLock::new();
    PACKED.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("archives").tempdir().unwrap();
        let mut seed = Seed::new(0);
        let script: String = (0..ARCHIVES).map(|number| packing(&mut seed, number)).collect();
        let script = format!("set -o pipefail\n{script}");
        let done = Command::new("bash").args(["-c", &script]).current_dir(dir.path()).status();
        assert!(done.unwrap().success(), "{script}");
        dir
    })
}

/// Shell text that makes a tree and packs it; its suffix follows from the number.
fn packing(seed: &mut Seed, number: usize) -> String {
    let name = seed.pick(&["a", "b c", "d/e", ".hidden"]);
    let mode = seed.pick(&["644", "4755", "600", "2750"]);
    let owner = seed.pick(&["0:0", "77:88", "4321:4321"]);
    let extra = seed.pick(&[
        ":",
        "ln -s /a p/link",
        "ln p/x p/hard",
        "mkfifo p/pipe",
        "setfattr -n user.k -v v p/x",
        "setcap cap_net_raw+ep p/x",
        "setfacl -m u:77:r p/x",
        "mkdir -m 1777 p/sticky",
        "setfattr -n trusted.t -v t p/x",
    ]);
    let compress = match suffix(number).rsplit('.').next().unwrap() {
        "tgz" | "gz" => "gzip -n",
        "bz2" => "bzip2",
        "xz" | "txz" => "xz -0",
        "zst" | "tzst" => "zstd -q",
        _ => "cat",
    };
    let cut = if number % 13 == 12 { "| (head -c 700; cat > /dev/null)" } else { "" };
    format!(
        "rm -rf p; mkdir p p/d; echo {number} > p/x; echo {number} > 'p/{name}'
         chown {owner} p/x 'p/{name}'; chmod {mode} p/x; {extra} || exit 1
         tar --xattrs --xattrs-include='*' --acls --sort=name -C p -cf - . {cut} | {compress} > {number}\n"
    )
}

fn suffix(number: usize) -> &'static str {
    SUFFIXES[number % SUFFIXES.len()]
}

fn sample(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    sample.node("log", Node::Dir).node("space/files/opt/app", Node::Dir);
    for old in seed.subset(&["old", "a", ".dot", "dir/old", "d/old"], 50) {
        sample.file(format!("target/opt/app/{old}"), "old\n");
    }
    if seed.chance(95) {
        sample.node("target/opt/app", Node::Dir);
    }
    for class in seed.subset(CLASSES, 35) {
        let number = seed.below(ARCHIVES);
        let from = archives().path().join(number.to_string());
        let to = format!("space/files/opt/app/{class}.{}", suffix(number));
        sample.prepare.push_str(&format!("cp -p {} {to}\n", from.display()));
    }
    for flag in seed.subset(&["-1", "-d", "-r", "-i", "-v"], 18) {
        sample.arg(flag);
    }
    if seed.chance(20) {
        let _ = sample.arg("-c").arg(seed.some(CLASSES, 1, 3).join(" "));
    }
    if seed.chance(10) {
        let _ = sample.arg("-s").arg("@/space/files").arg("-t").arg("@/target");
    }
    let source = seed.pick(&["opt/app", "/opt/app", "opt/app/", "none"]);
    sample.arg(source).var("FAI", "@/space").var("FAI_ROOT", "@/target").var("LOGDIR", "@/log");
    let classes = seed.subset(CLASSES, 60).join(seed.pick(&[" ", "\n"]));
    sample.var("classes", classes);
    if seed.chance(15) {
        sample.file("log/FAI_CLASSES", "DEBIAN\nDEMO\n");
    }
    sample
}

fn judge(_: &Sample, theirs: &Outcome, ours: &Outcome) -> Option<Reason> {
    if theirs.status == 0 && ours.status == 2 && ours.stderr.contains("tar ended with status") {
        return Some(Reason::TarFailed);
    }
    let same_tree = tree_differences(theirs, ours).is_empty();
    (theirs.status != 0 && ours.status != 0 && same_tree).then_some(Reason::BothFail)
}

#[test]
fn root_random_ftar() {
    compare(&Contest { tool: "ftar", oracle: &["/usr/sbin/ftar"], sample, judge });
}
