//! Questions about classes: to FAI 6.0.3's function where it knows them, and boolean expressions,
//! which came with FAI 6.4, to perl, by whose rules that reads them.

use super::bench::{Outcome, Sample};
use super::seed::Seed;
use super::verdict::Reason;
use super::{Contest, compare};

const CLASSES: &[&str] = &["DEFAULT", "DEBIAN", "FAI-BASE", "web01", "AMD64", "LAST"];
const ASKED: &[&str] =
    &["DEBIAN", "UBUNTU", "FAI-BASE", "BASE", "web01", "web0", "LAST", "debian", "AMD64", "FAI"];
const PATTERNS: &[&str] = &["DEB.*", "web[0-9]+", "A.D64", ".*", "X.*", "(DEBIAN|UBUNTU)", "LAST?"];
const FUNCTION: &[&str] =
    &["/bin/bash", "-c", ". /usr/lib/fai/subroutines; ifclass \"$@\"", "ifclass"];
/// Puts 1 or 0 for each name and lets perl have its way with the rest.
const PERL: &[&str] = &[
    "/usr/bin/perl",
    "-e",
    r#"my %c = map { $_ => 1 } split ' ', $ENV{classes}; my $e = shift; $e =~ s/([A-Za-z][\w-]*)/exists $c{$1} ? 1 : 0/ge; exit(eval($e) ? 0 : 1)"#,
];

fn classes(seed: &mut Seed, sample: &mut Sample) {
    sample.var("classes", seed.subset(CLASSES, 60).join(seed.pick(&[" ", "\n", "  "])));
}

fn question(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    classes(seed, &mut sample);
    match seed.below(4) {
        0 => sample.arg("-a").args.extend(seed.some(ASKED, 0, 3).into_iter().map(str::to_owned)),
        1 => sample.arg("-o").args.extend(seed.some(ASKED, 0, 3).into_iter().map(str::to_owned)),
        2 => sample.args.extend(seed.some(PATTERNS, 1, 1).into_iter().map(str::to_owned)),
        _ => sample.args.extend(seed.some(ASKED, 1, 1).into_iter().map(str::to_owned)),
    }
    sample
}

fn expression(seed: &mut Seed) -> Sample {
    let mut sample = Sample::default();
    classes(seed, &mut sample);
    let text = tree(seed, 4);
    sample.arg(text);
    sample
}

/// An expression of at most this depth.
fn tree(seed: &mut Seed, depth: usize) -> String {
    let blank = seed.pick(&["", " ", "  "]);
    match seed.below(if depth == 0 { 2 } else { 8 }) {
        0 | 1 => seed.pick(ASKED).to_owned(),
        2 => format!("!{blank}{}", single(seed, depth - 1)),
        3 => format!("({blank}{}{blank})", tree(seed, depth - 1)),
        4 => format!(
            "({}) ? {} : {}",
            tree(seed, depth - 1),
            single(seed, depth - 1),
            single(seed, depth - 1)
        ),
        n => {
            let operator = if n % 2 == 0 { "&&" } else { "||" };
            format!("{} {operator}{blank} {}", tree(seed, depth - 1), tree(seed, depth - 1))
        }
    }
}

fn single(seed: &mut Seed, depth: usize) -> String {
    match seed.chance(50) {
        true => seed.pick(ASKED).to_owned(),
        false => format!("({})", tree(seed, depth)),
    }
}

fn judge(_: &Sample, _: &Outcome, ours: &Outcome) -> Option<Reason> {
    (ours.status == 2).then_some(Reason::SeveralQuestions)
}

#[test]
fn root_random_questions() {
    compare(&Contest { tool: "ifclass", oracle: FUNCTION, sample: question, judge });
}

#[test]
fn root_random_expressions() {
    compare(&Contest { tool: "ifclass", oracle: PERL, sample: expression, judge });
}
