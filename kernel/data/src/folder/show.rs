//! The display of image folders and splits: counts by split and class, and sample images.

use std::fmt::{self, Write};

use benchbook_display::{Bundle, Rich, escape};

use super::{ImageFolder, Layout};
use crate::grid::PictureGrid;
use crate::seed::{Purpose, generator};
use crate::split::{LISTED_CLASSES, Split, choose, span};

/// Images in the grid of a folder or split.
const SHOWN: usize = 12;
/// Number of ignored entries that are listed; the others are counted.
const NAMED: usize = 5;

impl Split {
    /// A grid of `count` images drawn with `seed`, equally many of each class, with class names as
    /// captions.
    pub fn grid(&self, count: usize, seed: u64) -> PictureGrid {
        let mut groups: Vec<_> =
            self.indices_by_class().into_iter().filter(|group| !group.is_empty()).collect();
        let share = count.div_ceil(groups.len().max(1));
        for (number, group) in groups.iter_mut().enumerate() {
            let random = generator(Purpose::Show, seed, 0, number as u64);
            *group = choose(std::mem::take(group), share, random);
        }
        let mut grid = PictureGrid::new();
        let turns = (0..share).flat_map(|turn| groups.iter().filter_map(move |g| g.get(turn)));
        for &index in turns.take(count) {
            let caption =
                self.label(index).map_or("unlabelled", |label| &self.class_names()[label]);
            let title = match self.path(index) {
                Some(path) => {
                    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
                }
                None => self.sample_name(index),
            };
            if let Some(picture) = self.picture(index) {
                grid = grid.with_picture(title, picture, caption);
            }
        }
        grid
    }
}

/// One row of the table: a split's name and its number of samples by column.
fn row(split: &Split, unlabelled: bool) -> Vec<String> {
    let mut cells = vec![split.name().to_string()];
    let counts = split.counts();
    if counts.len() > LISTED_CLASSES {
        cells.push(span(&counts));
    } else {
        cells.extend(counts.iter().map(usize::to_string));
    }
    if unlabelled {
        cells.push(split.unlabelled().to_string());
    }
    cells.push(split.len().to_string());
    cells
}

/// The head and the rows of the table of some splits with the same classes.
pub(crate) fn table(splits: &[&Split]) -> Vec<Vec<String>> {
    let unlabelled = splits.iter().any(|split| split.unlabelled() > 0);
    let mut head = vec!["split".to_string()];
    match splits.first().map_or(&[][..], |split| split.class_names()) {
        names if names.len() > LISTED_CLASSES => {
            head.push(format!("each of {} classes", names.len()));
        }
        names => head.extend(names.iter().cloned()),
    }
    if unlabelled {
        head.push("unlabelled".into());
    }
    head.push("total".into());
    let rows = splits.iter().map(|split| row(split, unlabelled));
    std::iter::once(head).chain(rows).collect()
}

pub(crate) fn table_text(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    let mut lines = Vec::new();
    for row in rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn table_html(rows: &[Vec<String>]) -> String {
    const CELL: &str = "padding:2px 12px 2px 0;color:inherit;background:none;border:none;\
                        border-bottom:1px solid rgba(128,128,128,.35)";
    let mut html = String::from(
        "<table style=\"color:inherit;font-size:13px;border-collapse:collapse;margin:4px 0\">",
    );
    for (number, row) in rows.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        html += "<tr style=\"background:none\">";
        for (column, cell) in row.iter().enumerate() {
            let side = if column == 0 { "left" } else { "right" };
            let cell = escape(cell);
            html += &format!("<{tag} style=\"text-align:{side};{CELL}\">{cell}</{tag}>");
        }
        html += "</tr>";
    }
    html + "</table>"
}

impl ImageFolder {
    fn splits(&self) -> Vec<&Split> {
        let all = [&self.train, &self.validation, &self.test];
        all.into_iter().filter(|split| !split.is_empty()).collect()
    }

    /// Notes that are not in the table, one per line.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some((fraction, seed)) = self.divided {
            let names = match self.layout {
                Layout::ClassFolders => "",
                Layout::Flat => "classes from file names; ",
            };
            let percent = fraction * 100.0;
            let place = if self.is_split { " of train/" } else { "" };
            remarks.push(format!(
                "{names}validation is {percent:.1} % of each class{place}, drawn with seed {seed}"
            ));
        }
        if !self.ignored.is_empty() {
            let mut line = format!("ignored {}:", self.ignored.len());
            for entry in self.ignored.iter().take(NAMED) {
                let path = entry.path.strip_prefix(&self.root).unwrap_or(&entry.path);
                // Writing to a string cannot fail.
                let _ = write!(line, " {} ({});", path.display(), entry.reason);
            }
            if self.ignored.len() > NAMED {
                line += " …";
            }
            remarks.push(line.trim_end_matches(';').to_string());
        }
        remarks
    }
}

impl fmt::Display for ImageFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image folder {}", self.root.display())?;
        write!(f, "{}", table_text(&table(&self.splits())))?;
        self.remarks().iter().try_for_each(|remark| write!(f, "\n{remark}"))
    }
}

/// Text and table of some splits, with a grid of samples of one of them.
pub(crate) fn bundle(text: &str, splits: &[&Split], shown: &Split, around: [&str; 2]) -> Bundle {
    let grid = shown.grid(SHOWN, 0);
    let [above, below] = around;
    let html = format!(
        "<div style=\"color:inherit\">{above}{}{below}{}</div>",
        table_html(&table(splits)),
        grid.html()
    );
    let samples = grid.text();
    let text =
        if samples.is_empty() { text.to_string() } else { format!("{text}\nsamples:\n{samples}") };
    Bundle::text(text).html(html)
}

impl Rich for ImageFolder {
    /// Counts, remarks and a grid of training images. The images are read when it is shown.
    fn bundle(&self) -> Bundle {
        let remark =
            |text: &String| format!("<div style=\"font-size:12px\">{}</div>", escape(text));
        let remarks: String = self.remarks().iter().map(remark).collect();
        let root = escape(&self.root.display().to_string());
        let above = format!("<div>image folder <code>{root}</code></div>");
        bundle(&self.to_string(), &self.splits(), &self.train, [&above, &remarks])
    }
}

impl Rich for Split {
    /// Counts and a grid of samples. Image files are read when it is shown.
    fn bundle(&self) -> Bundle {
        bundle(&self.to_string(), &[self], self, ["", ""])
    }
}
