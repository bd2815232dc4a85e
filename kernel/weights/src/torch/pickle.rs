//! Python's pickle, as far as `torch.save` uses it, read as data: nothing in it is executed.
//!
//! Opcodes are those of Python's `pickletools`. What a file asks to be called is looked at by name;
//! the few functions of a state dict are understood, every other one becomes [`Value::Opaque`].
//!
//! A pickle may nest as deep as it likes: what contains values holds an index, so that nothing is visited or dropped
//! recursively. What is made of one byte takes a bounded number of bytes of memory ([`LIMIT`], [`CONTAINERS`], [`NAME`], [`AXES`]), also
//! where a pickle names the same object again and again.

use std::collections::HashMap;
use std::io::{self, Read};
use std::rc::Rc;

/// A Python object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Int(i64),
    /// A number of more than 64 bits, such as the magic number of PyTorch's old format with its 80.
    Large(Rc<i128>),
    Text(Rc<str>),
    /// An index into [`Pickle::containers`].
    Tuple(usize),
    /// As [`Value::Tuple`].
    List(usize),
    /// As [`Value::Tuple`]; each key is followed by its value.
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
    pub key: Rc<str>,
    /// Number of values of the whole block.
    pub length: usize,
    /// First value of this view of the block.
    pub offset: usize,
}

/// A tensor: some values of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub storage: Rc<Storage>,
    /// Its first value, counted from the storage's first.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Values between two neighbours along each axis.
    pub strides: Vec<usize>,
}

/// The content of one pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    pub root: Value,
    /// The values of tuples, lists and dictionaries.
    pub containers: Vec<Vec<Value>>,
    /// Every storage that the pickle names.
    pub storages: HashMap<Rc<str>, Rc<Storage>>,
}

impl Pickle {
    /// The keys and values of a [`Value::Dict`].
    pub fn pairs(&self, dict: usize) -> impl Iterator<Item = &[Value; 2]> {
        self.containers[dict].as_chunks().0.iter()
    }
}

/// Bytes of one pickle. A tensor takes some 200 of them.
const LIMIT: u64 = 4 << 20;
/// Tuples, lists and dictionaries of one pickle. A tensor has five. With [`LIMIT`], a pickle takes at most 300 MB of
/// memory.
const CONTAINERS: usize = 500_000;
/// Bytes of the name of a class, function or storage.
const NAME: usize = 1000;
/// Axes of a tensor; PyTorch itself allows 64.
const AXES: usize = 64;

/// Names of functions that return their first argument.
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
/// Errors of the reader, and [`io::ErrorKind::InvalidData`] for anything that is not a pickle of a
/// state dict or exceeds a limit.
pub(super) fn read(input: &mut impl Read) -> io::Result<Pickle> {
    let mut machine = Machine {
        input,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        left: LIMIT,
        made: Pickle { root: Value::None, containers: Vec::new(), storages: HashMap::new() },
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
    /// Bytes that may still be read.
    left: u64,
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
            b')' => self.container(Value::Tuple, Vec::new())?,
            b']' => self.container(Value::List, Vec::new())?,
            b'}' => self.container(Value::Dict, Vec::new())?,
            opcode @ (b't' | b'l' | b'd') => {
                let values = self.marked()?;
                let kind = match opcode {
                    b't' => Value::Tuple,
                    b'l' => Value::List,
                    _ => Value::Dict,
                };
                self.container(kind, values)?;
            }
            count @ 0x85..=0x87 => {
                let values = self.last(usize::from(count) - 0x84)?;
                self.container(Value::Tuple, values)?;
            }
            b'a' => {
                let value = self.last(1)?;
                self.extend(Value::List, value)?;
            }
            b'e' => {
                let values = self.marked()?;
                self.extend(Value::List, values)?;
            }
            b's' => {
                let pair = self.last(2)?;
                self.extend(Value::Dict, pair)?;
            }
            b'u' => {
                let pairs = self.marked()?;
                self.extend(Value::Dict, pairs)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let name = format!("{module}.{name}");
                self.stack.push(Value::Global(name.into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(name), Value::Text(module)) = (name, module) else {
                    return Err(wrong("a global without a name"));
                };
                if name.len() + module.len() > NAME {
                    return Err(wrong(format!("a name of more than {NAME} bytes")));
                }
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
            // Python 2 stores the pairs as a list of lists. A list yields its pairs only once, so
            // that repeated references take no more memory; torch.save never uses a list twice.
            let mut made = Vec::new();
            if let Some(Value::List(list)) = self.made.containers[*arguments].first() {
                let list = *list;
                for pair in std::mem::take(&mut self.made.containers[list]) {
                    let pair = match &pair {
                        Value::List(pair) | Value::Tuple(pair) => &self.made.containers[*pair][..],
                        _ => &[],
                    };
                    if pair.len() != 2 {
                        return Err(wrong("an OrderedDict of something other than pairs"));
                    }
                    made.extend_from_slice(pair);
                }
            }
            self.container(Value::Dict, made)?;
            return self.pop();
        }
        let arguments = &self.made.containers[*arguments];
        if TRANSPARENT.contains(&name) {
            return Ok(arguments.first().cloned().unwrap_or(Value::None));
        }
        if TENSOR.contains(&name) {
            let [Value::Storage(storage), offset, shape, strides, ..] = &arguments[..] else {
                return Err(wrong("a tensor without storage, offset, shape and strides"));
            };
            return Ok(Value::Tensor(Rc::new(View {
                storage: Rc::clone(storage),
                offset: size(offset)?,
                shape: self.sizes(shape)?,
                strides: self.sizes(strides)?,
            })));
        }
        Ok(Value::Opaque)
    }

    /// `('storage', class, key, device, length)`, and in the old format a view of a block.
    fn storage(&mut self, id: &Value) -> io::Result<Value> {
        let Value::Tuple(parts) = id else { return Err(wrong("a persistent id that is no tuple")) };
        let [Value::Text(kind), Value::Global(class), Value::Text(key), _, length, rest @ ..] =
            &self.made.containers[*parts][..]
        else {
            // The old format also keeps the source of modules that were saved as a whole.
            return Ok(Value::Opaque);
        };
        if &**kind != "storage" {
            return Ok(Value::Opaque);
        }
        let offset = match rest.first() {
            Some(Value::Tuple(view)) => match &self.made.containers[*view][..] {
                [_, offset, _] => size(offset)?,
                _ => 0,
            },
            _ => 0,
        };
        let class = class.rsplit('.').next().unwrap_or_default();
        let storage =
            Storage { kind: class.into(), key: Rc::clone(key), length: size(length)?, offset };
        let storage = Rc::new(storage);
        self.made.storages.insert(Rc::clone(&storage.key), Rc::clone(&storage));
        Ok(Value::Storage(storage))
    }

    fn sizes(&self, value: &Value) -> io::Result<Vec<usize>> {
        match value {
            Value::Tuple(values) if self.made.containers[*values].len() <= AXES => {
                self.made.containers[*values].iter().map(size).collect()
            }
            Value::Tuple(_) => Err(wrong(format!("a tensor of more than {AXES} axes"))),
            _ => Err(wrong("a shape that is no tuple")),
        }
    }

    /// Pushes a new container.
    fn container(&mut self, kind: fn(usize) -> Value, values: Vec<Value>) -> io::Result<()> {
        let made = kind(self.made.containers.len());
        if self.made.containers.len() == CONTAINERS {
            return Err(wrong(format!(
                "a pickle of more than {CONTAINERS} tuples, lists and dictionaries"
            )));
        }
        self.made.containers.push(Vec::new());
        self.stack.push(made);
        self.extend(kind, values)
    }

    /// Adds values to the container on top of the stack; an object of another kind takes none.
    fn extend(&mut self, kind: fn(usize) -> Value, values: Vec<Value>) -> io::Result<()> {
        let top = self.stack.last().ok_or_else(|| wrong("an item of nothing"))?;
        if matches!(kind(0), Value::Dict(_)) && !values.len().is_multiple_of(2) {
            return Err(wrong("a key without a value"));
        }
        match top {
            Value::Tuple(at) | Value::List(at) | Value::Dict(at) if *top == kind(*at) => {
                self.made.containers[*at].extend(values);
            }
            _ => {}
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

    /// Takes the last `count` values.
    fn last(&mut self, count: usize) -> io::Result<Vec<Value>> {
        let at = self.stack.len().checked_sub(count).ok_or_else(|| wrong("an empty stack"))?;
        Ok(self.stack.split_off(at))
    }

    /// The values since the newest mark.
    fn marked(&mut self) -> io::Result<Vec<Value>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(|| wrong("a missing mark"))?))
    }

    /// Counts bytes before they are read.
    fn count(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| wrong(format!("a pickle of more than {LIMIT} bytes")))?;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.count(N as u64)?;
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
        let value = if signed { i64::from(value as u32 as i32) } else { value as i64 };
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
        let value = i128::from_le_bytes(wide);
        self.stack.push(match i64::try_from(value) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::Large(Rc::new(value)),
        });
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

    /// Reads bytes; memory grows with the available bytes, not with the length that a damaged file states.
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.count(length as u64)?;
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
                _ if line.len() >= NAME => {
                    return Err(wrong(format!("a name of more than {NAME} bytes")));
                }
                byte => line.push(byte),
            }
        }
    }
}

fn size(value: &Value) -> io::Result<usize> {
    match value {
        Value::Int(value) => {
            usize::try_from(*value).map_err(|_| wrong(format!("the size {value}")))
        }
        _ => Err(wrong("a size that is no number")),
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
    fn a_pickle_may_nest_deeper_than_the_stack_is() {
        // (((…))) and [[[…]]] of 400,000 levels, whose recursive drop would need 40 MB of stack.
        const LEVELS: usize = 400_000;
        let tuples = [b")".to_vec(), b"\x85".repeat(LEVELS), b".".to_vec()].concat();
        let lists = [b"]".repeat(LEVELS), b"a".repeat(LEVELS - 1), b".".to_vec()].concat();
        for bytes in [tuples, lists] {
            drop(read(&mut &bytes[..]).unwrap());
        }
    }

    #[test]
    fn what_is_over_a_limit_is_named() {
        let fault = |bytes: &[u8]| read(&mut &bytes[..]).unwrap_err().to_string();
        assert_eq!(fault(&b"N0".repeat(3 << 20)), "a pickle of more than 4194304 bytes");
        assert_eq!(
            fault(&b"]".repeat(600_000)),
            "a pickle of more than 500000 tuples, lists and dictionaries"
        );
        let text = |count: u32| {
            let mut bytes = vec![b'X'];
            bytes.extend(count.to_le_bytes());
            bytes.extend(vec![b'a'; count as usize]);
            bytes
        };
        assert_eq!(
            fault(&[text(600), text(600), vec![0x93]].concat()),
            "a name of more than 1000 bytes"
        );
        // torch._utils._rebuild_tensor(storage, 0, (1, 1, …), (1, 1, …)) with 65 axes.
        let mut bytes = b"ctorch._utils\n_rebuild_tensor\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000NK\x01tQK\0".to_vec();
        for _ in 0..2 {
            bytes.push(b'(');
            bytes.extend(b"K\x01".repeat(65));
            bytes.push(b't');
        }
        bytes.extend(b"tR.");
        assert_eq!(fault(&bytes), "a tensor of more than 64 axes");
    }

    /// A list that is referenced repeatedly would be copied each time: 120 kB would take gigabytes.
    #[test]
    fn one_list_for_many_dictionaries_is_not_copied() {
        let mut bytes = b"](".to_vec();
        bytes.extend(b"NN\x86".repeat(20_000));
        bytes.extend(b"e\x85q\0");
        bytes.extend(b"ccollections\nOrderedDict\nq\x01");
        for _ in 0..10_000 {
            bytes.extend(b"h\x01h\0R");
        }
        bytes.push(b'.');
        let made = read(&mut &bytes[..]).unwrap();
        // 20,000 pairs as tuples and as one dictionary's keys and values, and the one argument.
        assert_eq!(made.containers.iter().map(Vec::len).sum::<usize>(), 80_001);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        /// Opcodes with their arguments, in random order, so that the parser reads most of a pickle
        /// before an error.
        #[test]
        fn any_opcodes_are_an_error_or_an_object_and_never_a_panic(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                &b"("[..], b"0", b"1", b"2", b"N", b"K\x01", b"K\x05", b"M\0\x10", b"J\xff\xff\xff\xff", b"\x8a\x01\x07",
                b"X\x01\0\0\0a", b"X\x07\0\0\0storage", b"C\0", b")", b"t", b"\x85", b"\x86", b"\x87", b"]", b"l", b"a",
                b"e", b"}", b"d", b"s", b"u", b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
                b"ccollections\nOrderedDict\n", b"\x93", b"R", b"\x81", b"b", b"Q", b"q\0", b"h\0", b"q\x01", b"h\x01", b"\x94",
            ]), 0..60),
        ) {
            let bytes = [parts.concat(), b".".to_vec()].concat();
            let _ = read(&mut &bytes[..]);
        }
    }

    #[test]
    fn calls_are_looked_at_and_not_made() {
        // pickle.dumps of an object whose __reduce__ is (os.system, ('true',)), protocol 2.
        let bytes = b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.";
        assert!(matches!(read(&mut &bytes[..]).unwrap().root, Value::Opaque));
    }
}
