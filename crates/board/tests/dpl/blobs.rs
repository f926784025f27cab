// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Blobs: hostile ones do no harm, good ones are read as another writer wrote them.

use board::dpl::Loader;
use board::dpl::fdt::{FdtFault, MAX_BLOB, MAX_DEPTH, Node, Property, parse};
use proptest::prelude::*;

use crate::{any, blob, dtc};

#[test]
fn headers_are_checked() {
    let good = blob(&Node::new(""));
    assert_eq!(parse(&good), Ok(Node::new("")));
    let fault = |offset: usize, value: u32| {
        let mut bad = good.clone();
        bad[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        let error = parse(&bad).unwrap_err();
        (error.offset, error.reason)
    };
    assert!(matches!(parse(&[]).unwrap_err().reason, FdtFault::NoHeader(0)));
    assert!(matches!(fault(0, 7), (0, FdtFault::Magic(7))));
    assert!(matches!(fault(4, 1 << 20), (4, FdtFault::TotalSize { .. })));
    assert!(matches!(fault(8, 0x31), (8, FdtFault::Unaligned(0x31))));
    assert!(matches!(fault(8, 0xffff_fffc), (8, FdtFault::Block { block: "structure", .. })));
    assert!(matches!(fault(12, u32::MAX), (12, FdtFault::Block { block: "strings", .. })));
    assert!(matches!(fault(20, 15), (20, FdtFault::Version { version: 15, .. })));
    assert!(matches!(fault(24, 18), (20, FdtFault::Version { compatible: 18, .. })));
    assert!(matches!(fault(36, 0), (_, FdtFault::Truncated(_))));
    let large = vec![0; MAX_BLOB + 1];
    assert!(matches!(parse(&large).unwrap_err().reason, FdtFault::TooLarge(_)));
}

#[test]
fn errors_name_byte_and_node() {
    let mut root = Node::new("");
    let mut objects = Node::new("objects");
    objects.children.push(Node::new("dpni@0"));
    objects.children.push(Node::new("dpni@1"));
    root.children.push(objects);
    let mut bytes = blob(&root);
    let at = bytes.windows(6).position(|window| window == b"dpni@1").unwrap();
    bytes[at + 5] = b'0';
    insta::assert_snapshot!(parse(&bytes).unwrap_err(), @r#"at byte 0x6c in /objects: there are two nodes called "dpni@0""#);
    bytes[at + 4] = b'/';
    insta::assert_snapshot!(parse(&bytes).unwrap_err(), @r#"at byte 0x60 in /objects: "dpni/0" is not a valid node name"#);
    bytes[at - 1] = 0x17;
    insta::assert_snapshot!(parse(&bytes).unwrap_err(), @"at byte 0x5c in /objects: 0x17 is not a token of a device tree");
}

#[test]
fn nesting_is_limited() {
    // vm-fdt has a limit of its own, so the structure block is made by hand.
    let deep = |depth: usize| {
        let mut structure = Vec::new();
        for level in 0..depth {
            structure.extend([0, 0, 0, 1]);
            structure.extend(if level == 0 { [0, 0, 0, 0] } else { *b"n\0\0\0" });
        }
        structure.extend([0, 0, 0, 2].repeat(depth));
        structure.extend([0, 0, 0, 9]);
        by_hand(&structure, b"")
    };
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    assert_eq!(parse(&deep(MAX_DEPTH + 1)).unwrap_err().reason, FdtFault::Depth);
}

#[test]
fn one_long_property_name_cannot_be_multiplied() {
    let strings = [b'n'].repeat(100_000);
    let mut structure = vec![0, 0, 0, 1, 0, 0, 0, 0];
    structure.extend([0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0].repeat(1000));
    assert_eq!(
        parse(&by_hand(&structure, &strings)).unwrap_err().reason,
        FdtFault::LongName("property")
    );
}

#[test]
fn nops_and_trailing_bytes_are_skipped() {
    let structure = [4, 1, 0, 4, 2, 9, 9].map(u32::to_be_bytes).concat();
    assert_eq!(parse(&by_hand(&structure, b"")), Ok(Node::new("")));
}

fn by_hand(structure: &[u8], strings: &[u8]) -> Vec<u8> {
    let strings_at = 40 + structure.len();
    let total = strings_at + strings.len();
    let header =
        [0xd00d_feed, total, 40, strings_at, 40, 17, 16, 0, strings.len(), structure.len()];
    let mut bytes: Vec<u8> =
        header.iter().flat_map(|field| u32::try_from(*field).unwrap().to_be_bytes()).collect();
    bytes.extend(structure);
    bytes.extend(strings);
    bytes
}

fn tree() -> impl Strategy<Value = Node> {
    let property = ("[a-z][a-z0-9,_-]{0,12}", prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(name, value)| Property { name, value });
    let properties = prop::collection::vec(property, 0..5);
    let leaf = ("[a-z][a-z0-9]{0,8}(@[a-z0-9]{1,4})?", properties.clone())
        .prop_map(|(name, properties)| unique(Node { name, properties, children: vec![] }));
    let inner = leaf.prop_recursive(5, 40, 6, move |inner| {
        let children = prop::collection::vec(inner, 0..6);
        ("[a-z][a-z0-9]{0,8}", properties.clone(), children)
            .prop_map(|(name, properties, children)| unique(Node { name, properties, children }))
    });
    inner.prop_map(|node| Node { name: String::new(), ..node })
}

fn unique(mut node: Node) -> Node {
    let mut seen = std::collections::HashSet::new();
    node.properties.retain(|property| seen.insert(property.name.clone()));
    seen.clear();
    node.children.retain(|child| seen.insert(child.name.clone()));
    node
}

proptest! {
    #[test]
    fn what_vm_fdt_writes_is_read(root in tree()) {
        prop_assert_eq!(parse(&blob(&root)), Ok(root));
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = parse(&by_hand(&bytes, &bytes));
        let _ = Loader::new(&dtc).blob("x", &by_hand(&bytes, &bytes));
    }

    /// Tokens in any order get past the tokenizer more often than bytes do.
    #[test]
    fn any_tokens_do_no_harm(tokens in prop::collection::vec(
        prop_oneof![Just(1u32), Just(2), Just(3), Just(4), Just(9), Just(0), 0..64u32], 0..200
    )) {
        let structure: Vec<u8> = tokens.into_iter().flat_map(u32::to_be_bytes).collect();
        let _ = Loader::new(&dtc).blob("x", &by_hand(&structure, b"parent\0ids\0"));
    }

    #[test]
    fn a_damaged_layout_does_no_harm(
        dpl in any::layout(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = blob(&dpl.to_tree());
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let loader = Loader::new(&dtc);
        if let Err(error) = loader.blob("x.dtb", &bytes) {
            prop_assert!(error.to_string().contains("x.dtb"));
        }
        let length = length.index(bytes.len());
        prop_assert!(loader.blob("x.dtb", &bytes[..length]).is_err());
    }
}
