//! Python's pickle, as far as `torch.save` uses it, read as data: nothing in it is executed.
//!
//! Opcodes are those of Python's `pickletools`. What a file asks to be called is looked at by name;
//! the few functions of a state dict are understood, every other one becomes [`Value::Opaque`].

use std::collections::HashMap;
use std::io::{self, Read};
use std::rc::Rc;

/// A Python object.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    /// Wide enough for the magic number of PyTorch's old format, which has 80 bits.
    Int(i128),
    Text(Rc<str>),
    Tuple(Rc<[Value]>),
    /// An index into [`Pickle::lists`].
    List(usize),
    /// An index into [`Pickle::dicts`].
    Dict(usize),
    /// A function or class: `module.name`.
    Global(Rc<str>),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
    /// Something that a state dict does not need.
    Opaque,
}

/// A block of numbers that tensors are views of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    /// PyTorch's class, for example `FloatStorage`.
    pub kind: String,
    /// Its name within the file.
    pub key: String,
    /// Number of values of the whole block.
    pub length: usize,
    /// First value of this view of the block.
    pub offset: usize,
}

/// A tensor: some values of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub storage: Storage,
    /// Its first value, counted from the storage's first.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Values between two neighbours along each axis.
    pub strides: Vec<usize>,
}

/// What one pickle held.
#[derive(Debug)]
pub(super) struct Pickle {
    pub root: Value,
    pub lists: Vec<Vec<Value>>,
    pub dicts: Vec<Vec<(Value, Value)>>,
    /// Every storage that was named.
    pub storages: HashMap<String, Storage>,
}

/// Names of functions whose first argument is what they return.
const TRANSPARENT: [&str; 2] =
    ["torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"];
const TENSOR: [&str; 2] = ["torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"];
const ORDERED_DICT: &str = "collections.OrderedDict";

fn wrong(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

/// Reads one pickle up to its end and not a byte further.
///
/// # Errors
/// What the reader reports, and [`io::ErrorKind::InvalidData`] for what is no pickle of a state dict.
pub(super) fn read(input: &mut impl Read) -> io::Result<Pickle> {
    let mut machine = Machine {
        input,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        made: Pickle {
            root: Value::None,
            lists: Vec::new(),
            dicts: Vec::new(),
            storages: HashMap::new(),
        },
    };
    while machine.step()? {}
    machine.made.root = machine.pop()?;
    Ok(machine.made)
}

struct Machine<'a, R> {
    input: &'a mut R,
    stack: Vec<Value>,
    /// Lengths of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    made: Pickle,
}

impl<R: Read> Machine<'_, R> {
    /// One opcode; false after the last.
    fn step(&mut self) -> io::Result<bool> {
        match self.bytes::<1>()?[0] {
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top.clone(), top]);
            }
            b'N' => self.stack.push(Value::None),
            // True and False.
            0x88 | 0x89 => self.stack.push(Value::Opaque),
            b'J' => self.int::<4>(true)?,
            b'K' => self.int::<1>(false)?,
            b'M' => self.int::<2>(false)?,
            0x8a => {
                let length = self.length::<1>()?;
                self.long(length)?;
            }
            0x8b => {
                let length = self.length::<4>()?;
                self.long(length)?;
            }
            b'G' => {
                self.bytes::<8>()?;
                self.stack.push(Value::Opaque);
            }
            b'X' | b'T' => self.text::<4>()?,
            0x8c | b'U' => self.text::<1>()?,
            0x8d => self.text::<8>()?,
            b'C' => self.blob::<1>()?,
            b'B' => self.blob::<4>()?,
            0x8e => self.blob::<8>()?,
            b')' => self.stack.push(Value::Tuple(Rc::new([]))),
            b't' => {
                let values = self.marked()?;
                self.stack.push(Value::Tuple(values.into()));
            }
            count @ 0x85..=0x87 => {
                let at = self.at(usize::from(count) - 0x84)?;
                let values = self.stack.split_off(at);
                self.stack.push(Value::Tuple(values.into()));
            }
            b']' => self.list(Vec::new()),
            b'l' => {
                let values = self.marked()?;
                self.list(values);
            }
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.marked()?;
                self.append(values)?;
            }
            b'}' => self.dict(Vec::new()),
            b'd' => {
                let pairs = pairs(self.marked()?)?;
                self.dict(pairs);
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = pairs(self.marked()?)?;
                self.insert(pairs)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.stack.push(Value::Global(name.into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(name), Value::Text(module)) = (name, module) else {
                    return Err(wrong("a global without a name"));
                };
                self.stack.push(Value::Global(format!("{module}.{name}").into()));
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.call(&function, &arguments)?;
                self.stack.push(made);
            }
            // The state of an object; a state dict's own is the version of each module.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.stack.push(storage);
            }
            b'q' => self.remember::<1>()?,
            b'r' => self.remember::<4>()?,
            0x94 => {
                let next = self.memo.len() as u32;
                let top = self.pop()?;
                self.memo.insert(next, top.clone());
                self.stack.push(top);
            }
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,
            other => {
                return Err(wrong(format!(
                    "the pickle opcode 0x{other:02x}, which torch.save does not write"
                )));
            }
        }
        Ok(true)
    }

    fn call(&mut self, function: &Value, arguments: &Value) -> io::Result<Value> {
        let (Value::Global(name), Value::Tuple(arguments)) = (function, arguments) else {
            return Ok(Value::Opaque);
        };
        let name = &**name;
        if name == ORDERED_DICT {
            // Python 2 gives the pairs as a list of lists.
            let mut made = Vec::new();
            if let Some(Value::List(list)) = arguments.first() {
                for pair in self.made.lists[*list].clone() {
                    let pair = match &pair {
                        Value::List(pair) => self.made.lists[*pair].clone(),
                        Value::Tuple(pair) => pair.to_vec(),
                        _ => return Err(wrong("an OrderedDict of something other than pairs")),
                    };
                    made.extend(pairs(pair)?);
                }
            }
            self.made.dicts.push(made);
            return Ok(Value::Dict(self.made.dicts.len() - 1));
        }
        if TRANSPARENT.contains(&name) {
            return Ok(arguments.first().cloned().unwrap_or(Value::None));
        }
        if TENSOR.contains(&name) {
            let [Value::Storage(storage), offset, shape, strides, ..] = &arguments[..] else {
                return Err(wrong("a tensor without storage, offset, shape and strides"));
            };
            return Ok(Value::Tensor(Rc::new(View {
                storage: (**storage).clone(),
                offset: size(offset)?,
                shape: sizes(shape)?,
                strides: sizes(strides)?,
            })));
        }
        Ok(Value::Opaque)
    }

    /// `('storage', class, key, device, length)`, and in the old format a view of a block.
    fn storage(&mut self, id: &Value) -> io::Result<Value> {
        let Value::Tuple(parts) = id else { return Err(wrong("a persistent id that is no tuple")) };
        let [Value::Text(kind), Value::Global(class), Value::Text(key), _, length, rest @ ..] =
            &parts[..]
        else {
            // The old format also keeps the source of modules that were saved as a whole.
            return Ok(Value::Opaque);
        };
        if &**kind != "storage" {
            return Ok(Value::Opaque);
        }
        let offset = match rest.first() {
            Some(Value::Tuple(view)) if view.len() == 3 => size(&view[1])?,
            _ => 0,
        };
        let class = class.rsplit('.').next().unwrap_or_default();
        let storage =
            Storage { kind: class.into(), key: (**key).into(), length: size(length)?, offset };
        self.made.storages.insert(storage.key.clone(), storage.clone());
        Ok(Value::Storage(Rc::new(storage)))
    }

    fn list(&mut self, values: Vec<Value>) {
        self.made.lists.push(values);
        self.stack.push(Value::List(self.made.lists.len() - 1));
    }

    fn dict(&mut self, pairs: Vec<(Value, Value)>) {
        self.made.dicts.push(pairs);
        self.stack.push(Value::Dict(self.made.dicts.len() - 1));
    }

    fn append(&mut self, values: Vec<Value>) -> io::Result<()> {
        match self.stack.last() {
            Some(Value::List(list)) => self.made.lists[*list].extend(values),
            Some(_) => {}
            None => return Err(wrong("an append to nothing")),
        }
        Ok(())
    }

    fn insert(&mut self, pairs: Vec<(Value, Value)>) -> io::Result<()> {
        match self.stack.last() {
            Some(Value::Dict(dict)) => self.made.dicts[*dict].extend(pairs),
            Some(_) => {}
            None => return Err(wrong("an item of nothing")),
        }
        Ok(())
    }

    fn remember<const N: usize>(&mut self) -> io::Result<()> {
        let key = self.length::<N>()? as u32;
        let top = self.stack.last().ok_or_else(|| wrong("an empty stack"))?;
        self.memo.insert(key, top.clone());
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> io::Result<()> {
        let key = self.length::<N>()? as u32;
        let value = self.memo.get(&key).ok_or_else(|| wrong("a reference to nothing"))?;
        self.stack.push(value.clone());
        Ok(())
    }

    fn pop(&mut self) -> io::Result<Value> {
        self.stack.pop().ok_or_else(|| wrong("an empty stack"))
    }

    /// The stack's length without its last `count` values.
    fn at(&self, count: usize) -> io::Result<usize> {
        self.stack.len().checked_sub(count).ok_or_else(|| wrong("an empty stack"))
    }

    /// The values since the newest mark.
    fn marked(&mut self) -> io::Result<Vec<Value>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(|| wrong("a missing mark"))?))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn length<const N: usize>(&mut self) -> io::Result<usize> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.bytes::<N>()?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| wrong("a length beyond all files"))
    }

    fn int<const N: usize>(&mut self, signed: bool) -> io::Result<()> {
        let value = self.length::<N>()?;
        let value = if signed { i128::from(value as u32 as i32) } else { value as i128 };
        self.stack.push(Value::Int(value));
        Ok(())
    }

    /// A little-endian two's complement number.
    fn long(&mut self, length: usize) -> io::Result<()> {
        if length > 16 {
            return Err(wrong("a number of more than 128 bits"));
        }
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|top| *top >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..length].copy_from_slice(&bytes);
        self.stack.push(Value::Int(i128::from_le_bytes(wide)));
        Ok(())
    }

    fn text<const N: usize>(&mut self) -> io::Result<()> {
        let length = self.length::<N>()?;
        let text = String::from_utf8_lossy(&self.take(length)?).into_owned();
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn blob<const N: usize>(&mut self) -> io::Result<()> {
        let length = self.length::<N>()?;
        self.take(length)?;
        self.stack.push(Value::Opaque);
        Ok(())
    }

    /// As many bytes; memory grows with what is there, not with what a damaged length says.
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if self.input.by_ref().take(length as u64).read_to_end(&mut bytes)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            match self.bytes::<1>()?[0] {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() > 1000 => return Err(wrong("a name of more than 1,000 bytes")),
                byte => line.push(byte),
            }
        }
    }
}

fn pairs(values: Vec<Value>) -> io::Result<Vec<(Value, Value)>> {
    if !values.len().is_multiple_of(2) {
        return Err(wrong("a key without a value"));
    }
    Ok(values.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

fn size(value: &Value) -> io::Result<usize> {
    match value {
        Value::Int(value) => {
            usize::try_from(*value).map_err(|_| wrong(format!("the size {value}")))
        }
        _ => Err(wrong("a size that is no number")),
    }
}

fn sizes(value: &Value) -> io::Result<Vec<usize>> {
    match value {
        Value::Tuple(values) => values.iter().map(size).collect(),
        _ => Err(wrong("a shape that is no tuple")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pickle_is_an_error_and_never_a_panic() {
        for bytes in
            [&b""[..], b".", b"(", b"t.", b"\x80\x02R.", b"\x85.", b"h\x07.", b"Q.", b"}u.", b"s."]
        {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
        // A length of 4 GB without the bytes.
        assert!(read(&mut &b"X\xff\xff\xff\xff.."[..]).is_err());
    }

    #[test]
    fn calls_are_looked_at_and_not_made() {
        // pickle.dumps of an object whose __reduce__ is (os.system, ('true',)), protocol 2.
        let bytes = b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.";
        assert!(matches!(read(&mut &bytes[..]).unwrap().root, Value::Opaque));
    }
}
