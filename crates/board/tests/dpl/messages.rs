// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What users read when a file is wrong.

use std::path::Path;
use std::process::Command;

use board::Soc;
use board::dpl::{Loader, Place, Severity};

use crate::{dtc, have_dtc};

/// The findings about a source, errors or not.
fn findings(source: &str) -> String {
    match Loader::new(&dtc).source("eth.dts", source) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Numbers that no field of a create command holds, or that the firmware refuses.
#[test]
fn values_out_of_range() {
    if !have_dtc("values_out_of_range") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    containers {
        dprc@1 {
            parent = "none";
            objects {
                obj_set@dpni { type = "dpni"; ids = <0>; };
                obj_set@dpio { type = "dpio"; ids = <0>; };
                obj_set@dpcon { type = "dpcon"; ids = <0>; };
                obj_set@dpseci { type = "dpseci"; ids = <0>; };
                obj_set@dpmac { type = "dpmac"; ids = <0>; };
            };
        };
    };
    objects {
        dpni@0 {
            num_queues = <300>;
            fs_entries = <1 2>;
            mac_addr = <1 0 0 0 0 0>;
            num_tcs = "four";
        };
        dpio@0 { num_priorities = <9>; };
        dpcon@0 { num_priorities = <0>; };
        dpseci@0 { priorities = <1 0 9>; };
        dpmac@0 { };
    };
    connections {
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:17: error: /objects/dpni@0: num_queues: 300 is more than 32; use 0 to 32
    eth.dts:18: error: /objects/dpni@0: fs_entries: found 2 cells <1 2>, expected one cell such as <8>
    eth.dts:19: error: /objects/dpni@0: mac_addr: this is a group address; an interface needs an individual address: clear bit 0 of the first byte
    eth.dts:20: error: /objects/dpni@0: num_tcs: found the string "four", expected one cell such as <8>
    eth.dts:22: error: /objects/dpio@0: num_priorities: 9 is more than 8; use 1 to 8
    eth.dts:23: error: /objects/dpcon@0: num_priorities: 0 is less than 1; use 1 to 8
    eth.dts:24: error: /objects/dpseci@0: priorities: 0 is not a priority; use 1 to 8
    eth.dts:25: error: /objects/dpmac@0: 0 is not a hardware MAC: they are numbered from 1; name the node after the MAC, such as dpmac@1
    "##);
}

/// Options, choices, types and properties with the nearest name, or all of them.
#[test]
fn names_that_nobody_knows() {
    if !have_dtc("names_that_nobody_knows") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    containers {
        dprc@1 {
            parent = "none";
            objects {
                obj_set@dpni { type = "dpni"; ids = <0>; };
                obj_set@dpio { type = "dpio"; ids = <0>; };
                obj_set@dpnii { type = "dpnii"; ids = <0>; };
                obj@1 { obj_name = "dpni.0"; };
                obj@2 { obj_name = "dpni@x"; };
                thing@3 { };
            };
        };
    };
    objects {
        dpni@0 {
            options = "DPNI_OPT_NOFS", "0x80000000", "DPNI_OPT_DIST_HASH";
            num_queue = <4>;
            colour = "red";
            max_tcs = <1>;
        };
        dpio@0 { channel_mode = "DPIO_GLOBAL"; };
        dpfoo@0 { };
        dpbp { };
    };
    connections {
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:9: error: /containers/dprc@1/objects/obj_set@dpnii: type: "dpnii" is not an object type; known: dpni, dpmac, dpsw, dpdmux, dpio, dpmcp, dpbp, dpcon, dpci, dpseci, dpdmai, dpdcei, dprtc, dpaiop, dpdbg
    eth.dts:10: error: /containers/dprc@1/objects/obj@1: obj_name: "dpni.0" names no object; write "dpni@0"
    eth.dts:11: error: /containers/dprc@1/objects/obj@2: obj_name: "x" is not an object number; use a decimal number such as "dpni@0"
    eth.dts:12: error: /containers/dprc@1/objects/thing@3: this is not a placement; name it obj_set@dpni or obj@1
    eth.dts:18: error: /objects/dpni@0: options: "DPNI_OPT_NOFS" is not an option of this object; did you mean DPNI_OPT_NO_FS?
    eth.dts:18: warning: /objects/dpni@0: options: "DPNI_OPT_DIST_HASH" has no meaning to firmware 10; it is ignored, remove it
    eth.dts:19: warning: /objects/dpni@0: num_queue: this property is not known here; it is ignored, did you mean num_queues?
    eth.dts:20: warning: /objects/dpni@0: colour: this property is not known here; it is ignored
    eth.dts:21: warning: /objects/dpni@0: max_tcs: firmware 10 does not know this property; it is ignored, use num_tcs
    eth.dts:23: error: /objects/dpio@0: channel_mode: "DPIO_GLOBAL" is not known here; known: DPIO_NO_CHANNEL, DPIO_LOCAL_CHANNEL
    eth.dts:24: error: /objects/dpfoo@0: "dpfoo" is not an object type; known: dpni, dpmac, dpsw, dpdmux, dpio, dpmcp, dpbp, dpcon, dpci, dpseci, dpdmai, dpdcei, dprtc, dpaiop, dpdbg
    eth.dts:25: error: /objects/dpbp: "dpbp" names no object; use a type and a number such as "dpni@0"
    "##);
}

/// Each object is defined once and held once.
#[test]
fn placements() {
    if !have_dtc("placements") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    containers {
        dprc@1 {
            parent = "none";
            objects {
                obj_set@dpbp { type = "dpbp"; ids = <0 1 1 7>; };
            };
        };
        dprc@2 {
            parent = "dprc@1";
            objects {
                obj@1 {
                    obj_name = "dpbp@0";
                    label = "a label that is too long";
                };
                obj@2 { obj_name = "dprc@1"; };
                obj_set@dpio { type = "dpio"; };
            };
        };
    };
    objects {
        dpbp@0 { };
        dpbp@1 { };
        dpbp@0x1 { };
        dpbp@2 { };
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:7: error: /containers/dprc@1/objects/obj_set@dpbp: ids: dprc@1 holds dpbp@1 already; an object is in one container, and once
    eth.dts:7: error: /containers/dprc@1/objects/obj_set@dpbp: ids: there is no object dpbp@7; define /objects/dpbp@7, or remove it here
    eth.dts:14: error: /containers/dprc@2/objects/obj@1: obj_name: dprc@1 holds dpbp@0 already; an object is in one container, and once
    eth.dts:15: error: /containers/dprc@2/objects/obj@1: label: "a label that is too long" has 24 bytes; use 15 at most
    eth.dts:17: error: /containers/dprc@2/objects/obj@2: obj_name: "dprc@1" is a container, not an object; containers nest by their property parent
    eth.dts:18: error: /containers/dprc@2/objects/obj_set@dpio: ids: the property is needed; give the numbers such as <0 1>
    eth.dts:25: error: /objects/dpbp@0x1: dpbp@1 is defined twice; give each its own number
    eth.dts:26: warning: /objects/dpbp@2: no container holds dpbp@2; it is not created; add it to the objects of a container
    "##);
}

/// Containers form one tree.
#[test]
fn containers() {
    if !have_dtc("containers") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    containers {
        dprc@1 { parent = "none"; };
        dprc@2 { parent = "dprc@3"; };
        dprc@3 { parent = "dprc@2"; };
        dprc@4 { parent = "dprc@9"; };
        dprc@5 { parent = "none"; };
        dprc@6 { parent = "root"; };
        dprc@7 { options = "DPRC_CFG_OPT_IOMMU_BYPASS"; };
        dprc@8 { parent = "dprc@1"; icid = <70000>; resources { }; };
        box@1 { };
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:5: error: /containers/dprc@2: parent: the container is among its own ancestors; let the chain of parents end at the root
    eth.dts:6: error: /containers/dprc@3: parent: the container is among its own ancestors; let the chain of parents end at the root
    eth.dts:8: error: /containers/dprc@5: parent: /containers/dprc@1 is a root already; give it a parent such as "dprc@1"
    eth.dts:9: error: /containers/dprc@6: parent: "root" names no container; use "none" for the root, or a container such as "dprc@1"
    eth.dts:10: error: /containers/dprc@7: parent: the property is needed; use "none" for the root, or a container such as "dprc@1"
    eth.dts:10: warning: /containers/dprc@7: options: "DPRC_CFG_OPT_IOMMU_BYPASS" has no meaning to firmware 10; it is ignored, remove it
    eth.dts:11: warning: /containers/dprc@8/resources: resources of a container are not modelled; the node is ignored; pools are those of the board
    eth.dts:11: error: /containers/dprc@8: icid: 70000 is more than 65534; use 0 to 65534
    eth.dts:12: error: /containers/box@1: this is not the name of a container; name it dprc@1, dprc@2 and so on
    "##);
}

/// A layout without a root container.
#[test]
fn no_root() {
    if !have_dtc("no_root") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    dpl-version = <9>;
    objects { };
    board_info { };
    extra { };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:2: error: /containers: there is no root container; define a container such as dprc@1 with parent = "none"
    eth.dts:3: warning: /: dpl-version: 9 is not 10, the version of firmware 10; it is read as if it were
    eth.dts:5: error: /board_info: this node belongs into a data path configuration (DPC); move it to the board's DPC file, it has no effect here
    eth.dts:6: warning: /extra: a layout has the nodes containers, objects and connections only; it is ignored
    "##);
}

/// Endpoints exist, fit each other, and are used once.
#[test]
fn connections() {
    if !have_dtc("connections") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    containers {
        dprc@1 {
            parent = "none";
            objects {
                obj_set@dpni { type = "dpni"; ids = <0 1 2>; };
                obj_set@dpmac { type = "dpmac"; ids = <1 2>; };
                obj_set@dpsw { type = "dpsw"; ids = <0>; };
                obj_set@dpdmux { type = "dpdmux"; ids = <0>; };
                obj_set@dpci { type = "dpci"; ids = <0>; };
                obj_set@dpbp { type = "dpbp"; ids = <0>; };
            };
        };
    };
    objects {
        dpni@0 { };
        dpni@1 { };
        dpni@2 { };
        dpni@3 { };
        dpmac@1 { };
        dpmac@2 { };
        dpsw@0 { num_ifs = <2>; };
        dpdmux@0 { num_ifs = <1>; };
        dpci@0 { };
        dpbp@0 { };
    };
    connections {
        connection@1 { endpoint1 = "dpni@0"; endpoint2 = "dpmac@1"; };
        connection@2 { endpoint1 = "dpni@0"; endpoint2 = "dpmac@9"; };
        connection@3 { endpoint1 = "dpni@3"; endpoint2 = "dpsw@0/if@2"; };
        connection@4 { endpoint1 = "dpdmux@0/if@0"; endpoint2 = "dpni@1"; };
        connection@5 { endpoint1 = "dpci@0"; endpoint2 = "dpni@2"; committed_rate = <10>; };
        connection@6 { endpoint1 = "dpmac@2"; endpoint2 = "dpmac@2"; };
        connection@7 { endpoint1 = "dpsw@0"; endpoint2 = "dpbp@0"; };
        connection@8 { endpoint1 = "dpni@0/if@1"; endpoint2 = "dpni/0"; };
        connection@9 { endpoint1 = "dpni@1"; };
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:20: warning: /objects/dpni@3: no container holds dpni@3; it is not created; add it to the objects of a container
    eth.dts:30: error: /connections/connection@2: endpoint1: dpni@0 is connected by /connections/connection@1 already; an interface has one connection
    eth.dts:30: error: /connections/connection@2: endpoint2: there is no object dpmac@9; define /objects/dpmac@9 and place it
    eth.dts:31: error: /connections/connection@3: endpoint1: dpni@3 is in no container; add it to the objects of a container
    eth.dts:31: error: /connections/connection@3: endpoint2: dpsw@0 has no interface 2; use 0 to 1, or raise num_ifs of dpsw@0
    eth.dts:32: error: /connections/connection@4: dpdmux@0/if@0 is an uplink, which connects to a dpmac only; connect a dpni, or a port of a dpsw or dpdmux, to one of these or to a dpmac; a dpci to a dpci
    eth.dts:33: error: /connections/connection@5: a dpci does not connect to a dpni; connect a dpni, or a port of a dpsw or dpdmux, to one of these or to a dpmac; a dpci to a dpci
    eth.dts:33: error: /connections/connection@5: committed_rate: the rate 10 is more than max_rate, which is 0; give both rates, the committed one not above the other
    eth.dts:34: error: /connections/connection@6: dpmac@2 is connected to itself; connect a dpni, or a port of a dpsw or dpdmux, to one of these or to a dpmac; a dpci to a dpci
    eth.dts:35: warning: /connections/connection@7: endpoint1: "dpsw@0" names no interface; it is read as "dpsw@0/if@0"
    eth.dts:35: error: /connections/connection@7: a dpsw does not connect to a dpbp; connect a dpni, or a port of a dpsw or dpdmux, to one of these or to a dpmac; a dpci to a dpci
    eth.dts:36: error: /connections/connection@8: endpoint1: a dpni has one interface only; use "dpni@0"
    eth.dts:36: error: /connections/connection@8: endpoint2: "dpni" names no object; use a type and a number such as "dpni@0"
    eth.dts:37: error: /connections/connection@9: endpoint2: the property is needed; give an object such as "dpni@0"
    "##);
}

/// Properties that depend on each other.
#[test]
fn multiplexers_and_processors() {
    if !have_dtc("multiplexers_and_processors") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    containers {
        dprc@1 {
            parent = "none";
            objects {
                obj_set@dpdmux { type = "dpdmux"; ids = <0 1>; };
                obj_set@dpaiop { type = "dpaiop"; ids = <0 1>; };
            };
        };
    };
    objects {
        dpdmux@0 {
            default_if = <2>;
            num_ifs = <1>;
            custom_key_size = <8>;
        };
        dpdmux@1 { };
        dpaiop@0 { aiop_container_id = <1>; };
        dpaiop@1 { aiop_container_id = <2>; };
    };
    connections {
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:14: error: /objects/dpdmux@0: default_if: 2 is more than num_ifs, which is 1; use 0 (none) or a downlink
    eth.dts:16: error: /objects/dpdmux@0: custom_key_size: only the custom method has such a key; use method DPDMUX_METHOD_CUSTOM, or leave the property out
    eth.dts:18: error: /objects/dpdmux@1: num_ifs: a demultiplexer needs a downlink; use 1 or more
    eth.dts:19: warning: /objects/dpaiop@0: aiop_container_id: dprc@1 lacks the option DPRC_CFG_OPT_AIOP; add it to the container's options
    eth.dts:20: error: /objects/dpaiop@1: aiop_container_id: there is no container dprc@2; define it
    "##);
}

/// A configuration has findings as well.
#[test]
fn configurations() {
    if !have_dtc("configurations") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    resources { icid_pools { icid_pool@1 { base_icid = <0x10000>; }; }; };
    board_info {
        ports {
            mac@1 { link_type = "MAC_LINK_TYPE_FIX"; enet_if = "SGMII"; };
            mac@0x1 { };
            mac@0 { };
            mac@2 { link_type = <2>; speed = <1>; };
        };
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"
    eth.dts:3: error: /resources/icid_pools/icid_pool@1: base_icid: 65536 is more than 65535; use 0 to 65535
    eth.dts:3: error: /resources/icid_pools/icid_pool@1: num: the property is needed; give the number of ids
    eth.dts:6: error: /board_info/ports/mac@1: link_type: "MAC_LINK_TYPE_FIX" is not known here; did you mean MAC_LINK_TYPE_FIXED?
    eth.dts:7: error: /board_info/ports/mac@0x1: port 1 is described twice; remove one of them
    eth.dts:8: error: /board_info/ports/mac@0: this is not the name of a port; name it after the MAC, such as mac@1
    eth.dts:9: warning: /board_info/ports/mac@2: speed: this property is not known here; it is ignored
    "##);
}

/// What the compiler says, under the name of the source.
#[test]
fn syntax() {
    if !have_dtc("syntax") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    objects {
        dpni@0 { num_queues = <4> };
    };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"eth.dts:4:35: error: syntax error"##);
}

/// A released configuration had a comment in a port that was commented out: the first end
/// of a comment ends both.
#[test]
fn comment_in_a_comment() {
    if !have_dtc("comment_in_a_comment") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    ports {
        mac@17 { link_type = "MAC_LINK_TYPE_PHY"; };
        /*mac@18 {
            /* text */
            link_type = "MAC_LINK_TYPE_PHY";
        };*/
    };
};
"#;
    let text = findings(source).to_string();
    assert!(text.starts_with("eth.dts:7:"), "{text}");
    assert!(text.contains("error: Properties must precede subnodes"), "{text}");
}

/// The compiler refuses nodes of one name.
#[test]
fn duplicate_nodes() {
    if !have_dtc("duplicate_nodes") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    objects { dpni@0 { }; dpni@0 { }; };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"eth.dts:3:34: error: (duplicate_node_names): /objects/dpni@0: Duplicate node name"##);
}

/// Directives of the C preprocessor.
#[test]
fn preprocessor() {
    if !have_dtc("preprocessor") {
        return;
    }
    let source = r#"/dts-v1/;
/* #include is fine here */
#include "common.dtsi"
/ { };
"#;
    insta::assert_snapshot!(findings(source), @r##"eth.dts:3: error: #include is a directive of the C preprocessor, which is not run: use /include/ "file", or preprocess the file first (cpp -nostdinc -undef -x assembler-with-cpp -P)"##);
}

/// A device tree of something else.
#[test]
fn another_kind() {
    if !have_dtc("another_kind") {
        return;
    }
    let source = r#"/dts-v1/;
/ {
    cpus { };
    memory@0 { };
};
"#;
    insta::assert_snapshot!(findings(source), @r##"eth.dts is a device tree, but neither a layout (no node containers, objects or connections) nor a configuration (no node board_info, resources, mc_general or controllers); its nodes are: cpus, memory@0"##);
}

/// Findings carry their parts, for programs.
#[test]
fn findings_are_structured() {
    if !have_dtc("findings_are_structured") {
        return;
    }
    let source = "/dts-v1/;\n/ {\n containers { dprc@1 { parent = \"none\"; }; };\n \
                  objects {\n  dpbp@0 {\n   colour = <1>;\n  };\n };\n};\n";
    let loaded = Loader::new(&dtc).source("x.dts", source).unwrap();
    let place = |line| Place { file: "x.dts".to_owned(), line: Some(line) };
    let [unplaced, colour] = loaded.warnings.list.as_slice() else { panic!() };
    assert_eq!((&colour.place, colour.property.as_deref()), (&place(6), Some("colour")));
    assert_eq!((&unplaced.place, unplaced.property.as_deref()), (&place(5), None));
    assert_eq!(unplaced.node, "/objects/dpbp@0");
    assert!(loaded.warnings.list.iter().all(|problem| problem.severity == Severity::Warning));
}

/// One bad file does not fill the screen, and is refused all the same.
#[test]
fn findings_are_limited() {
    if !have_dtc("findings_are_limited") {
        return;
    }
    let unknown: String = (0..500).map(|n| format!("colour{n} = <1>; ")).collect();
    let source = format!(
        "/dts-v1/; / {{ containers {{ dprc@1 {{ parent = \"none\"; {unknown} }}; \
         dprc@2 {{ parent = \"dprc@3\"; }}; }}; }};"
    );
    let error = Loader::new(&dtc).source("x.dts", &source).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 201);
    assert!(error.ends_with("and 301 more"), "{error}");
}

#[test]
fn without_a_compiler() {
    let none = || Command::new("no-such-dtc");
    let error = Loader::new(&none).source("eth.dts", "/dts-v1/; / { };").unwrap_err();
    insta::assert_snapshot!(error, @r#"eth.dts is a device-tree source, and its compiler "no-such-dtc" was not found: install the package device-tree-compiler, or compile the file elsewhere and give the .dtb"#);
}

#[test]
fn one_kind_for_the_other() {
    if !have_dtc("one_kind_for_the_other") {
        return;
    }
    let loader = Loader::new(&dtc);
    let dpc = loader.source("dpc.dts", "/dts-v1/; / { board_info { }; };").unwrap();
    insta::assert_snapshot!(dpc.into_dpl().unwrap_err(), @"dpc.dts is a data path configuration (DPC): it describes ports and pools of a board, no objects. Give the layout that goes with it (its name starts with dpl, as a rule)");
    let source = "/dts-v1/; / { containers { dprc@1 { parent = \"none\"; }; }; };";
    let dpl = loader.source("dpl.dts", source).unwrap();
    insta::assert_snapshot!(dpl.into_dpc().unwrap_err(), @"dpl.dts is a data path layout (DPL): it lists containers and objects, no facts of a board. Give the configuration that goes with it (its name starts with dpc, as a rule)");
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let loader = Loader::new(&dtc);
    let error = loader.file(Path::new("no/such.dts")).unwrap_err();
    insta::assert_snapshot!(error, @"reading no/such.dts: No such file or directory (os error 2)");
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, bytes).unwrap();
        loader
            .file(&path)
            .unwrap_err()
            .to_string()
            .replace(&format!("{}/", directory.display()), "")
    };
    insta::assert_snapshot!(write("picture.dtb", b"\x89PNG\xff\xfe"), @"picture.dtb is neither a device-tree blob (its first bytes differ) nor a source (it is not text)");
    insta::assert_snapshot!(write("cut.dtb", &0xd00d_feedu32.to_be_bytes()), @"cut.dtb: the device-tree blob is malformed at byte 0x0: 4 bytes are too few for the 40-byte header of a device-tree blob");
    insta::assert_snapshot!(write("large.dts", &vec![b' '; (4 << 20) + 1]), @"large.dts has more than 4194304 bytes, the most that a layout may have");
}

/// What a chip lacks is refused where it is defined, with the chips that have it.
#[test]
fn objects_and_ports_that_a_chip_lacks() {
    if !have_dtc("objects_and_ports_that_a_chip_lacks") {
        return;
    }
    let layout = r#"/dts-v1/;
/ {
    containers {
        dprc@1 {
            parent = "none";
            objects {
                obj_set@dpmac { type = "dpmac"; ids = <10 12 17>; };
                obj_set@dpaiop { type = "dpaiop"; ids = <0>; };
            };
        };
        dprc@2 { parent = "dprc@1"; options = "DPRC_CFG_OPT_AIOP"; };
    };
    objects {
        dpmac@10 { };
        dpmac@12 { };
        dpmac@17 { };
        dpaiop@0 { aiop_container_id = <2>; };
    };
};
"#;
    let configuration = r#"/dts-v1/;
/ {
    board_info {
        ports {
            mac@2 { link_type = "MAC_LINK_TYPE_PHY"; };
            mac@19 { link_type = "MAC_LINK_TYPE_PHY"; };
        };
    };
};
"#;
    let on = |soc: Soc, source| {
        let loaded = Loader::new(&dtc).for_soc(&soc).source("x.dts", source);
        loaded.map_or_else(|error| error.to_string(), |loaded| loaded.warnings.to_string())
    };
    insta::assert_snapshot!(on(Soc::LX2160A, layout), @"x.dts:17: error: /objects/dpaiop@0: the LX2160A has no AIOP; remove it, or choose a chip that has it: LS2088A, LS1088A");
    insta::assert_snapshot!(on(Soc::LS2088A, layout), @"x.dts:16: error: /objects/dpmac@17: the LS2088A has no MAC 17; remove it, or choose a chip that has it: LX2160A");
    insta::assert_snapshot!(on(Soc::LS1088A, layout), @r"
    x.dts:15: error: /objects/dpmac@12: the LS1088A has no MAC 12; remove it, or choose a chip that has it: LX2160A, LS2088A
    x.dts:16: error: /objects/dpmac@17: the LS1088A has no MAC 17; remove it, or choose a chip that has it: LX2160A
    ");
    insta::assert_snapshot!(on(Soc::LX2160A, configuration), @"x.dts:6: error: /board_info/ports/mac@19: the LX2160A has no MAC 19; remove it: no chip has it");
    assert_eq!(findings(layout), "", "without a chip, all layouts are taken");
}

/// Lines are those of the file that states the property, not of the one that
/// includes it.
#[test]
fn lines_of_included_files() {
    if !have_dtc("lines_of_included_files") {
        return;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let main = directory.join("including.dts");
    let included = "/ {\n objects {\n  dpio@0 {\n   num_priorities = <9>;\n  };\n };\n};\n";
    std::fs::write(directory.join("included.dtsi"), included).unwrap();
    let text = "/dts-v1/;\n/include/ \"included.dtsi\"\n/ {\n objects {\n  dpcon@0 {\n   \
                num_priorities = <9>;\n  };\n };\n containers {\n  dprc@1 {\n   parent = \"none\";\n  \
                };\n };\n};\n";
    std::fs::write(&main, text).unwrap();
    let error = Loader::new(&dtc).file(&main).unwrap_err();
    let places: Vec<_> = error.problems().iter().map(|problem| problem.place.clone()).collect();
    let place = |name, line| {
        let file = directory.join(name).display().to_string();
        Place { file, line: Some(line) }
    };
    let expected = [
        place("including.dts", 5),
        place("including.dts", 6),
        place("included.dtsi", 3),
        place("included.dtsi", 4),
    ];
    assert_eq!(places, expected, "{error}");
}
