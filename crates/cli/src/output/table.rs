//! Columns of text, each as wide as its widest cell.

use anstyle::Style;

use super::{DIM, Output, paint};
use crate::outcome::Failure;

/// A cell.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a style.
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::new())
    }
}

/// Rows below a head.
pub(crate) struct Table<const N: usize> {
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with this head.
    pub(crate) fn new(head: [&str; N]) -> Self {
        Self {
            rows: vec![head.map(|name| Cell::new(name, DIM))],
        }
    }

    /// Another row.
    pub(crate) fn row(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// Print it.
    pub(crate) fn print(&self, output: &mut Output) -> Result<(), Failure> {
        self.lines().into_iter().try_for_each(|line| output.line(line))
    }

    /// Print it without its head.
    pub(crate) fn print_body(&self, output: &mut Output) -> Result<(), Failure> {
        let rows = self.lines().into_iter().skip(1);
        rows.into_iter().try_for_each(|line| output.line(line))
    }

    fn lines(&self) -> Vec<String> {
        let width = |cell: &Cell| cell.text.chars().count();
        let mut widths = [0; N];
        for row in &self.rows {
            for (column, cell) in widths.iter_mut().zip(row) {
                *column = width(cell).max(*column);
            }
        }
        let line = |row: &[Cell; N]| {
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                line.push_str(&paint(cell.style, &cell.text));
                // Nothing is put behind the last one.
                if row[index + 1..].iter().any(|cell| !cell.text.is_empty()) {
                    let blanks = widths[index] - width(cell) + 2;
                    line.extend(std::iter::repeat_n(' ', blanks));
                }
            }
            line
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["ID", "NAME", "X"]);
        table.row(["1".into(), "é".into(), "".into()]);
        table.row(["1000".into(), "abcde".into(), "y".into()]);
        let lines: Vec<String> = table
            .lines()
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        assert_eq!(lines, ["ID    NAME   X", "1     é", "1000  abcde  y"]);
    }
}
