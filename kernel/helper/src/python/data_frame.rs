//! Named columns.

use super::CannotCross;
use super::value::{Failure, FromPython, ToPython, read_length};
use crate::chart::Table;
use crate::display::{Bundle, Rich};
use std::io::{self, Read, Write};

/// Named columns of equal length: the counterpart of a pandas `DataFrame`.
///
/// ```
/// use benchbook::python::DataFrame;
///
/// # fn main() -> Result<(), benchbook::python::CannotCross> {
/// let table = DataFrame::new()
///     .with("epoch", vec![1, 2])?
///     .with("loss", vec![0.7, 0.4])?;
/// assert_eq!(table.rows(), 2);
/// assert_eq!(table.column("loss").and_then(|column| column.floats()), Some(&[0.7, 0.4][..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataFrame {
    columns: Vec<(String, Column)>,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// From a column of dtype `bool`.
    Bool(Vec<bool>),
    /// From a column of integers of any size.
    Int(Vec<i64>),
    /// From a column of floats of any size.
    Float(Vec<f64>),
    /// From a column of strings.
    Text(Vec<String>),
}

impl DataFrame {
    /// No columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column, or replaces the one of this name.
    ///
    /// # Errors
    /// [`CannotCross::Rows`] if the first column has another length.
    pub fn with(mut self, name: &str, column: impl Into<Column>) -> Result<Self, CannotCross> {
        let column = column.into();
        if let Some((first, values)) = self.columns.first()
            && first != name
            && values.len() != column.len()
        {
            let (expected, found) = (values.len(), column.len());
            return Err(CannotCross::Rows { name: name.to_owned(), expected, found });
        }
        match self.columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = column,
            None => self.columns.push((name.to_owned(), column)),
        }
        Ok(self)
    }

    /// The column of this name; `None` if there is none.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column)
    }

    /// All columns in order, with their names.
    pub fn columns(&self) -> &[(String, Column)] {
        &self.columns
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }
}

impl Column {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, if they are of this type.
    pub fn bools(&self) -> Option<&[bool]> {
        if let Self::Bool(values) = self { Some(values) } else { None }
    }

    /// The values, if they are of this type.
    pub fn ints(&self) -> Option<&[i64]> {
        if let Self::Int(values) = self { Some(values) } else { None }
    }

    /// The values, if they are of this type.
    pub fn floats(&self) -> Option<&[f64]> {
        if let Self::Float(values) = self { Some(values) } else { None }
    }

    /// The values, if they are of this type.
    pub fn texts(&self) -> Option<&[String]> {
        if let Self::Text(values) = self { Some(values) } else { None }
    }

    /// The value in a row as text; empty beyond the last row.
    fn text(&self, row: usize) -> String {
        let text = match self {
            Self::Bool(values) => values.get(row).map(ToString::to_string),
            Self::Int(values) => values.get(row).map(ToString::to_string),
            Self::Float(values) => values.get(row).map(|value| format!("{value:?}")),
            Self::Text(values) => values.get(row).cloned(),
        };
        text.unwrap_or_default()
    }
}

macro_rules! columns {
    ($($variant:ident($value:ty)),*) => {
        $(impl From<Vec<$value>> for Column {
            fn from(values: Vec<$value>) -> Self {
                Self::$variant(values)
            }
        })*

        impl ToPython for DataFrame {
            fn type_name() -> String {
                "DataFrame".into()
            }

            fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
                self.columns.len().write(file)?;
                for (name, column) in &self.columns {
                    name.write(file)?;
                    match column {
                        $(Column::$variant(values) => {
                            <Vec<$value> as ToPython>::type_name().write(file)?;
                            values.write(file)?;
                        })*
                    }
                }
                Ok(())
            }
        }

        impl FromPython for Column {
            fn type_name() -> String {
                "Column".into()
            }

            fn read(file: &mut dyn Read) -> Result<Self, Failure> {
                let found = String::read(file)?;
                $(if found == <Vec<$value> as FromPython>::type_name() {
                    return Ok(Self::$variant(Vec::read(file)?));
                })*
                Err(io::Error::other(format!("the type of a column must be bool, i64, f64 or String, got {found}")).into())
            }
        }
    };
}

columns!(Bool(bool), Int(i64), Float(f64), Text(String));

impl FromPython for DataFrame {
    fn type_name() -> String {
        "DataFrame".into()
    }

    fn read(file: &mut dyn Read) -> Result<Self, Failure> {
        let columns =
            (0..read_length(file)?).map(|_| Ok((String::read(file)?, Column::read(file)?)));
        Ok(Self { columns: columns.collect::<Result<_, Failure>>()? })
    }
}

/// The rows that are shown.
const SHOWN: usize = 20;

impl Rich for DataFrame {
    fn bundle(&self) -> Bundle {
        let mut table = Table::new(self.columns.iter().map(|(name, _)| name.as_str()));
        for row in 0..self.rows().min(SHOWN) {
            let cells = self.columns.iter().map(|(_, column)| column.text(row));
            // Each row has one cell per column, so the table accepts it.
            table = table.clone().row(cells).unwrap_or(table);
        }
        let count = format!("{} rows, {} columns", self.rows(), self.columns.len());
        table.caption(count).bundle()
    }
}
