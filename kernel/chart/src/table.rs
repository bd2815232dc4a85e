use benchbook_display::{Bundle, Rich, escape};
use serde::{Deserialize, Serialize};

use crate::error::{Result, same_length};

/// How the cells of a column are aligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Align {
    /// At the left edge, for words.
    #[default]
    Left,
    /// At the right edge, for numbers.
    Right,
    /// In the middle.
    Centre,
}

impl Align {
    fn css(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Centre => "center",
        }
    }
}

/// One cell of a [`Table`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// What stands in it.
    pub text: String,
    /// Whether it is struck through: shown, but not to be used.
    pub struck: bool,
    /// A remark, numbered and printed under the table.
    pub note: Option<String>,
}

impl Cell {
    /// A struck-through cell with the reason why it does not count.
    pub fn struck(text: impl Into<String>, why: impl Into<String>) -> Self {
        Self { text: text.into(), struck: true, note: Some(why.into()) }
    }

    /// The cell with a remark under the table.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), struck: false, note: None }
    }
}

/// A table that shows itself as aligned text, HTML or Markdown.
///
/// ```
/// use benchbook_chart::{Align, Cell, Table};
///
/// # fn main() -> Result<(), benchbook_chart::Error> {
/// let table = Table::new(["library", "load [s]"])
///     .align([Align::Left, Align::Right])
///     .row(["TensorFlow", "2.04"])?
///     .row([Cell::from("PyTorch"), Cell::struck("0.07", "lists the files only")])?;
/// assert!(table.to_text().contains("[1] lists the files only"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<Cell>>,
    align: Vec<Align>,
    caption: String,
}

impl Table {
    /// A table with these column heads and no rows.
    pub fn new<H: Into<String>>(headers: impl IntoIterator<Item = H>) -> Self {
        Self { headers: headers.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`crate::Error::Length`] when it has not one cell for each column.
    pub fn row<C: Into<Cell>>(mut self, cells: impl IntoIterator<Item = C>) -> Result<Self> {
        let cells: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        let what = format!("row {} of a table", self.rows.len() + 1);
        same_length(what, self.headers.len(), cells.len())?;
        self.rows.push(cells);
        Ok(self)
    }

    /// Adds a row that has one cell a column by construction.
    pub(crate) fn push(&mut self, mut cells: Vec<Cell>) {
        cells.resize(self.headers.len(), Cell::default());
        self.rows.push(cells);
    }

    /// Aligns the columns, from the first; columns beyond are left-aligned.
    pub fn align(mut self, align: impl IntoIterator<Item = Align>) -> Self {
        self.align = align.into_iter().collect();
        self
    }

    /// Aligns the first column left and all others right: names and their numbers.
    pub fn numeric(self) -> Self {
        let columns = self.headers.len();
        self.align((0..columns).map(|i| if i == 0 { Align::Left } else { Align::Right }))
    }

    /// A line above the table that says what it shows.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// The column heads.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The rows, each with one cell a column.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    fn aligned(&self, column: usize) -> Align {
        self.align.get(column).copied().unwrap_or_default()
    }

    /// Each cell as `show` writes it (from the cell and its note's number), and the notes in order;
    /// equal notes share a number.
    fn numbered(
        &self,
        show: impl Fn(&Cell, Option<usize>) -> String,
    ) -> (Vec<Vec<String>>, Vec<&str>) {
        let mut notes: Vec<&str> = Vec::new();
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let mut texts = Vec::with_capacity(row.len());
            for cell in row {
                let number = cell.note.as_deref().map(|note| {
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                    notes.iter().position(|known| *known == note).unwrap_or(0) + 1
                });
                texts.push(show(cell, number));
            }
            rows.push(texts);
        }
        (rows, notes)
    }

    /// As text with aligned columns. Struck cells are written `~2.04~`.
    pub fn to_text(&self) -> String {
        let (rows, notes) = self.numbered(|cell, number| {
            let text = one_line(&cell.text);
            let text = if cell.struck { format!("~{text}~") } else { text };
            number.map_or(text.clone(), |n| format!("{text} [{n}]"))
        });
        let widths: Vec<usize> = (0..self.headers.len())
            .map(|column| {
                let cells = rows.iter().map(|row| row[column].chars().count());
                cells.chain([self.headers[column].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells
                .iter()
                .enumerate()
                .map(|(i, text)| pad(text, widths[i], self.aligned(i)))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        let mut out = Vec::new();
        if !self.caption.is_empty() {
            out.push(self.caption.clone());
        }
        out.push(line(&self.headers));
        out.push(line(&widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>()));
        out.extend(rows.iter().map(|row| line(row)));
        out.extend(notes.iter().enumerate().map(|(i, note)| format!("[{}] {note}", i + 1)));
        out.join("\n")
    }

    /// As Markdown (with GitHub's tables and `~~struck~~` text).
    pub fn to_markdown(&self) -> String {
        let plain = |text: &str| one_line(&escape(text)).replace('\\', "\\\\").replace('|', "\\|");
        let (rows, notes) = self.numbered(|cell, number| {
            let text = plain(&cell.text);
            let text = if cell.struck { format!("~~{text}~~") } else { text };
            number.map_or(text.clone(), |n| format!("{text} <sup>{n}</sup>"))
        });
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let mut out = Vec::new();
        if !self.caption.is_empty() {
            out.extend([format!("**{}**", plain(&self.caption)), String::new()]);
        }
        out.push(line(self.headers.iter().map(|head| plain(head)).collect()));
        let rule = (0..self.headers.len()).map(|i| {
            let rule = match self.aligned(i) {
                Align::Left => ":---",
                Align::Right => "---:",
                Align::Centre => ":---:",
            };
            rule.to_owned()
        });
        out.push(line(rule.collect()));
        out.extend(rows.into_iter().map(line));
        for (i, note) in notes.iter().enumerate() {
            out.extend([String::new(), format!("<sup>{}</sup> {}", i + 1, plain(note))]);
        }
        out.join("\n")
    }

    /// As HTML. It sets no colours of its own, so it reads on light and dark pages.
    pub fn to_html(&self) -> String {
        let (rows, notes) = self.numbered(|cell, number| {
            let text = escape(&cell.text);
            let text =
                if cell.struck { format!("<s style=\"opacity:.65\">{text}</s>") } else { text };
            number.map_or(text.clone(), |n| format!("{text}<sup>{n}</sup>"))
        });
        let cell = |tag: &str, column: usize, text: &str, line: &str| {
            let align = self.aligned(column).css();
            format!(
                "<{tag} align=\"{align}\" style=\"text-align:{align};padding:4px 12px;\
                 border-bottom:{line} solid rgba(128,128,128,.5)\">{text}</{tag}>"
            )
        };
        let mut out = String::from("<table style=\"border-collapse:collapse;margin:4px 0\">\n");
        if !self.caption.is_empty() {
            out += &format!(
                "<caption align=\"top\" style=\"caption-side:top;text-align:left;padding:4px 12px;\
                 font-weight:600\">{}</caption>\n",
                escape(&self.caption)
            );
        }
        out += "<thead><tr>";
        for (i, head) in self.headers.iter().enumerate() {
            out += &cell("th", i, &escape(head), "2px");
        }
        out += "</tr></thead>\n<tbody>\n";
        for row in &rows {
            out += "<tr>";
            for (i, text) in row.iter().enumerate() {
                out += &cell("td", i, text, "1px");
            }
            out += "</tr>\n";
        }
        out += "</tbody>\n</table>\n";
        for (i, note) in notes.iter().enumerate() {
            out += &format!(
                "<div style=\"font-size:90%;padding:0 12px\"><sup>{}</sup> {}</div>\n",
                i + 1,
                escape(note)
            );
        }
        out
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}

fn pad(text: &str, width: usize, align: Align) -> String {
    match align {
        Align::Left => format!("{text:<width$}"),
        Align::Right => format!("{text:>width$}"),
        Align::Centre => format!("{text:^width$}"),
    }
}

impl Rich for Table {
    fn bundle(&self) -> Bundle {
        Bundle::text(self.to_text()).html(self.to_html()).markdown(self.to_markdown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new(["library", "load [s]"])
            .numeric()
            .row([Cell::from("TensorFlow"), Cell::from(2.04)])
            .and_then(|t| t.row([Cell::from("a|b <i>"), Cell::struck("0.07", "lists files")]))
            .and_then(|t| t.row([Cell::from("Độ"), Cell::from("12.5").note("lists files")]))
            .expect("two cells a row")
    }

    #[test]
    fn text_is_aligned_and_notes_are_numbered() {
        let expected = "\
library       load [s]
----------  ----------
TensorFlow        2.04
a|b <i>     ~0.07~ [1]
Độ            12.5 [1]
[1] lists files";
        assert_eq!(table().to_text(), expected);
    }

    #[test]
    fn markdown_escapes_what_would_be_markup() {
        let markdown = table().caption("Load").to_markdown();
        assert!(markdown.starts_with("**Load**\n\n| library | load [s] |\n| :--- | ---: |\n"));
        assert!(markdown.contains("| a\\|b &lt;i&gt; | ~~0.07~~ <sup>1</sup> |"), "{markdown}");
    }

    #[test]
    fn html_escapes_and_strikes() {
        let html = table().to_html();
        assert!(html.contains("a|b &lt;i&gt;"), "{html}");
        assert!(html.contains("0.07</s><sup>1</sup>"), "{html}");
        assert_eq!(html.matches("lists files").count(), 1);
        assert!(!html.contains(";color:") && !html.contains("background"), "{html}");
    }
}
