//! A pickle machine that can make dictionaries, lists, tuples, texts, numbers and tensors, and nothing else.
//!
//! Carries out no code: a pickle names classes and functions, and each known name ([`Callable`]) stands for
//! something done in [`super::calls`]. What a pickle makes is bounded by [`super::limits`] whatever it says.

use std::collections::BTreeMap;

use super::CheckpointError;
use super::callable::Callable;
use super::calls;
use super::cursor::Cursor;
use super::limits::{MAX_MARKS, MAX_NUMBER_BYTES, MAX_STACK, MAX_STEPS, MAX_TEXT_BYTES};
use super::opcode::Opcode;
use super::value::{Heap, Node, Value};

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickled<'p> {
    pub(super) heap: Heap<'p>,
    pub(super) root: Node,
}

/// Reads the pickle at `cursor` and leaves the cursor behind it.
pub(super) fn unpickle<'p>(cursor: &mut Cursor<'p>) -> Result<Pickled<'p>, CheckpointError> {
    let mut machine = Machine {
        cursor,
        heap: Heap::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        steps: 0,
        at: 0,
    };
    let root = machine.run()?;
    Ok(Pickled { heap: machine.heap, root })
}

struct Machine<'c, 'p> {
    cursor: &'c mut Cursor<'p>,
    heap: Heap<'p>,
    stack: Vec<Node>,
    /// Heights of the stack at which containers under construction begin.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Node>,
    steps: usize,
    /// Where the present instruction stands.
    at: usize,
}

impl<'p> Machine<'_, 'p> {
    fn run(&mut self) -> Result<Node, CheckpointError> {
        self.at = self.cursor.at();
        if self.cursor.byte("the pickle")? != 0x80 {
            return Err(self.malformed("it does not begin as a pickle"));
        }
        self.protocol()?;
        loop {
            self.at = self.cursor.at();
            self.spend(1)?;
            let code = self.cursor.byte("the pickle")?;
            let opcode = Opcode::of(code, self.at)?;
            if opcode == Opcode::Stop {
                let root = self.pop()?;
                if !self.stack.is_empty() || !self.marks.is_empty() {
                    return Err(self.malformed("values are left over at its end"));
                }
                return Ok(root);
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: Opcode) -> Result<(), CheckpointError> {
        match opcode {
            Opcode::Proto => Err(self.malformed("it begins twice")),
            Opcode::Stop => Ok(()),
            Opcode::Mark => self.mark(),
            Opcode::Pop => self.pop().map(drop),
            Opcode::None => self.push(Value::None),
            Opcode::NewTrue => self.push(Value::Bool(true)),
            Opcode::NewFalse => self.push(Value::Bool(false)),
            Opcode::BinInt => {
                let number = i32::from_le_bytes(self.cursor.array("a number")?);
                self.push(Value::Int(number.into()))
            }
            Opcode::BinInt1 => self.unsigned::<1>(),
            Opcode::BinInt2 => self.unsigned::<2>(),
            Opcode::Long1 => self.long(),
            Opcode::BinFloat => {
                self.cursor.take(8, "a number")?;
                self.push(Value::Float)
            }
            Opcode::BinUnicode | Opcode::BinString => {
                let length = u32::from_le_bytes(self.cursor.array("a text")?);
                self.text(length as usize)
            }
            Opcode::ShortBinString => {
                let length = self.cursor.byte("a text")?;
                self.text(length.into())
            }
            Opcode::EmptyTuple => self.tuple(0),
            Opcode::Tuple1 => self.tuple(1),
            Opcode::Tuple2 => self.tuple(2),
            Opcode::Tuple3 => self.tuple(3),
            Opcode::Tuple => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))
            }
            Opcode::EmptyList => self.push(Value::List(Vec::new())),
            Opcode::Append => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            Opcode::Appends => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            Opcode::EmptyDict => self.push(Value::Dict(Vec::new())),
            Opcode::SetItem => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![key, value])
            }
            Opcode::SetItems => {
                let items = self.pop_to_mark()?;
                self.insert(items)
            }
            Opcode::BinPut => {
                let index = self.cursor.byte("a number")?;
                self.remember(index.into())
            }
            Opcode::LongBinPut => {
                let index = u32::from_le_bytes(self.cursor.array("a number")?);
                self.remember(index)
            }
            Opcode::BinGet => {
                let index = self.cursor.byte("a number")?;
                self.recall(index.into())
            }
            Opcode::LongBinGet => {
                let index = u32::from_le_bytes(self.cursor.array("a number")?);
                self.recall(index)
            }
            Opcode::Global => {
                let (module, name) =
                    (self.cursor.line("a module's name")?, self.cursor.line("a class's name")?);
                self.push(Value::Callable(Callable::of(module, name, self.at)?))
            }
            Opcode::Reduce => self.reduce(),
            Opcode::Build => self.build(),
            Opcode::BinPersId => {
                let id = self.pop()?;
                let storage = calls::storage(&mut self.heap, id, self.at)?;
                self.push(Value::Storage(storage))
            }
        }
    }

    fn protocol(&mut self) -> Result<(), CheckpointError> {
        match self.cursor.byte("the pickle's version")? {
            2 => Ok(()),
            found => Err(CheckpointError::Protocol { found }),
        }
    }

    fn mark(&mut self) -> Result<(), CheckpointError> {
        if self.marks.len() >= MAX_MARKS {
            return Err(CheckpointError::Limit {
                what: "containers in one another",
                limit: MAX_MARKS,
                at: self.at,
            });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn unsigned<const N: usize>(&mut self) -> Result<(), CheckpointError> {
        let bytes: [u8; N] = self.cursor.array("a number")?;
        self.push(Value::Int(bytes.iter().rev().fold(0, |number, byte| number << 8 | i128::from(*byte))))
    }

    /// A whole number in as many bytes as it takes, two's complement.
    fn long(&mut self) -> Result<(), CheckpointError> {
        let length = usize::from(self.cursor.byte("a number")?);
        if length > MAX_NUMBER_BYTES {
            return Err(CheckpointError::Limit {
                what: "bytes in a number",
                limit: MAX_NUMBER_BYTES,
                at: self.at,
            });
        }
        let bytes = self.cursor.take(length, "a number")?;
        let sign = if bytes.last().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
        self.push(Value::Int(bytes.iter().rev().fold(sign, |number, byte| number << 8 | i128::from(*byte))))
    }

    fn text(&mut self, length: usize) -> Result<(), CheckpointError> {
        if length > MAX_TEXT_BYTES {
            return Err(CheckpointError::Limit {
                what: "bytes in a text",
                limit: MAX_TEXT_BYTES,
                at: self.at,
            });
        }
        let bytes = self.cursor.take(length, "a text")?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))?;
        self.push(Value::Text(text))
    }

    fn tuple(&mut self, length: usize) -> Result<(), CheckpointError> {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, items: Vec<Node>) -> Result<(), CheckpointError> {
        let top = self.top()?;
        match self.heap.value_mut(top) {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(self.malformed("something is appended to what is no list")),
        }
    }

    fn insert(&mut self, items: Vec<Node>) -> Result<(), CheckpointError> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.heap.value_mut(top) {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            Value::Dict(_) => Err(self.malformed("a key has no value")),
            _ => Err(self.malformed("a pair is put into what is no dictionary")),
        }
    }

    fn remember(&mut self, index: u32) -> Result<(), CheckpointError> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), CheckpointError> {
        let node = self.memo.get(&index).copied();
        let node = node.ok_or(CheckpointError::Memo { index, at: self.at })?;
        self.push_node(node)
    }

    fn reduce(&mut self) -> Result<(), CheckpointError> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Value::Callable(callable) = *self.heap.value(callable) else {
            return Err(self.malformed("something is called that is no class or function"));
        };
        if self.heap.tuple(arguments).is_none() {
            return Err(self.malformed("a call has no arguments"));
        }
        self.spend(calls::cost(&self.heap, callable, arguments))?;
        let made = calls::call(&mut self.heap, callable, arguments, self.at)?;
        self.push_node(made)
    }

    /// State dictionaries carry version numbers as attributes, which nothing here needs.
    fn build(&mut self) -> Result<(), CheckpointError> {
        let (state, object) = (self.pop()?, self.top()?);
        match (self.heap.value(object), self.heap.value(state)) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            _ => Err(self.malformed("attributes are set on something other than a dictionary")),
        }
    }

    fn push(&mut self, value: Value<'p>) -> Result<(), CheckpointError> {
        let node = self.heap.keep(value, self.at)?;
        self.push_node(node)
    }

    fn push_node(&mut self, node: Node) -> Result<(), CheckpointError> {
        if self.stack.len() >= MAX_STACK {
            return Err(CheckpointError::Limit {
                what: "values on the stack",
                limit: MAX_STACK,
                at: self.at,
            });
        }
        self.stack.push(node);
        Ok(())
    }

    /// Takes the topmost value, unless it belongs to what lies outside the open mark.
    fn pop(&mut self) -> Result<Node, CheckpointError> {
        let node = self.top()?;
        self.stack.pop();
        Ok(node)
    }

    fn top(&self) -> Result<Node, CheckpointError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let inside = self.stack.get(floor..).and_then(<[Node]>::last);
        inside.copied().ok_or_else(|| self.malformed("a value is missing"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Node>, CheckpointError> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn spend(&mut self, steps: usize) -> Result<(), CheckpointError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return Err(CheckpointError::Limit {
                what: "pickle instructions",
                limit: MAX_STEPS,
                at: self.at,
            });
        }
        Ok(())
    }

    const fn malformed(&self, what: &'static str) -> CheckpointError {
        CheckpointError::Malformed { what, at: self.at }
    }
}
