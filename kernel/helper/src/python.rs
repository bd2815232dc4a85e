//! Passes values between a Python notebook and its `%%rust` cells, for `-i` and `-o`.
//!
//! | Python | Rust |
//! | --- | --- |
//! | NumPy array | [`Tensor`](tch::Tensor) of the same kind and shape |
//! | `bool`, `int`, `float` | `bool`, `i64`, `f64`; to Python also all other integers up to 64 bits and `f32` |
//! | `str` | `String`; to Python also `&str` |
//! | list of one of these, also nested | `Vec` of it; to Python also arrays |
//! | pandas `DataFrame` | [`DataFrame`] |
//!
//! The Python side is `kernel/python/benchbook/values.py`. It makes a file in memory for each value and generates the cells
//! that call [`receive`] and [`Outgoing::send`]. A file holds the name of the value's type, then the value:
//!
//! - a number: its bytes, in the machine's order; a `bool`: one byte
//! - `String`, `Vec`: the length as `u64`, then the bytes or elements
//! - `Tensor`: NumPy's name of the kind as `String`, the shape as `Vec<i64>`, the bytes in row-major order
//! - `DataFrame`: the number of columns as `u64`, then for each its name, the name of its type and the values

mod data_frame;
mod value;

pub use data_frame::{Column, DataFrame};
pub use value::{FromPython, ToPython};

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

/// Why a value does not pass between Python and Rust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotCross {
    /// The type has no counterpart in Python.
    #[error(
        "-o {name}: a value of type {found} does not pass to Python; these do: Tensor, bool, integers up to 64 bits, \
         f32, f64, String, Vec of these, and benchbook::python::DataFrame"
    )]
    Type {
        /// The variable.
        name: String,
        /// Its type.
        found: String,
    },
    /// The tensor's kind has no counterpart in NumPy.
    #[error(
        "-o {name}: NumPy has no counterpart of a tensor of kind {found:?}; convert it first: \
         `let {name} = {name}.to_kind(Kind::{instead:?});`"
    )]
    Kind {
        /// The variable.
        name: String,
        /// The tensor's kind.
        found: tch::Kind,
        /// A kind that NumPy has.
        instead: tch::Kind,
    },
    /// The columns have different lengths.
    #[error(
        "column `{name}` of a DataFrame: {expected} values expected, as in the first column; got {found}"
    )]
    Rows {
        /// The column.
        name: String,
        /// Values in the first column.
        expected: usize,
        /// Values in this column.
        found: usize,
    },
    /// LibTorch cannot make or copy the tensor.
    #[error("{name}: {source}")]
    Tensor {
        /// The variable.
        name: String,
        /// LibTorch's error.
        source: tch::TchError,
    },
    /// The file in memory cannot be opened, read or written.
    #[error("{name}: cannot {action} its file in memory, {path}: {source}")]
    File {
        /// The variable.
        name: String,
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads the value of the variable `name` that Python has written to `path`.
///
/// # Errors
/// [`CannotCross::File`], also for a value of another type; [`CannotCross::Tensor`].
pub fn receive<T: FromPython>(name: &str, path: &str) -> Result<T, CannotCross> {
    let failed = |source| value::Failure::from(source).named(name, "read", path);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let read = String::read(&mut file).and_then(|found| {
        if found != T::type_name() {
            let text = format!("expected {}, got {found}", T::type_name());
            return Err(std::io::Error::other(text).into());
        }
        T::read(&mut file)
    });
    read.map_err(|failure| failure.named(name, "read", path))
}

/// A variable that goes to Python. The inherent method [`Outgoing::send`] exists for types with [`ToPython`] and takes
/// precedence over the method of [`Refuse`], which exists for all types.
pub struct Outgoing<'a, T: ?Sized>(pub &'a T);

impl<T: ToPython> Outgoing<'_, T> {
    /// Writes the value of the variable `name` to `path`.
    ///
    /// # Errors
    /// [`CannotCross`].
    pub fn send(&self, name: &str, path: &str) -> Result<(), CannotCross> {
        send(self.0, &T::type_name(), name, path)
    }
}

/// Refuses the types that do not pass to Python.
pub trait Refuse {
    /// Fails with the variable's type.
    ///
    /// # Errors
    /// [`CannotCross::Type`].
    fn send(&self, name: &str, path: &str) -> Result<(), CannotCross>;
}

impl<T: ?Sized> Refuse for Outgoing<'_, T> {
    fn send(&self, name: &str, _path: &str) -> Result<(), CannotCross> {
        let found = crate::worker::short(std::any::type_name::<T>());
        Err(CannotCross::Type { name: name.to_owned(), found })
    }
}

fn send(value: &dyn ToPython, type_name: &str, name: &str, path: &str) -> Result<(), CannotCross> {
    let failed = |source| value::Failure::from(source).named(name, "write", path);
    let file = File::options().write(true).open(path).map_err(failed)?;
    let mut file = BufWriter::new(file);
    type_name
        .write(&mut file)
        .and_then(|()| value.write(&mut file))
        .map_err(|failure| failure.named(name, "write", path))?;
    file.flush().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::{Refuse as _, *};
    use crate::tch::{Device, Kind, Tensor};

    /// Sends a value and returns the file that holds it.
    macro_rules! sent {
        ($value:expr) => {{
            let file = tempfile::NamedTempFile::new().unwrap();
            let value = $value;
            Outgoing(&value).send("x", file.path().to_str().unwrap()).map(|()| file)
        }};
    }

    fn received<T: FromPython>(file: &tempfile::NamedTempFile) -> T {
        receive("x", file.path().to_str().unwrap()).unwrap()
    }

    #[test]
    fn what_was_sent_is_received() {
        assert!(received::<bool>(&sent!(true).unwrap()));
        assert_eq!(received::<i64>(&sent!(i64::MIN).unwrap()), i64::MIN);
        assert!(received::<f64>(&sent!(f64::NAN).unwrap()).is_nan());
        assert_eq!(received::<String>(&sent!("ünï").unwrap()), "ünï");
        let nested = vec![vec!["a".to_owned()], vec![]];
        assert_eq!(received::<Vec<Vec<String>>>(&sent!(nested.clone()).unwrap()), nested);
        let table =
            DataFrame::new().with("n", vec![1, 2]).unwrap().with("b", vec![true, false]).unwrap();
        assert_eq!(received::<DataFrame>(&sent!(table.clone()).unwrap()), table);
    }

    #[test]
    fn tensors_keep_kind_shape_and_logical_order() {
        let whole = Tensor::arange(6, (Kind::Int16, Device::Cpu)).reshape([2, 3]);
        for tensor in [
            whole.shallow_clone(),
            whole.tr(),
            whole.get(1),
            whole.get(1).get(1),
            whole.narrow(0, 1, 0),
        ] {
            let file = sent!(tensor.shallow_clone()).unwrap();
            let back: Tensor = received(&file);
            assert_eq!((back.kind(), back.size()), (tensor.kind(), tensor.size()));
            assert!(back.equal(&tensor), "{back} for {tensor}");
        }
        let complex =
            Tensor::complex(&Tensor::from_slice(&[1.0]), &Tensor::from_slice(&[2.0])).conj();
        let back: Tensor = received(&sent!(complex).unwrap());
        assert_eq!(f64::try_from(back.imag()).unwrap(), -2.0);
    }

    #[test]
    fn other_types_and_kinds_are_named() {
        struct Mine;
        let text = sent!(Mine).unwrap_err().to_string();
        assert!(text.starts_with("-o x: a value of type Mine does not pass to Python"), "{text}");
        let text =
            sent!(Tensor::zeros([1], (Kind::BFloat16, Device::Cpu))).unwrap_err().to_string();
        assert!(text.contains("BFloat16") && text.contains("to_kind(Kind::Float)"), "{text}");
    }

    #[test]
    fn another_type_than_expected_and_a_missing_file_are_named() {
        let file = sent!(1.5).unwrap();
        let text = receive::<i64>("x", file.path().to_str().unwrap()).unwrap_err().to_string();
        assert!(text.contains("expected i64, got f64"), "{text}");
        let text = receive::<i64>("x", "/nowhere").unwrap_err().to_string();
        assert!(text.starts_with("x: cannot read its file in memory, /nowhere"), "{text}");
    }
}
