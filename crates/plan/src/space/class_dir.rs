//! `class/`: class scripts, classes of hosts, variables.

use super::read::{Reader, is_numbered};
use super::runnable::{self, Use};
use super::{ClassScript, HostClasses, VarFile};
use crate::dependencies;
use crate::finding::{Finding, Line};
use crate::tree::TreeFile;
use hostwright_model::class::ClassName;

/// Ending of the files of the menu, which class scripts read.
const PROFILE_SUFFIX: &str = ".profile";

/// Endings that no host name has.
const FILE_SUFFIXES: [&str; 9] =
    [".vars", ".sh", ".txt", ".source", ".conf", ".pl", ".py", ".inc", ".cfg"];

impl Reader {
    /// Reads `class/NAME`.
    pub(super) fn class_file(&mut self, path: &str, name: &str, file: &TreeFile) {
        if is_numbered(name) {
            self.class_script(path, file);
        } else if let Some(class) = name.strip_suffix(".var") {
            let (vars, found) = VarFile::parse(path, &file.text());
            self.found.extend(found);
            self.functions(path, &file.text());
            if let Some(class) = self.class(path, class) {
                self.space.var_files.insert(class, vars);
            }
        } else if path == dependencies::FILE {
            self.found.extend(self.space.dependencies.read_toml(&file.text()));
        } else if let Some(class) = name.strip_suffix(".deps") {
            if let Some(class) = self.class(path, class) {
                let found = self.space.dependencies.read_deps(path, class, &file.text());
                self.found.extend(found);
            }
        } else if !name.ends_with(PROFILE_SUFFIX) {
            match why_no_host(name, file) {
                None => self.host_classes(path, name, &file.text()),
                Some(finding) => self.found.push(finding.at_start(path, &file.text())),
            }
        }
    }

    fn class_script(&mut self, path: &str, file: &TreeFile) {
        if path.ends_with(".source") {
            let message = "FAI sources '*.sh'; it has not read '*.source' since version 5";
            let cure = format!("rename it to {}.sh", path.trim_end_matches(".source"));
            let finding = Finding::warning("legacy-name", message, cure);
            self.found.push(finding.at_start(path, &file.text()));
            return;
        }
        let usage = Use::of(path);
        self.found.extend(runnable::findings(path, file, usage));
        if file.executable {
            let script = ClassScript { path: path.to_owned(), sourced: usage == Use::Sourced };
            self.space.class_scripts.push(script);
        }
    }

    fn host_classes(&mut self, path: &str, host: &str, text: &str) {
        let mut classes = Vec::new();
        for line in Line::all(path, text).filter(|line| !line.text.starts_with('#')) {
            for word in line.text.split_whitespace() {
                match word.parse::<ClassName>() {
                    Ok(class) => classes.push(class),
                    Err(bad) => {
                        let cure = match word.starts_with('#') {
                            true => "put the comment on a line of its own, from column 1 on",
                            false => "write one class name there",
                        };
                        let finding = Finding::warning("bad-class-name", bad.to_string(), cure);
                        self.found.push(finding.at_span(line, word));
                        break;
                    }
                }
            }
        }
        let classes = HostClasses { path: path.to_owned(), classes };
        self.space.host_classes.insert(host.to_owned(), classes);
    }
}

/// Why a file in `class/` cannot be the class list of a host, and so is nothing at all.
fn why_no_host(name: &str, file: &TreeFile) -> Option<Finding> {
    let is_script = file.executable || runnable::has_shebang(file);
    let cure = if is_script {
        format!("a class script has a name such as '50-{}'", name.trim_start_matches(is_in_prefix))
    } else if name.ends_with(".vars") {
        format!("files with variables end in '.var': rename it to {}", &name[..name.len() - 1])
    } else {
        "name it NN-NAME (a class script), CLASS.var (variables) or after a host".to_owned()
    };
    let has_upper = name.contains(|c: char| c.is_ascii_uppercase());
    let is_file = FILE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    let message = "nothing reads this file";
    let is_nothing = is_script || is_file || has_upper;
    is_nothing.then(|| Finding::warning("unknown-class-file", message, cure))
}

fn is_in_prefix(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '_')
}
