// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Flattened device trees: a bounds-checked reader of blobs (Devicetree
//! Specification v0.4, chapter 5) into an owned tree.
//!
//! Every error names the byte of the blob and the path of the node at which
//! the reader stands. The reader is linear in the size of the blob and bounded
//! in depth, size and name length, so a hostile blob costs no more than a
//! well-formed one of the same size.

use std::collections::HashSet;

/// Largest blob that is read. Layouts of real boards stay under 64 KiB.
pub const MAX_BLOB: usize = 4 << 20;
/// Deepest nesting that is read. A layout needs five levels.
pub const MAX_DEPTH: usize = 32;
/// Longest node or property name that is read (the specification allows 31).
pub const MAX_NAME: usize = 255;

/// First four bytes of a blob.
pub const MAGIC: u32 = 0xd00d_feed;
const HEADER_LEN: usize = 40;
/// The struct-block size was added by version 17; 16 is what it is compatible with.
const VERSION_WITH_STRUCT_SIZE: u32 = 17;
const OLDEST_VERSION: u32 = 16;

const FDT_BEGIN_NODE: u32 = 1;
const FDT_END_NODE: u32 = 2;
const FDT_PROP: u32 = 3;
const FDT_NOP: u32 = 4;
const FDT_END: u32 = 9;

/// A node of a device tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Name with its unit address: `dpni@0`. Empty for the root.
    pub name: String,
    /// Properties in the order of the source.
    pub properties: Vec<Property>,
    /// Child nodes in the order of the source.
    pub children: Vec<Node>,
}

/// A property of a node: a name and uninterpreted bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Name.
    pub name: String,
    /// Value as it stands in the blob.
    pub value: Vec<u8>,
}

impl Node {
    /// A node without properties and children.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The name up to the unit address: `dpni` of `dpni@0`.
    pub fn base_name(&self) -> &str {
        self.name.split_once('@').map_or(self.name.as_str(), |(base, _)| base)
    }

    /// The unit address: `0` of `dpni@0`.
    pub fn unit_address(&self) -> Option<&str> {
        self.name.split_once('@').map(|(_, unit)| unit)
    }

    /// The child with this full name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        self.properties.iter().find(|p| p.name == name).map(|p| p.value.as_slice())
    }
}

/// Why a blob cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset:#x}{}: {reason}", if path.is_empty() { String::new() } else { format!(" in {path}") })]
pub struct FdtError {
    /// Byte offset from the start of the blob.
    pub offset: usize,
    /// Path of the node being read; empty while the header is read.
    pub path: String,
    /// What is wrong there.
    pub reason: FdtFault,
}

/// What is wrong with a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FdtFault {
    /// Not even a header.
    #[error("{0} bytes are too few for the {HEADER_LEN}-byte header of a device-tree blob")]
    NoHeader(usize),
    /// Larger than [`MAX_BLOB`].
    #[error("{0} bytes are more than the {MAX_BLOB} that are read")]
    TooLarge(usize),
    /// Not a device-tree blob.
    #[error("the magic number is {0:#010x}, a device-tree blob starts with {MAGIC:#010x}")]
    Magic(u32),
    /// A format version that this reader does not know.
    #[error("format version {version} (readable as {compatible}) is not supported, 16 and 17 are")]
    Version {
        /// The version that wrote the blob.
        version: u32,
        /// The oldest version that can read it.
        compatible: u32,
    },
    /// The header tells of more bytes than there are.
    #[error("the header states {stated} bytes in all, there are {actual}")]
    TotalSize {
        /// `totalsize` of the header.
        stated: u32,
        /// Length of the input.
        actual: usize,
    },
    /// A block lies outside the blob.
    #[error("the {block} block (byte {start:#x}, {len} bytes) reaches outside the blob")]
    Block {
        /// `structure` or `strings`.
        block: &'static str,
        /// Its offset.
        start: u32,
        /// Its length.
        len: u32,
    },
    /// The structure block starts at an address that is no multiple of four.
    #[error("the structure block starts at {0:#x}, which is not a multiple of 4")]
    Unaligned(u32),
    /// The structure block ends too early.
    #[error("the structure block ends in the middle of {0}")]
    Truncated(&'static str),
    /// Not one of the five tokens.
    #[error("{0:#x} is not a token of a device tree")]
    Token(u32),
    /// A name without end, or longer than [`MAX_NAME`].
    #[error("the {0} name does not end within {MAX_NAME} bytes")]
    LongName(&'static str),
    /// A name with characters that no name may have.
    #[error("{1:?} is not a valid {0} name")]
    Name(&'static str, String),
    /// A property name outside the strings block.
    #[error("the property name at {0:#x} lies outside the strings block")]
    StringOffset(u32),
    /// Deeper than [`MAX_DEPTH`].
    #[error("nodes are nested more than {MAX_DEPTH} deep")]
    Depth,
    /// Two children or two properties of one name.
    #[error("there are two {kind} called {name:?}")]
    Duplicate {
        /// `nodes` or `properties`.
        kind: &'static str,
        /// Their name.
        name: String,
    },
    /// A property, or the end of a node, where no node is open.
    #[error("{0} outside of any node")]
    OutsideNode(&'static str),
    /// A second root.
    #[error("there is a second root node")]
    SecondRoot,
    /// The end while nodes are open, or no node at all.
    #[error("the tree ends before its root node does")]
    Unfinished,
}

/// Whether `bytes` start as a device-tree blob does.
pub fn is_blob(bytes: &[u8]) -> bool {
    word(bytes, 0) == Some(MAGIC)
}

/// Reads a blob into a tree. Memory reservations are skipped.
///
/// # Errors
/// [`FdtError`] with the byte and the node where the blob is malformed.
pub fn parse(blob: &[u8]) -> Result<Node, FdtError> {
    let blocks = Blocks::of(blob)?;
    Walk { blocks, at: blocks.structure_start, open: Vec::new(), path: String::new() }.run()
}

/// The two blocks of a blob whose header has been checked.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    /// The blob up to the end of the structure block.
    structure: &'a [u8],
    structure_start: usize,
    strings: &'a [u8],
}

impl<'a> Blocks<'a> {
    fn of(blob: &'a [u8]) -> Result<Self, FdtError> {
        let fail = |offset, reason| FdtError { offset, path: String::new(), reason };
        if blob.len() > MAX_BLOB {
            return Err(fail(0, FdtFault::TooLarge(blob.len())));
        }
        if blob.len() < HEADER_LEN {
            return Err(fail(0, FdtFault::NoHeader(blob.len())));
        }
        let field = |index: usize| word(blob, index * 4).unwrap_or(0);
        if field(0) != MAGIC {
            return Err(fail(0, FdtFault::Magic(field(0))));
        }
        let (version, compatible) = (field(5), field(6));
        if version < OLDEST_VERSION || compatible > VERSION_WITH_STRUCT_SIZE {
            return Err(fail(20, FdtFault::Version { version, compatible }));
        }
        let total = field(1);
        let Some(blob) = blob.get(..total as usize) else {
            return Err(fail(4, FdtFault::TotalSize { stated: total, actual: blob.len() }));
        };
        let (start, strings_start, strings_len) = (field(2), field(3), field(8));
        if start % 4 != 0 {
            return Err(fail(8, FdtFault::Unaligned(start)));
        }
        let len = if version >= VERSION_WITH_STRUCT_SIZE {
            field(9)
        } else {
            total.saturating_sub(start)
        };
        let end_of = |start: u32, len: u32| start.checked_add(len).map(|end| end as usize);
        let structure = end_of(start, len)
            .and_then(|end| blob.get(..end))
            .ok_or_else(|| fail(8, FdtFault::Block { block: "structure", start, len }))?;
        let strings = end_of(strings_start, strings_len)
            .and_then(|end| blob.get(strings_start as usize..end))
            .ok_or_else(|| {
                let block = "strings";
                fail(12, FdtFault::Block { block, start: strings_start, len: strings_len })
            })?;
        Ok(Self { structure, structure_start: start as usize, strings })
    }
}

/// The state of the reader in the structure block.
struct Walk<'a> {
    blocks: Blocks<'a>,
    at: usize,
    /// The nodes that have begun and not ended, outermost first.
    open: Vec<Node>,
    /// Path of the innermost open node.
    path: String,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Node, FdtError> {
        let mut root = None;
        loop {
            let start = self.at;
            match self.take_word("a token")? {
                FDT_NOP => {}
                FDT_BEGIN_NODE if root.is_some() => {
                    return Err(self.fail(start, FdtFault::SecondRoot));
                }
                FDT_BEGIN_NODE => self.begin(start)?,
                FDT_PROP => self.property(start)?,
                FDT_END_NODE => root = self.end(start)?,
                FDT_END => return root.ok_or_else(|| self.fail(start, FdtFault::Unfinished)),
                other => return Err(self.fail(start, FdtFault::Token(other))),
            }
        }
    }

    fn begin(&mut self, start: usize) -> Result<(), FdtError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.fail(start, FdtFault::Depth));
        }
        let rest = self.blocks.structure.get(self.at..).unwrap_or_default();
        let name = self.name("node", rest, self.at)?;
        self.at += name.len() + 1;
        self.align();
        if self.open.is_empty() != name.is_empty() {
            return Err(self.fail(start, FdtFault::Name("node", name)));
        }
        if self.path != "/" {
            self.path.push('/');
        }
        self.path.push_str(&name);
        self.open.push(Node::new(name));
        Ok(())
    }

    fn property(&mut self, start: usize) -> Result<(), FdtError> {
        let len = self.take_word("a property")? as usize;
        let name_at = self.take_word("a property")?;
        let Some(value) =
            self.at.checked_add(len).and_then(|end| self.blocks.structure.get(self.at..end))
        else {
            return Err(self.fail(start, FdtFault::Truncated("the value of a property")));
        };
        let Some(rest) = self.blocks.strings.get(name_at as usize..).filter(|s| !s.is_empty())
        else {
            return Err(self.fail(start, FdtFault::StringOffset(name_at)));
        };
        let name = self.name("property", rest, start)?;
        if name.is_empty() {
            return Err(self.fail(start, FdtFault::Name("property", name)));
        }
        self.at += len;
        self.align();
        match self.open.last_mut() {
            Some(node) => node.properties.push(Property { name, value: value.to_vec() }),
            None => return Err(self.fail(start, FdtFault::OutsideNode("a property"))),
        }
        Ok(())
    }

    /// Closes the innermost node. Returns it when it is the root.
    fn end(&mut self, start: usize) -> Result<Option<Node>, FdtError> {
        let Some(node) = self.open.pop() else {
            return Err(self.fail(start, FdtFault::OutsideNode("the end of a node")));
        };
        let nodes = node.children.iter().map(|n| n.name.as_str());
        let properties = node.properties.iter().map(|p| p.name.as_str());
        let twice = duplicate(nodes)
            .map(|name| ("nodes", name))
            .or_else(|| duplicate(properties).map(|name| ("properties", name)));
        if let Some((kind, name)) = twice {
            let name = name.to_owned();
            return Err(self.fail(start, FdtFault::Duplicate { kind, name }));
        }
        let parent_len = self.path.rfind('/').unwrap_or(0).max(1);
        self.path.truncate(parent_len);
        Ok(match self.open.last_mut() {
            Some(parent) => {
                parent.children.push(node);
                None
            }
            None => Some(node),
        })
    }

    fn take_word(&mut self, what: &'static str) -> Result<u32, FdtError> {
        let value = word(self.blocks.structure, self.at)
            .ok_or_else(|| self.fail(self.at, FdtFault::Truncated(what)))?;
        self.at += 4;
        Ok(value)
    }

    /// The zero-terminated name at the start of `bytes`.
    fn name(&self, kind: &'static str, bytes: &[u8], at: usize) -> Result<String, FdtError> {
        let window = bytes.get(..=MAX_NAME).unwrap_or(bytes);
        let end = window
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| self.fail(at, FdtFault::LongName(kind)))?;
        let name = window.get(..end).unwrap_or_default();
        let text = String::from_utf8_lossy(name).into_owned();
        // A slash would make paths ambiguous; spaces and controls occur in no name.
        if name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'/') {
            Ok(text)
        } else {
            Err(self.fail(at, FdtFault::Name(kind, text)))
        }
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    fn fail(&self, offset: usize, reason: FdtFault) -> FdtError {
        FdtError { offset, path: self.path.clone(), reason }
    }
}

fn duplicate<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    let mut names = names;
    names.find(|name| !seen.insert(*name))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_be_bytes(bytes.get(at..end)?.try_into().ok()?))
}
