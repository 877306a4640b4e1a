//! Text tables: columns as wide as their cells, two spaces between.

/// Rows of cells. A cell may have several lines.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

const GAP: usize = 2;

impl Table {
    /// A table with a heading for each column.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|each| (*each).to_owned()).collect()],
        }
    }

    /// Appends a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The table as text; no line ends with a space.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max();
            for at in 0..height.unwrap_or(0) {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(&widths) {
                    let part = cell.lines().nth(at).unwrap_or_default();
                    line.push_str(part);
                    line.extend(std::iter::repeat_n(' ', width + GAP - part.chars().count()));
                }
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(row.len().max(widths.len()), 0);
            for (cell, width) in row.iter().zip(&mut widths) {
                let longest = cell.lines().map(|line| line.chars().count()).max();
                *width = longest.unwrap_or(0).max(*width);
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_aligns_columns() {
        let mut table = Table::new(&["NAME", "N", "LISTENS"]);
        let cells = |of: [&str; 3]| of.map(str::to_owned);
        table.row(cells(["a-long-name", "1", "tcp\nudp"]));
        table.row(cells(["ü", "", ""]));
        let text = "NAME         N  LISTENS\na-long-name  1  tcp\n                udp\nü\n";
        assert_eq!(table.text(), text);
        assert_eq!(Table::new(&["NAME"]).text(), "NAME\n");
    }
}
