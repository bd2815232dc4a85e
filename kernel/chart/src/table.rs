use std::path::Path;

use benchbook_display::{Bundle, Rich, escape};
use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr;

use crate::error::{Error, Result, same_length};
use crate::numbers::commas;

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

/// A table that shows itself as aligned text, HTML or Markdown, and can be written as CSV.
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
                let cells = rows.iter().map(|row| row[column].width());
                cells.chain([self.headers[column].width()]).max().unwrap_or(0)
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

    /// As comma-separated values after RFC 4180, heads first, lines ended by `\n`; notes and caption are left out. Struck
    /// cells are written `~2.04~`, so that no program takes them for numbers.
    pub fn to_csv(&self) -> String {
        let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let heads: Vec<String> = self.headers.iter().map(|head| field(head)).collect();
        let mut out = heads.join(",") + "\n";
        for row in &self.rows {
            let cells = row.iter().map(|cell| match cell.struck {
                true => field(&format!("~{}~", cell.text)),
                false => field(&cell.text),
            });
            out += &(cells.collect::<Vec<_>>().join(",") + "\n");
        }
        out
    }

    /// Writes [`Table::to_csv`] into a file, in UTF-8, over one that is there.
    ///
    /// # Errors
    /// [`Error::Write`] when the file cannot be written.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_csv())
            .map_err(|error| Error::Write { path: path.to_owned(), why: error.to_string() })
    }

    /// The table as a notebook shows it: of more than 60 rows the first and last five, and how many there are.
    fn abbreviated(&self) -> Option<(Self, String)> {
        const MOST: usize = 60;
        const ENDS: usize = 5;
        let count = self.rows.len();
        if count <= MOST {
            return None;
        }
        let mut rows = self.rows[..ENDS].to_vec();
        rows.push(vec![Cell::from("…"); self.headers.len()]);
        rows.extend_from_slice(&self.rows[count - ENDS..]);
        let note = format!(
            "{} rows; `to_text()`, `to_html()` and `write_csv(path)` give them all",
            commas(&count.to_string())
        );
        Some((Self { rows, ..self.clone() }, note))
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

/// Fills up to a width in columns of a terminal, of which a Chinese character takes two.
fn pad(text: &str, width: usize, align: Align) -> String {
    let missing = width.saturating_sub(text.width());
    let before = match align {
        Align::Left => 0,
        Align::Right => missing,
        Align::Centre => missing / 2,
    };
    format!("{}{text}{}", " ".repeat(before), " ".repeat(missing - before))
}

impl Rich for Table {
    fn bundle(&self) -> Bundle {
        let Some((shown, note)) = self.abbreviated() else {
            return Bundle::text(self.to_text()).html(self.to_html()).markdown(self.to_markdown());
        };
        Bundle::text(format!("{}\n{note}", shown.to_text()))
            .html(format!("{}<div>{}</div>\n", shown.to_html(), note.replace('`', "")))
            .markdown(format!("{}\n\n{note}", shown.to_markdown()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

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
        assert_snapshot!(table().to_text(), @"
        library       load [s]
        ----------  ----------
        TensorFlow        2.04
        a|b <i>     ~0.07~ [1]
        Độ            12.5 [1]
        [1] lists files
        ");
    }

    #[test]
    fn markdown_escapes_what_would_be_markup() {
        assert_snapshot!(table().caption("Load").to_markdown(), @r"
        **Load**

        | library | load [s] |
        | :--- | ---: |
        | TensorFlow | 2.04 |
        | a\|b &lt;i&gt; | ~~0.07~~ <sup>1</sup> |
        | Độ | 12.5 <sup>1</sup> |

        <sup>1</sup> lists files
        ");
    }

    #[test]
    fn csv_can_be_read_back() {
        let table = Table::new(["name", "say"])
            .row([Cell::from("a, b"), Cell::from("\"so\"\nand so")])
            .and_then(|t| t.row([Cell::from("猫"), Cell::struck("2.04", "why")]))
            .expect("two cells a row");
        assert_snapshot!(table.to_csv(), @r#"
        name,say
        "a, b","""so""
        and so"
        猫,~2.04~
        "#);
        let error = table.write_csv("no/such/folder/t.csv").expect_err("no such folder");
        assert!(error.to_string().starts_with("no/such/folder/t.csv cannot be written"), "{error}");
    }

    #[test]
    fn chinese_characters_take_two_columns() {
        let table = Table::new(["类", "count"]).numeric();
        let table =
            table.row(["猫和狗", "9"]).and_then(|t| t.row(["cat", "12"])).expect("two cells");
        assert_snapshot!(table.to_text(), @"
        类      count
        ------  -----
        猫和狗      9
        cat        12
        ");
    }

    #[test]
    fn a_long_table_shows_its_ends_and_says_how_many_rows_it_has() {
        let mut table = Table::new(["i"]);
        for i in 0..1000 {
            table.push(vec![Cell::from(i)]);
        }
        assert_snapshot!(table.bundle().plain(), @"
        i
        ---
        0
        1
        2
        3
        4
        …
        995
        996
        997
        998
        999
        1000 rows; `to_text()`, `to_html()` and `write_csv(path)` give them all
        ");
        assert_eq!(table.to_text().lines().count(), 1002);
    }

    #[test]
    fn html_escapes_and_strikes() {
        // Without colours, so that it fits a dark page.
        assert_snapshot!(table().to_html(), @r#"
        <table style="border-collapse:collapse;margin:4px 0">
        <thead><tr><th align="left" style="text-align:left;padding:4px 12px;border-bottom:2px solid rgba(128,128,128,.5)">library</th><th align="right" style="text-align:right;padding:4px 12px;border-bottom:2px solid rgba(128,128,128,.5)">load [s]</th></tr></thead>
        <tbody>
        <tr><td align="left" style="text-align:left;padding:4px 12px;border-bottom:1px solid rgba(128,128,128,.5)">TensorFlow</td><td align="right" style="text-align:right;padding:4px 12px;border-bottom:1px solid rgba(128,128,128,.5)">2.04</td></tr>
        <tr><td align="left" style="text-align:left;padding:4px 12px;border-bottom:1px solid rgba(128,128,128,.5)">a|b &lt;i&gt;</td><td align="right" style="text-align:right;padding:4px 12px;border-bottom:1px solid rgba(128,128,128,.5)"><s style="opacity:.65">0.07</s><sup>1</sup></td></tr>
        <tr><td align="left" style="text-align:left;padding:4px 12px;border-bottom:1px solid rgba(128,128,128,.5)">Độ</td><td align="right" style="text-align:right;padding:4px 12px;border-bottom:1px solid rgba(128,128,128,.5)">12.5<sup>1</sup></td></tr>
        </tbody>
        </table>
        <div style="font-size:90%;padding:0 12px"><sup>1</sup> lists files</div>
        "#);
    }
}
