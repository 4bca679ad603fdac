//! A proportional bar of cells in box-drawing characters.

/// One part of a bar.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// How much of the bar it stands for.
    pub weight: u64,
    /// What it is, and how large.
    pub lines: [String; 2],
    /// Name of the bracket below it, where it has one; the same for all cells of a bracket.
    pub bracket: Option<String>,
    /// True for room that nothing uses.
    pub free: bool,
}

/// Columns of a bar, borders included.
const WIDTH: usize = 96;
/// Narrowest cell, without borders, where there is room: it holds ` 1 /boot/efi `.
const NARROWEST: usize = 13;
/// More cells than this cannot be told from each other.
const MOST_CELLS: usize = 24;

/// Draws the cells beside each other, with two lines of text in each; nothing if there are too many.
pub(super) fn bar(cells: &[Cell]) -> Vec<String> {
    if cells.is_empty() || cells.len() > MOST_CELLS {
        return Vec::new();
    }
    let widths = widths(cells);
    let edge = |left, between: &str, right| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        format!("{left}{}{right}", parts.join(between))
    };
    let mut lines = vec![edge('┌', "┬", '┐')];
    for row in 0..2 {
        let texts = cells.iter().zip(&widths);
        let texts: Vec<String> = texts.map(|(cell, width)| text(cell, row, *width)).collect();
        lines.push(format!("│{}│", texts.join("│")));
    }
    lines.push(edge('└', "┴", '┘'));
    lines.extend(brackets(cells, &widths));
    lines
}

/// Shares the columns out: each cell gets its share, but at least the narrowest width.
fn widths(cells: &[Cell]) -> Vec<usize> {
    let room = WIDTH - cells.len() - 1;
    // A third of the room is left to show proportions with, however many cells there are.
    let narrowest = NARROWEST.min(room * 2 / 3 / cells.len());
    let total: u128 = cells.iter().map(|cell| u128::from(cell.weight)).sum();
    let share = |cell: &Cell| {
        let columns = room as u128 * u128::from(cell.weight) / total.max(1);
        usize::try_from(columns).unwrap_or(room).max(narrowest)
    };
    let mut widths: Vec<usize> = cells.iter().map(share).collect();
    // Rounding and narrow cells are made up for by the widest ones.
    loop {
        let used: usize = widths.iter().sum();
        let Some(widest) = widths.iter_mut().max() else { return widths };
        match used.cmp(&room) {
            std::cmp::Ordering::Less => *widest += room - used,
            std::cmp::Ordering::Equal => return widths,
            std::cmp::Ordering::Greater => *widest -= 1,
        }
    }
}

fn text(cell: &Cell, row: usize, width: usize) -> String {
    let filler = if cell.free { '░' } else { ' ' };
    let margin = usize::from(width > 2);
    let room = width - 2 * margin;
    let whole = &cell.lines[row];
    let mut padded: String = std::iter::repeat_n(filler, margin).collect();
    if whole.chars().count() > room {
        padded.extend(whole.chars().take(room.saturating_sub(1)));
        padded.push('…');
    } else {
        padded.push_str(whole);
    }
    let missing = width.saturating_sub(padded.chars().count());
    padded.extend(std::iter::repeat_n(filler, missing));
    padded
}

/// One line that names runs of cells which belong together; none if nothing does.
fn brackets(cells: &[Cell], widths: &[usize]) -> Option<String> {
    cells.iter().find(|cell| cell.bracket.is_some())?;
    let mut line = String::new();
    let mut from = 0;
    while let Some(cell) = cells.get(from) {
        let run = cells[from..].iter().take_while(|other| other.bracket == cell.bracket).count();
        let inner: usize = widths[from..from + run].iter().sum::<usize>() + run - 1;
        match &cell.bracket {
            Some(name) => {
                line.push_str(&format!(" ╰{:─^inner$}", format!(" {name} "), inner = inner - 2))
            }
            None => line.extend(std::iter::repeat_n(' ', inner + 1)),
        }
        if cell.bracket.is_some() {
            line.push('╯');
        }
        from += run;
    }
    Some(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(weight: u64, name: &str) -> Cell {
        let lines = [name.to_owned(), String::new()];
        Cell { weight, lines, bracket: None, free: false }
    }

    #[test]
    fn every_line_has_the_full_width_whatever_the_weights_are() {
        for weights in [vec![1], vec![1, 1_000_000], vec![0, 0, 0], vec![7; MOST_CELLS]] {
            let cells: Vec<Cell> = weights.iter().map(|weight| cell(*weight, "/home")).collect();
            for line in bar(&cells) {
                assert_eq!(line.chars().count(), WIDTH, "{weights:?}: {line}");
            }
        }
    }

    #[test]
    fn small_cells_stay_readable_and_long_names_are_cut() {
        let lines = bar(&[cell(1, "1 /boot/efi"), cell(1_000_000, "2 /")]);
        assert!(lines[1].starts_with("│ 1 /boot/efi │ 2 / "), "{}", lines[1]);
        let lines = bar(&[cell(1, "1 /var/lib/docker"), cell(1_000_000, "2 /")]);
        assert!(lines[1].starts_with("│ 1 /var/lib… │ 2 / "), "{}", lines[1]);
    }
}
