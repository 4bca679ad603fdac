//! Which keyword somebody may have meant.

/// The first one of `known` that differs from `word` by no more than a third of its letters, or by
/// case only.
pub(super) fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let best = known.iter().copied().min_by_key(|candidate| distance(&lower, candidate))?;
    (distance(&lower, best) * 3 <= best.len()).then_some(best)
}

/// Levenshtein's distance: letters to insert, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["align-at", "bootable", "disklabel"];
        assert_eq!(closest("align_at", &known), Some("align-at"));
        assert_eq!(closest("BOOTABLE", &known), Some("bootable"));
        assert_eq!(closest("bogus", &known), None);
        assert_eq!(closest("vg", &["p="]), None, "short words are all near to each other");
        assert_eq!(closest("ext5", &["ext4", "ext2"]), Some("ext4"), "the first of equals");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
