"""Values that pass between Python and Rust, by `%%rust -i` and `-o`.

Each value is written to a file in memory, which the Rust side opens by its path under `/proc`. These files have no
name in a folder, so none has to be removed, and the limit of `/dev/shm` does not apply. The Rust side,
`kernel/helper/src/python.rs`, describes their format.
"""

import os
import struct
import sys
from array import array

# Rust's numbers and their codes in `array` and `struct`.
NUMBERS = {
    **{"i8": "b", "i16": "h", "i32": "i", "i64": "q"},
    **{"u8": "B", "u16": "H", "u32": "I", "u64": "Q"},
    **{"f32": "f", "f64": "d"},
}
DTYPES = "bool uint8 int8 int16 int32 int64 float16 float32 float64 complex64 complex128".split()
CONVERT_TO = {"uint16": "int32", "uint32": "int64", "uint64": "int64", "longdouble": "float64", "clongdouble": "complex128"}
CROSSES = "NumPy arrays, bool, int, float, str, lists of one of these types, and pandas DataFrames do"
# Full paths, because the user may have types of the same names.
PATHS = {"Tensor": "benchbook::tch::Tensor", "DataFrame": "benchbook::python::DataFrame"}
ADVICE = {
    "tuple": "convert it: list({name})",
    "range": "convert it: list({name})",
    "Tensor": "convert it: {name}.detach().cpu().numpy()",
    "Series": "convert it: {name}.to_numpy(), or {name}.to_frame()",
    "Index": "convert it: {name}.to_numpy()",
    "datetime64": "convert it: str({name})",
    "timedelta64": "convert it: {name} / numpy.timedelta64(1, 's') is a float",
    "dict": "make a DataFrame of it, or pass its values one by one",
    "NoneType": "leave it out",
}


class CannotCross(Exception):
    """A value that has no counterpart on the other side."""


class MemoryFile:
    """A file in memory, freed when its last handle is closed."""

    def __init__(self, chunks=()) -> None:
        self.file = open(os.memfd_create("benchbook"), "r+b", buffering=0)
        self.path = f"/proc/{os.getpid()}/fd/{self.file.fileno()}"
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest.nbytes:
                # One call writes at most 2 GiB.
                rest = rest[self.file.write(rest) :]

    def __enter__(self) -> "MemoryFile":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()


def encode(name: str, value) -> tuple[str, list]:
    """Returns the Rust type of a variable's value and the chunks to write.

    Raises `CannotCross` with the variable and the conversion.
    """
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    try:
        if numpy and isinstance(value, numpy.ndarray):
            kind, chunks = "Tensor", _tensor(numpy, value)
        elif pandas and isinstance(value, pandas.DataFrame):
            kind, chunks = "DataFrame", _data_frame(pandas, value)
        else:
            kind = _type(value)
            chunks = [_encoded(value, kind)]
    except CannotCross as problem:
        raise CannotCross(f"-i {name}: {str(problem).replace('{name}', name)}") from None
    return PATHS.get(kind, kind), [_encoded(kind, "String"), *chunks]


def _type(value) -> str:
    """The Rust type of a number, a text or a list."""
    kind = type(value)
    # NumPy's dates and durations would become numbers of nanoseconds.
    if kind.__module__ == "numpy" and hasattr(value, "item") and value.dtype.kind in "biufU":
        value = value.item()
    for python, rust in ((bool, "bool"), (int, "i64"), (float, "f64"), (str, "String")):
        if isinstance(value, python):
            return rust
    if not isinstance(value, list):
        advice = ADVICE.get(kind.__name__)
        raise CannotCross(f"a value of type {kind.__name__} does not pass to Rust; {advice or CROSSES}")
    if not value:
        raise CannotCross("an empty list has no element type; write it in Rust, such as `let {name} = Vec::<f64>::new();`")
    kinds = sorted({_type(item) for item in value})
    if len(kinds) > 1:
        raise CannotCross(f"the list mixes {' and '.join(kinds)}; convert its elements to one type, such as [float(x) for x in {{name}}]")
    return f"Vec<{kinds[0]}>"


def _encoded(value, kind: str) -> bytes:
    try:
        if kind == "String":
            text = value.encode()
            return struct.pack("=Q", len(text)) + text
        if kind == "bool":
            return struct.pack("?", value)
        if not kind.startswith("Vec<"):
            return struct.pack("=" + NUMBERS[kind], value)
        element = kind[4:-1]
        if element == "bool":
            elements = bytes(map(bool, value))
        elif element in NUMBERS:
            elements = array(NUMBERS[element], value).tobytes()
        else:
            elements = b"".join(_encoded(item, element) for item in value)
        return struct.pack("=Q", len(value)) + elements
    except (OverflowError, struct.error):
        raise CannotCross("an int is beyond the range of i64; convert it to float or str") from None
    except UnicodeEncodeError:
        raise CannotCross("the text has surrogates, which a String of Rust cannot hold") from None


def _tensor(numpy, values) -> list:
    dtype = values.dtype.name
    if isinstance(values, numpy.ma.MaskedArray):
        raise CannotCross("a masked array does not pass to Rust; convert it: {name}.filled(…)")
    if dtype not in DTYPES:
        target = CONVERT_TO.get(values.dtype.type.__name__)
        advice = f"convert it: {{name}}.astype('{target}')" if target else f"an array must be of {', '.join(DTYPES)}"
        raise CannotCross(f"an array of dtype {dtype} does not pass to Rust; {advice}")
    head = _encoded(dtype, "String") + _encoded(list(values.shape), "Vec<i64>")
    values = numpy.asarray(values, dtype=values.dtype.newbyteorder("="), order="C")
    return [head, values.reshape(-1).view(numpy.uint8)]


def _data_frame(pandas, table) -> list:
    if not table.index.equals(pandas.RangeIndex(len(table))):
        raise CannotCross("the DataFrame's index would be lost; make it a column with {name}.reset_index(), or leave it out with drop=True")
    chunks = [struct.pack("=Q", table.shape[1])]
    for position, name in enumerate(table.columns):
        if not isinstance(name, str) or list(table.columns).count(name) > 1:
            raise CannotCross(f"column names must be unique strings; got {name!r}")
        kind, values = _column(pandas, name, table.iloc[:, position])
        chunks += [_encoded(name, "String") + _encoded(kind, "String") + struct.pack("=Q", len(table)), values]
    return chunks


def _column(pandas, name: str, column) -> tuple[str, bytes]:
    kind = "category" if isinstance(column.dtype, pandas.CategoricalDtype) else column.dtype.kind
    if column.isna().any() and kind != "f":
        raise CannotCross(f"the column {name!r} of dtype {column.dtype} has missing values; fill or drop them")
    if kind == "b":
        return "Vec<bool>", column.to_numpy("bool").tobytes()
    if kind in "iu" and not (kind == "u" and len(column) and column.max() >= 2**63):
        return "Vec<i64>", column.to_numpy("int64").tobytes()
    if kind == "f":
        return "Vec<f64>", column.to_numpy("float64", na_value=float("nan")).tobytes()
    if kind == "O" and all(isinstance(item, str) for item in column):
        return "Vec<String>", b"".join(_encoded(item, "String") for item in column)
    raise CannotCross(
        f"the column {name!r} of dtype {column.dtype} does not pass to Rust; convert it to bool, int64, float64 or str with astype"
    )


def decode(name: str, memory: MemoryFile):
    """Reads a value that Rust wrote.

    Raises `CannotCross` if the package that it needs is missing.
    """
    with open(memory.file.fileno(), "rb", closefd=False) as file:
        file.seek(0)
        kind = _decoded(file, "String")
        try:
            if kind == "Tensor":
                return _array(file)
            if kind == "DataFrame":
                return _frame(file)
        except ImportError as missing:
            raise CannotCross(f"-o {name}: a {kind} needs the package {missing.name}: %pip install {missing.name}") from None
        return _decoded(file, kind)


def _length(file) -> int:
    return struct.unpack("=Q", file.read(8))[0]


def _decoded(file, kind: str):
    if kind == "String":
        return file.read(_length(file)).decode()
    if kind == "bool":
        return file.read(1) != b"\0"
    if not kind.startswith("Vec<"):
        code = NUMBERS[kind]
        return struct.unpack("=" + code, file.read(struct.calcsize("=" + code)))[0]
    element, length = kind[4:-1], _length(file)
    if element == "bool":
        return [byte != 0 for byte in file.read(length)]
    if element in NUMBERS:
        numbers = array(NUMBERS[element])
        numbers.frombytes(file.read(length * numbers.itemsize))
        return numbers.tolist()
    return [_decoded(file, element) for _ in range(length)]


def _array(file):
    import numpy

    dtype = _decoded(file, "String")
    values = numpy.empty(_decoded(file, "Vec<i64>"), dtype)
    file.readinto(values.reshape(-1).view(numpy.uint8))
    return values


def _frame(file):
    import numpy
    import pandas

    columns = {}
    for _ in range(_length(file)):
        name, kind = _decoded(file, "String"), _decoded(file, "String")
        if kind == "Vec<String>":
            columns[name] = _decoded(file, kind)
        else:
            dtype = numpy.dtype({"Vec<bool>": "bool", "Vec<i64>": "int64", "Vec<f64>": "float64"}[kind])
            columns[name] = numpy.frombuffer(bytearray(file.read(_length(file) * dtype.itemsize)), dtype)
    return pandas.DataFrame(columns)
