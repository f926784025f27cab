// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Typed access to the properties of one node, with findings that name the
//! node, the property, what was found and what is expected; and the reverse,
//! the properties of a node to be written.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::fdt::{Node, Property};
use super::problem::{At, Collector};

/// A name that stands for a number in a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// As the reference headers spell it.
    pub name: &'static str,
    /// Its value; for options, its bit.
    pub value: u64,
}

/// Shorthand for tables of symbols.
pub(crate) const fn symbol(name: &'static str, value: u64) -> Symbol {
    Symbol { name, value }
}

/// A node under interpretation. Knows which properties somebody asked for, and
/// reports the others as unknown at the end.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    pub(super) path: String,
    pub(super) problems: &'a Collector,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(node: &'a Node, parent: &str, problems: &'a Collector) -> Self {
        let path = join(parent, &node.name);
        // `compatible` is written by tools and read by nobody; dtc adds the phandles.
        let known = RefCell::new(vec!["compatible", "phandle", "linux,phandle"]);
        Self { node, path, problems, known }
    }

    pub(crate) fn error(&self, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.error(At::node(&self.path), reason, remedy);
    }

    pub(crate) fn error_in(&self, property: &str, reason: impl Into<String>, remedy: &str) {
        self.problems.error(At::property(&self.path, property), reason, remedy);
    }

    pub(crate) fn warn_in(&self, property: &str, reason: impl Into<String>, remedy: &str) {
        self.problems.warn(At::property(&self.path, property), reason, remedy);
    }

    /// The bytes of a property.
    pub(crate) fn bytes(&self, name: &'static str) -> Option<&'a [u8]> {
        self.known.borrow_mut().push(name);
        self.node.property(name)
    }

    /// A list of cells: `<1 2 3>`.
    pub(crate) fn cells(&self, name: &'static str) -> Option<Vec<u32>> {
        let value = self.bytes(name)?;
        let cells = as_cells(value);
        if cells.is_none() {
            self.expected(name, value, "a list of cells such as <1 2 3>");
        }
        cells
    }

    /// One cell within `range`.
    pub(crate) fn number(&self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.bytes(name)?;
        let Some([number]) = as_cells(value).as_deref().and_then(|c| <[u32; 1]>::try_from(c).ok())
        else {
            self.expected(name, value, "one cell such as <8>");
            return None;
        };
        let (low, high) = (*range.start(), *range.end());
        if number > high {
            self.error_in(name, format!("{number} is more than {high}"), &span(low, high));
            return None;
        }
        if number < low {
            self.error_in(name, format!("{number} is less than {low}"), &span(low, high));
            return None;
        }
        Some(number)
    }

    /// One cell up to `max`, as a byte-wide field of a create command.
    pub(crate) fn byte(&self, name: &'static str, max: u8) -> u8 {
        self.number(name, 0..=u32::from(max)).and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
    }

    /// One cell up to `max`, as a 16-bit field of a create command.
    pub(crate) fn half(&self, name: &'static str, max: u16) -> u16 {
        self.number(name, 0..=u32::from(max)).and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
    }

    /// One string.
    pub(crate) fn string(&self, name: &'static str) -> Option<&'a str> {
        let value = self.bytes(name)?;
        match as_strings(value).as_deref() {
            Some([text]) => Some(text),
            _ => {
                self.expected(name, value, "one string");
                None
            }
        }
    }

    /// One of `table`, by name or as a cell.
    pub(crate) fn choice(&self, name: &'static str, table: &[Symbol]) -> Option<u64> {
        let value = self.bytes(name)?;
        if let Some([text]) = as_strings(value).as_deref() {
            let found = lookup(table, text);
            if found.is_none() {
                let remedy = suggest(text, table.iter().map(|s| s.name));
                self.error_in(name, format!("{} is not known here", shortened(text)), &remedy);
            }
            return found;
        }
        match as_cells(value).as_deref() {
            Some([number]) if table.iter().any(|s| s.value == u64::from(*number)) => {
                Some(u64::from(*number))
            }
            Some([number]) => {
                let remedy = suggest("", table.iter().map(|s| s.name));
                self.error_in(name, format!("{number} has no meaning here"), &remedy);
                None
            }
            _ => {
                self.expected(name, value, "one name");
                None
            }
        }
    }

    /// A set of options: names, numbers in strings (`"0x80000000"`), or a
    /// numeric mask of one or two cells. Absent and empty mean none.
    ///
    /// `obsolete` names are accepted with a warning and have no effect.
    pub(crate) fn options(
        &self,
        name: &'static str,
        table: &[Symbol],
        obsolete: &[&str],
        width: u32,
    ) -> u64 {
        let Some(value) = self.bytes(name) else { return 0 };
        let mask = if value.is_empty() {
            0
        } else if let Some(names) = as_strings(value) {
            names.iter().fold(0, |mask, text| mask | self.option(name, text, table, obsolete))
        } else {
            match as_cells(value).as_deref() {
                Some([mask]) => u64::from(*mask),
                Some([high, low]) => u64::from(*high) << 32 | u64::from(*low),
                _ => {
                    self.expected(name, value, "a list of option names, or a mask");
                    0
                }
            }
        };
        let fits = u64::MAX >> (64 - width.clamp(1, 64));
        if mask & !fits != 0 {
            let reason = format!("the mask {mask:#x} is wider than {width} bits");
            self.error_in(name, reason, "use the names of the options");
        }
        mask & fits
    }

    fn option(&self, name: &str, text: &str, table: &[Symbol], obsolete: &[&str]) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(bit) = lookup(table, text).or_else(|| parse_number(text)) {
            return bit;
        }
        if obsolete.contains(&text) {
            let reason = format!("{} has no meaning to firmware 10", shortened(text));
            self.warn_in(name, reason, "it is ignored, remove it");
        } else {
            let remedy = suggest(text, table.iter().map(|s| s.name));
            let reason = format!("{} is not an option of this object", shortened(text));
            self.error_in(name, reason, &remedy);
        }
        0
    }

    /// An Ethernet address: six cells, six bytes, or `"00:11:22:33:44:55"`.
    /// The zero address counts as none, as boards' layouts use it.
    pub(crate) fn mac_address(&self, name: &'static str) -> Option<[u8; 6]> {
        let value = self.bytes(name)?;
        let Some(address) = as_mac(value) else {
            self.expected(name, value, "six cells or six bytes of an Ethernet address");
            return None;
        };
        if address[0] & 1 != 0 {
            let remedy = "an interface needs an individual address: clear bit 0 of the first byte";
            self.error_in(name, "this is a group address", remedy);
            return None;
        }
        (address != [0; 6]).then_some(address)
    }

    /// Properties of the previous firmware generation: warned of, then ignored.
    pub(crate) fn obsolete(&self, names: &'static [(&'static str, &'static str)]) {
        for (name, instead) in names {
            if self.bytes(name).is_some() {
                let remedy = if instead.is_empty() {
                    "it is ignored, remove it".to_owned()
                } else {
                    format!("it is ignored, use {instead}")
                };
                self.warn_in(name, "firmware 10 does not know this property", &remedy);
            }
        }
    }

    /// Reports properties that nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        for property in &self.node.properties {
            if !known.contains(&property.name.as_str()) {
                let full = self.problems.is_full();
                let names = known.iter().copied().filter(|_| !full);
                let remedy = match nearest(&property.name, names) {
                    Some(near) => format!("it is ignored, did you mean {near}?"),
                    None => "it is ignored".to_owned(),
                };
                self.warn_in(&property.name, "this property is not known here", &remedy);
            }
        }
    }

    /// As [`Fields::finish`], for nodes that have no children.
    pub(crate) fn finish_leaf(self) {
        for child in &self.node.children {
            let reason = "a node is not expected here";
            self.problems.warn(At::node(&join(&self.path, &child.name)), reason, "it is ignored");
        }
        self.finish();
    }

    fn expected(&self, property: &str, value: &[u8], what: &str) {
        let reason = format!("found {}, expected {what}", describe(value));
        self.error_in(property, reason, "");
    }
}

/// The path of a child.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// A decimal or `0x` hexadecimal number.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = digits.map_or((text, 10), |hex| (hex, 16));
    // from_str_radix would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// "use one of ...", with the nearest name first if one is near.
pub(crate) fn suggest(text: &str, names: impl Iterator<Item = &'static str> + Clone) -> String {
    match nearest(text, names.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let names: Vec<_> = names.collect();
            if names.is_empty() { String::new() } else { format!("known: {}", names.join(", ")) }
        }
    }
}

fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const NEAR: f64 = 0.75;
    // The measure is quadratic in the length of the names.
    const LONGEST: usize = 64;
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    names
        .map(|name| (strsim::normalized_levenshtein(text, name), name))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn lookup(table: &[Symbol], text: &str) -> Option<u64> {
    table.iter().find(|symbol| symbol.name == text).map(|symbol| symbol.value)
}

fn span(low: u32, high: u32) -> String {
    format!("use {low} to {high}")
}

fn as_cells(value: &[u8]) -> Option<Vec<u32>> {
    let (cells, rest) = value.as_chunks::<4>();
    (rest.is_empty() && !cells.is_empty())
        .then(|| cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect())
}

/// The strings of a value: printable, each ended by a zero.
pub(crate) fn as_strings(value: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(value.strip_suffix(&[0])?).ok()?;
    let strings: Vec<_> = text.split('\0').collect();
    let printable = |s: &&str| s.chars().all(|c| !c.is_control());
    // A zero cell would read as several empty strings.
    let plain = strings.len() == 1 || strings.iter().all(|s| !s.is_empty());
    (plain && strings.iter().all(printable)).then_some(strings)
}

fn as_mac(value: &[u8]) -> Option<[u8; 6]> {
    if let Ok(bytes) = <[u8; 6]>::try_from(value) {
        return Some(bytes);
    }
    if let Some(cells) = as_cells(value) {
        let bytes: Option<Vec<u8>> = cells.iter().map(|cell| u8::try_from(*cell).ok()).collect();
        return bytes?.try_into().ok();
    }
    let [text] = <[&str; 1]>::try_from(as_strings(value)?).ok()?;
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            if hex { u8::from_str_radix(part, 16).ok() } else { None }
        })
        .collect();
    bytes?.try_into().ok()
}

/// A value in words, shortened.
fn describe(value: &[u8]) -> String {
    const SHOWN: usize = 6;
    if value.is_empty() {
        return "an empty property".to_owned();
    }
    if let Some(strings) = as_strings(value) {
        return match strings.as_slice() {
            [one] => format!("the string {}", shortened(one)),
            many => format!("{} strings", many.len()),
        };
    }
    if let Some(cells) = as_cells(value) {
        let shown: Vec<_> = cells.iter().take(SHOWN).map(u32::to_string).collect();
        let more = if cells.len() > SHOWN { " ..." } else { "" };
        let plural = if cells.len() == 1 { "" } else { "s" };
        return format!("{} cell{plural} <{}{more}>", cells.len(), shown.join(" "));
    }
    let plural = if value.len() == 1 { "" } else { "s" };
    format!("{} byte{plural}", value.len())
}

/// A string in quotes, cut where it is long.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    format!("{cut:?}")
}

/// The properties of a node to be written.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(super) properties: Vec<Property>,
}

impl Writing {
    pub(crate) fn cells(&mut self, name: &str, cells: impl IntoIterator<Item = u32>) {
        let value = cells.into_iter().flat_map(u32::to_be_bytes).collect();
        self.properties.push(Property { name: name.to_owned(), value });
    }

    pub(crate) fn number(&mut self, name: &str, number: impl Into<u32>) {
        self.cells(name, [number.into()]);
    }

    /// A number whose absence means 0.
    pub(crate) fn nonzero(&mut self, name: &str, number: impl Into<u32>) {
        let number = number.into();
        if number != 0 {
            self.number(name, number);
        }
    }

    pub(crate) fn strings<'s>(&mut self, name: &str, strings: impl IntoIterator<Item = &'s str>) {
        let mut value = Vec::new();
        for text in strings {
            value.extend_from_slice(text.as_bytes());
            value.push(0);
        }
        self.properties.push(Property { name: name.to_owned(), value });
    }

    pub(crate) fn symbol(&mut self, name: &str, value: u64, table: &[Symbol]) {
        if let Some(symbol) = table.iter().find(|symbol| symbol.value == value) {
            self.strings(name, [symbol.name]);
        }
    }

    /// Options by name, bits without a name as a number; nothing for none.
    pub(crate) fn options(&mut self, name: &str, mask: u64, table: &[Symbol]) {
        let set = table.iter().filter(|symbol| mask & symbol.value != 0);
        let mut names: Vec<String> = set.clone().map(|symbol| symbol.name.to_owned()).collect();
        let rest = set.fold(mask, |rest, symbol| rest & !symbol.value);
        if rest != 0 {
            names.push(format!("{rest:#x}"));
        }
        if !names.is_empty() {
            self.strings(name, names.iter().map(String::as_str));
        }
    }

    pub(crate) fn into_node(self, name: impl Into<String>) -> Node {
        Node { name: name.into(), properties: self.properties, children: Vec::new() }
    }
}
