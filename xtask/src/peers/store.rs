//! `cargo xtask peers store`: three Debian trees in Hostwright's store and in others: what is stored,
//! how long packing and unpacking take, what moves from one version to the next.

use super::trees::{Tree, Trees};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What is compared, and where.
#[derive(clap::Args)]
pub struct Options {
    /// Directory for the trees and the stores; the trees are used again if they are there.
    #[arg(long, default_value = "target/peers-store")]
    work: PathBuf,
    /// How often packing and unpacking are timed; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// A row of the table.
#[derive(Default)]
struct Row {
    name: &'static str,
    stored_bytes: u64,
    pack_s: f64,
    unpack_s: Option<f64>,
    /// To the tree after the upgrade, and to the one with nginx.
    moves: [Moved; 2],
}

/// What moves from the first tree to another.
#[derive(Clone, Copy, Default)]
struct Moved {
    bytes: u64,
    requests: u64,
}

/// Runs the comparison. Fails if a goal is missed.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let work = root.join(&options.work);
    let trees = Trees::prepare(&work)?;
    let program = build(root)?;
    let bench = Bench { trees: &trees, dir: work.join("stores"), runs: options.runs, program };
    let rows = bench.rows()?;
    trees.describe()?;
    println!(
        "Hostwright's crates at opt-level 3, their dependencies as in the profile `dev`; medians of \
         {}; every tree is unpacked into a fresh directory and synced.\n",
        options.runs
    );
    print(&rows);
    judge(&rows)
}

/// Builds the program that does what the engine and the verbs do, fast where our own code is.
fn build(root: &Path) -> Result<PathBuf> {
    let fast = ["store", "model", "host"]
        .map(|name| format!("profile.dev.package.hostwright-{name}.opt-level=3"));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "--package=hostwright-host", "--example=store"]);
    for setting in &fast {
        cargo.args(["--config", setting]);
    }
    ensure!(cargo.current_dir(root).status()?.success(), "the example 'store' does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(target.unwrap_or_else(|| root.join("target")).join("debug/examples/store"))
}

fn print(rows: &[Row]) {
    let head = ["", "stored", "pack", "unpack", "upgrade", "requests", "+ nginx", "requests"];
    let mb = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
    let line = |cells: [String; 8]| {
        let [name, rest @ ..] = cells;
        println!("{name:32}{}", rest.map(|cell| format!("{cell:>12}")).concat());
    };
    line(head.map(str::to_owned));
    for row in rows {
        let seconds = |s: f64| format!("{s:.2} s");
        let unpack = row.unpack_s.map_or("-".to_owned(), seconds);
        let [up, nginx] = row.moves;
        line([
            row.name.to_owned(),
            mb(row.stored_bytes),
            if row.pack_s > 0.0 { seconds(row.pack_s) } else { "-".to_owned() },
            unpack,
            mb(up.bytes),
            up.requests.to_string(),
            mb(nginx.bytes),
            nginx.requests.to_string(),
        ]);
    }
}

/// Holds the rows against the goals.
fn judge(rows: &[Row]) -> Result<()> {
    let row = |name: &str| rows.iter().find(|row| row.name == name).context("a row is missing");
    let (ours, tight) = (row("hostwright")?, row("hostwright, optimized")?);
    let (casync, tar, delta) = (row("casync")?, row("tar | zstd -3")?, row("ostree static delta")?);
    let unpack = |row: &Row| row.unpack_s.unwrap_or(f64::INFINITY);
    let goals = [
        ("the upgrade moves at most 2.0 MB", ours.moves[0].bytes <= 2_000_000),
        ("and not more than ostree's static delta", ours.moves[0].bytes <= delta.moves[0].bytes),
        ("nor does adding nginx, once optimized", tight.moves[1].bytes <= delta.moves[1].bytes),
        ("unpacks as fast as tar | zstd -3", unpack(ours) <= unpack(tar)),
        ("packs in a third of casync's time", ours.pack_s * 3.0 <= casync.pack_s),
    ];
    println!();
    for (goal, met) in goals {
        println!("{} {goal}", if met { "met:   " } else { "missed:" });
    }
    match goals.iter().all(|(_, met)| *met) {
        true => Ok(()),
        false => bail!("a goal was missed"),
    }
}

/// Measures one after the other.
struct Bench<'a> {
    trees: &'a Trees,
    dir: PathBuf,
    runs: usize,
    program: PathBuf,
}

impl Bench<'_> {
    fn rows(&self) -> Result<Vec<Row>> {
        fs::create_dir_all(&self.dir)?;
        let ours = self.hostwright()?;
        let mut rows = Vec::from(ours);
        rows.push(self.casync()?);
        rows.extend(self.ostree()?);
        rows.push(self.tar()?);
        rows.push(self.whole_files()?);
        Ok(rows)
    }

    /// A directory with nothing in it. Old ones stay until the end: ext4 avoids inodes that were
    /// deleted just now, and makes new ones slowly then.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = (0..).map(|n| self.dir.join(format!("{name}.{n}"))).find(|dir| !dir.exists());
        let dir = dir.context("no name is free")?;
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The median of some runs of a shell command that is told a fresh directory as `$D`.
    fn time(&self, name: &str, script: &str) -> Result<(f64, PathBuf)> {
        let mut times = Vec::new();
        let mut last = PathBuf::new();
        for _ in 0..self.runs.max(1) {
            let dir = self.fresh(name)?;
            let begun = Instant::now();
            self.shell(&format!("{script}; sync -f \"$D\""), &dir)?;
            times.push(begun.elapsed().as_secs_f64());
            last = dir;
        }
        times.sort_by(f64::total_cmp);
        Ok((times[times.len() / 2], last))
    }

    /// Runs a script with the trees, our program and a directory as variables; what it printed.
    fn shell(&self, script: &str, dir: &Path) -> Result<String> {
        let output = Command::new("sh")
            .args(["-euc", script])
            .env("D", dir)
            .env("HW", &self.program)
            .env("BASE", self.trees.path(Tree::Base))
            .env("UPGRADED", self.trees.path(Tree::Upgraded))
            .env("NGINX", self.trees.path(Tree::Nginx))
            .stderr(Stdio::piped())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script}: {}\n{errors}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    fn hostwright(&self) -> Result<[Row; 2]> {
        let (pack_s, store) = self.time("hw", "$HW add $D/s deb $BASE >/dev/null")?;
        let unpack = format!("$HW tree {}/s deb $D", store.display());
        let (unpack_s, _) = self.time("hw-tree", &unpack)?;
        let stored_bytes = size(&store.join("s"))?.bytes;
        let (mut moves, mut tight) = ([Moved::default(); 2], [Moved::default(); 2]);
        for (number, tree) in ["$UPGRADED", "$NGINX"].into_iter().enumerate() {
            let dir = self.fresh("hw-next")?;
            let old = self.shell("$HW add $D/s deb $BASE", &dir)?;
            self.shell(&format!("$HW add $D/s deb {tree}"), &dir)?;
            moves[number] = self.fetched(&dir, old.trim())?;
            self.shell("$HW optimize $D/s", &dir)?;
            tight[number] = self.fetched(&dir, old.trim())?;
        }
        let dir = self.fresh("hw-tight")?;
        let begun = Instant::now();
        self.shell("$HW add $D/s deb $BASE; $HW optimize $D/s", &dir)?;
        let tight_pack_s = begun.elapsed().as_secs_f64();
        let condemned = fs::read_dir(dir.join("s/condemned"))?;
        let mut tight_bytes = size(&dir.join("s"))?.bytes;
        for mark in condemned {
            let name = mark?.file_name().to_string_lossy().into_owned();
            let pack = name.trim_start_matches("pack-");
            tight_bytes -= fs::metadata(dir.join(format!("s/packs/{pack}.pack")))?.len();
        }
        let unpack = format!("$HW tree {}/s deb $D", dir.display());
        let (tight_unpack_s, _) = self.time("hw-tree", &unpack)?;
        Ok([
            Row { name: "hostwright", stored_bytes, pack_s, unpack_s: Some(unpack_s), moves },
            Row {
                name: "hostwright, optimized",
                stored_bytes: tight_bytes,
                pack_s: tight_pack_s,
                unpack_s: Some(tight_unpack_s),
                moves: tight,
            },
        ])
    }

    /// Fetches the newest image where the base is installed; what that moved.
    fn fetched(&self, dir: &Path, old: &str) -> Result<Moved> {
        let cache = self.fresh("hw-cache")?;
        let manifest = dir.join(format!("s/manifests/{old}.json.zst"));
        let script = format!("$HW fetch $D/s deb {} $BASE {}", cache.display(), manifest.display());
        let report: Value = serde_json::from_str(&self.shell(&script, dir)?)?;
        let number = |field: &str| report[field].as_u64().with_context(|| field.to_owned());
        Ok(Moved { bytes: number("moved_bytes")?, requests: number("requests")? })
    }

    fn casync(&self) -> Result<Row> {
        let make = "casync make --compression=zstd --store=$D/s $D/base.caidx $BASE >/dev/null";
        let (pack_s, store) = self.time("casync", make)?;
        let at = store.display();
        let unpack = format!("casync extract --store={at}/s {at}/base.caidx $D/tree");
        let (unpack_s, _) = self.time("casync-tree", &unpack)?;
        let stored_bytes = size(&store)?.bytes;
        let mut moves = [Moved::default(); 2];
        for (number, tree) in ["$UPGRADED", "$NGINX"].into_iter().enumerate() {
            let dir = self.fresh("casync-next")?;
            self.shell(make, &dir)?;
            let before = size(&dir)?;
            self.shell(
                &format!(
                    "casync make --compression=zstd --store=$D/s $D/n.caidx {tree} >/dev/null"
                ),
                &dir,
            )?;
            moves[number] = grown(before, size(&dir)?);
        }
        Ok(Row { name: "casync", stored_bytes, pack_s, unpack_s: Some(unpack_s), moves })
    }

    fn ostree(&self) -> Result<[Row; 2]> {
        let commit = |branch: &str, tree: &str| {
            format!("ostree commit --repo=$D/r --branch={branch} --tree=dir={tree} >/dev/null")
        };
        let init = "ostree init --repo=$D/r --mode=archive";
        let make = format!("{init}; {}", commit("base", "$BASE"));
        let (pack_s, store) = self.time("ostree", &make)?;
        let unpack = format!("ostree checkout --repo={}/r base $D/tree", store.display());
        let (unpack_s, _) = self.time("ostree-tree", &unpack)?;
        let stored_bytes = size(&store.join("r/objects"))?.bytes;
        let (mut objects, mut deltas) = ([Moved::default(); 2], [Moved::default(); 2]);
        let mut delta_s = 0.0;
        for (number, tree) in ["$UPGRADED", "$NGINX"].into_iter().enumerate() {
            let dir = self.fresh("ostree-next")?;
            self.shell(&make, &dir)?;
            let before = size(&dir.join("r/objects"))?;
            self.shell(&commit("next", tree), &dir)?;
            objects[number] = grown(before, size(&dir.join("r/objects"))?);
            let begun = Instant::now();
            let generate = "ostree static-delta generate --repo=$D/r --min-fallback-size=0 \
                            --from=base --to=next >/dev/null 2>&1";
            self.shell(generate, &dir)?;
            if number == 0 {
                delta_s = begun.elapsed().as_secs_f64();
            }
            let delta = size(&dir.join("r/deltas"))?;
            deltas[number] = Moved { bytes: delta.bytes, requests: delta.files };
        }
        Ok([
            Row { name: "ostree", stored_bytes, pack_s, unpack_s: Some(unpack_s), moves: objects },
            Row {
                name: "ostree static delta",
                stored_bytes: deltas[0].bytes,
                pack_s: delta_s,
                unpack_s: None,
                moves: deltas,
            },
        ])
    }

    fn tar(&self) -> Result<Row> {
        let make = |tree: &str| {
            format!(
                "tar -C {tree} --xattrs --numeric-owner --sort=name -cf - . | zstd -q -3 -T2 > $D/t"
            )
        };
        let (pack_s, store) = self.time("tar", &make("$BASE"))?;
        let unpack = format!(
            "zstd -q -dc {}/t | tar -C $D --xattrs --numeric-owner -xpf -",
            store.display()
        );
        let (unpack_s, _) = self.time("tar-tree", &unpack)?;
        let stored_bytes = size(&store)?.bytes;
        let mut moves = [Moved::default(); 2];
        for (number, tree) in ["$UPGRADED", "$NGINX"].into_iter().enumerate() {
            let dir = self.fresh("tar-next")?;
            self.shell(&make(tree), &dir)?;
            moves[number] = Moved { bytes: size(&dir)?.bytes, requests: 1 };
        }
        Ok(Row { name: "tar | zstd -3", stored_bytes, pack_s, unpack_s: Some(unpack_s), moves })
    }

    /// Every file compressed by itself, those with the same content once.
    fn whole_files(&self) -> Result<Row> {
        let hashes = |tree: &str| -> Result<BTreeSet<(String, String)>> {
            let list = format!("cd {tree}; find . -type f -size +0 -print0 | xargs -0 sha256sum");
            let lines = self.shell(&list, &self.dir)?;
            let mut seen = BTreeSet::new();
            let files = lines.lines().filter_map(|line| line.split_once("  "));
            let files = files.map(|(hash, path)| (hash.to_owned(), path.to_owned()));
            Ok(files.filter(|(hash, _)| seen.insert(hash.clone())).collect())
        };
        let pack = |tree: &Path, files: &BTreeSet<(String, String)>| -> Result<Moved> {
            let dir = self.fresh("files")?;
            for (hash, path) in files {
                fs::copy(tree.join(path), dir.join(hash))?;
            }
            self.shell("zstd -q -3 --rm -r $D", &dir)?;
            let packed = size(&dir)?;
            Ok(Moved { bytes: packed.bytes, requests: packed.files })
        };
        let base = hashes("$BASE")?;
        let known: BTreeSet<&String> = base.iter().map(|(hash, _)| hash).collect();
        let stored_bytes = pack(&self.trees.path(Tree::Base), &base)?.bytes;
        let mut moves = [Moved::default(); 2];
        for (number, (variable, tree)) in
            [("$UPGRADED", Tree::Upgraded), ("$NGINX", Tree::Nginx)].into_iter().enumerate()
        {
            let mut new = hashes(variable)?;
            new.retain(|(hash, _)| !known.contains(hash));
            moves[number] = pack(&self.trees.path(tree), &new)?;
        }
        Ok(Row { name: "files, zstd -3 each", stored_bytes, pack_s: 0.0, unpack_s: None, moves })
    }
}

/// How much is below a directory.
#[derive(Clone, Copy, Default)]
struct Size {
    bytes: u64,
    files: u64,
}

fn size(dir: &Path) -> Result<Size> {
    let mut sum = Size::default();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                waiting.push(entry.path());
            } else {
                sum.bytes += meta.len();
                sum.files += 1;
            }
        }
    }
    Ok(sum)
}

fn grown(before: Size, after: Size) -> Moved {
    Moved { bytes: after.bytes - before.bytes, requests: after.files - before.files }
}
