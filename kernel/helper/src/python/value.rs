//! The form of each type in a file.

use super::CannotCross;
use std::io::{self, Read, Write};
use tch::{Device, Kind, TchError, Tensor};

/// A type whose values pass to Python.
pub trait ToPython {
    /// The name that Python knows the type by.
    fn type_name() -> String
    where
        Self: Sized;

    /// Writes the value.
    ///
    /// # Errors
    /// The file cannot be written, or a tensor has no counterpart.
    fn write(&self, file: &mut dyn Write) -> Result<(), Failure>;
}

/// A type whose values come from Python.
pub trait FromPython: Sized {
    /// The name that Python knows the type by.
    fn type_name() -> String;

    /// Reads a value.
    ///
    /// # Errors
    /// The file cannot be read, or LibTorch refuses the memory.
    fn read(file: &mut dyn Read) -> Result<Self, Failure>;
}

/// The error of a write or read, without the variable's name.
#[derive(Debug)]
pub enum Failure {
    /// An error of the file.
    File(io::Error),
    /// An error of LibTorch.
    Tensor(TchError),
    /// A kind that NumPy lacks, and one to convert to.
    Kind(Kind, Kind),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<TchError> for Failure {
    fn from(error: TchError) -> Self {
        Self::Tensor(error)
    }
}

impl Failure {
    pub(super) fn named(self, name: &str, action: &'static str, path: &str) -> CannotCross {
        let name = name.to_owned();
        match self {
            Self::File(source) => CannotCross::File { name, action, path: path.to_owned(), source },
            Self::Tensor(source) => CannotCross::Tensor { name, source },
            Self::Kind(found, instead) => CannotCross::Kind { name, found, instead },
        }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl ToPython for $number {
            fn type_name() -> String {
                stringify!($number).into()
            }

            fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
                Ok(file.write_all(&self.to_ne_bytes())?)
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

macro_rules! sizes {
    ($($size:ty as $number:ty),*) => {$(
        impl ToPython for $size {
            fn type_name() -> String {
                stringify!($number).into()
            }

            fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
                // No platform of LibTorch has more than 64 bits.
                (*self as $number).write(file)
            }
        }
    )*};
}

sizes!(isize as i64, usize as u64);

macro_rules! numbers_from_python {
    ($($number:ty),*) => {$(
        impl FromPython for $number {
            fn type_name() -> String {
                stringify!($number).into()
            }

            fn read(file: &mut dyn Read) -> Result<Self, Failure> {
                let mut bytes = [0; size_of::<$number>()];
                file.read_exact(&mut bytes)?;
                Ok(Self::from_ne_bytes(bytes))
            }
        }
    )*};
}

numbers_from_python!(i64, u64, f64);

impl ToPython for bool {
    fn type_name() -> String {
        "bool".into()
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
        u8::from(*self).write(file)
    }
}

impl FromPython for bool {
    fn type_name() -> String {
        "bool".into()
    }

    fn read(file: &mut dyn Read) -> Result<Self, Failure> {
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte != [0])
    }
}

impl ToPython for &str {
    fn type_name() -> String {
        "String".into()
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
        self.len().write(file)?;
        Ok(file.write_all(self.as_bytes())?)
    }
}

impl ToPython for String {
    fn type_name() -> String {
        "String".into()
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
        self.as_str().write(file)
    }
}

impl FromPython for String {
    fn type_name() -> String {
        "String".into()
    }

    fn read(file: &mut dyn Read) -> Result<Self, Failure> {
        let mut bytes = vec![0; read_length(file)?];
        file.read_exact(&mut bytes)?;
        Self::from_utf8(bytes).map_err(|wrong| io::Error::other(wrong).into())
    }
}

impl<T: ToPython> ToPython for Vec<T> {
    fn type_name() -> String {
        format!("Vec<{}>", T::type_name())
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
        write_elements(self, file)
    }
}

impl<T: ToPython, const N: usize> ToPython for [T; N] {
    fn type_name() -> String {
        format!("Vec<{}>", T::type_name())
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
        write_elements(self, file)
    }
}

fn write_elements<T: ToPython>(elements: &[T], file: &mut dyn Write) -> Result<(), Failure> {
    elements.len().write(file)?;
    elements.iter().try_for_each(|element| element.write(file))
}

impl<T: FromPython> FromPython for Vec<T> {
    fn type_name() -> String {
        format!("Vec<{}>", T::type_name())
    }

    fn read(file: &mut dyn Read) -> Result<Self, Failure> {
        (0..read_length(file)?).map(|_| T::read(file)).collect()
    }
}

pub(super) fn read_length(file: &mut dyn Read) -> Result<usize, Failure> {
    usize::try_from(u64::read(file)?).map_err(|wrong| io::Error::other(wrong).into())
}

/// The kinds that LibTorch and NumPy both have, with NumPy's names.
const KINDS: [(Kind, &str); 11] = [
    (Kind::Bool, "bool"),
    (Kind::Uint8, "uint8"),
    (Kind::Int8, "int8"),
    (Kind::Int16, "int16"),
    (Kind::Int, "int32"),
    (Kind::Int64, "int64"),
    (Kind::Half, "float16"),
    (Kind::Float, "float32"),
    (Kind::Double, "float64"),
    (Kind::ComplexFloat, "complex64"),
    (Kind::ComplexDouble, "complex128"),
];

impl ToPython for Tensor {
    fn type_name() -> String {
        "Tensor".into()
    }

    fn write(&self, file: &mut dyn Write) -> Result<(), Failure> {
        let kind = self.f_kind()?;
        let Some((_, name)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            let instead = if kind == Kind::ComplexHalf { Kind::ComplexFloat } else { Kind::Float };
            return Err(Failure::Kind(kind, instead));
        };
        // LibTorch may conjugate and negate lazily, when a value is read.
        let tensor =
            self.f_resolve_conj()?.f_resolve_neg()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        name.write(file)?;
        tensor.size().write(file)?;
        let length = tensor.numel() * kind.elt_size_in_bytes();
        if length > 0 {
            // SAFETY: the tensor is contiguous, in main memory, and outlives the slice; nothing writes to it meanwhile.
            let bytes =
                unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), length) };
            file.write_all(bytes)?;
        }
        Ok(())
    }
}

impl FromPython for Tensor {
    fn type_name() -> String {
        "Tensor".into()
    }

    fn read(file: &mut dyn Read) -> Result<Self, Failure> {
        let found = String::read(file)?;
        let Some((kind, _)) = KINDS.iter().find(|(_, name)| *name == found) else {
            return Err(io::Error::other(format!(
                "the dtype must be one that LibTorch and NumPy share, got {found}"
            ))
            .into());
        };
        let shape = Vec::<i64>::read(file)?;
        let tensor = Tensor::f_empty(shape, (*kind, Device::Cpu))?;
        let length = tensor.numel() * kind.elt_size_in_bytes();
        if length > 0 {
            // SAFETY: LibTorch has allocated these bytes for this tensor, which has no other owner yet.
            let bytes =
                unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), length) };
            file.read_exact(bytes)?;
        }
        Ok(tensor)
    }
}
