// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Records what a board's Management Complex answers, for `fslmc board replay`.
//!
//! Nothing is changed: the program lists containers, objects and pools, and opens each
//! object to read what the kernel lets through (`fsl-mc-uapi.c`). Addresses of ports
//! and interfaces are left out, as they tell boards apart.

use crate::manage::with_open;
use dprc::{Management, McPortal};
use fsl_mc_linux::bus::ROOT;
use guest_agent::Failure;
use mc_abi::common::GET_API_VERSION;
use mc_abi::{Message, ObjectId, ObjectType, Params, Token, dpmng, dprc as container};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Commands that change nothing and that the kernel passes on. Asked are those that take
/// no parameters in the family: a demultiplexer's frame length is one of an interface.
const READS: [&str; 4] =
    ["GetAttributes", "GetLinkState", "GetMaxFrameLength", "GetPeerAttributes"];

/// Writes the record to standard output.
pub fn run(root: ObjectId) -> Result<(), Failure> {
    let portal = Management::open(&root.to_string())?;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lines);
    let mut portal = portal.watched(move |command, answer| {
        let line = format!("{{\"command\":\"{}\",\"answer\":\"{}\"}}", hex(command), hex(answer));
        if let Ok(mut lines) = noted.lock() {
            lines.push(line);
        }
    });
    walk(&mut portal, root)?;
    let lines = std::mem::take(&mut *lines.lock().map_err(|_| lost())?);
    let mut out = std::io::stdout().lock();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let write = (|| {
        writeln!(out, "# {root} as Linux {} has it below {ROOT}", release.trim())?;
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    })();
    write.map_err(|error: std::io::Error| {
        Failure::io("cannot write", Path::new("standard output"), &error, "")
    })
}

fn lost() -> Failure {
    Failure::new("the record is lost", "in memory", "Try again")
}

fn walk(portal: &mut McPortal, root: ObjectId) -> Result<(), Failure> {
    portal.call(Token::NONE, &dpmng::GetVersion {})?;
    for kind in ObjectType::ALL {
        let number = GET_API_VERSION + kind.code();
        let ask = Message::command(number, 1, Token::NONE, Params::ZERO);
        let _ = portal.exchange(&ask);
    }
    contents(portal, root)?;
    // What the MC's own container has free. Some firmware keeps it to itself.
    let _ = with_open(portal, ObjectId::new(ObjectType::Dprc, 0), |portal, open| {
        let pools = portal.call(open, &container::GetPoolCount {})?.count;
        for index in 0..pools {
            let kind = portal.call(open, &container::GetPool { index })?.kind;
            portal.call(open, &container::GetResourceCount { kind })?;
        }
        Ok(())
    });
    Ok(())
}

/// A container, what lies in it, and what lies in those.
fn contents(portal: &mut McPortal, id: ObjectId) -> Result<(), Failure> {
    let objects = with_open(portal, id, |portal, open| {
        portal.call(open, &container::GetAttributes {})?;
        let count = portal.call(open, &container::GetObjectCount {})?.count;
        let mut objects = Vec::new();
        for index in 0..count {
            let object = portal.call(open, &container::GetObject { index })?.object;
            objects.push(ObjectId::new(object.kind, object.id));
        }
        Ok(objects)
    })?;
    for object in objects {
        if object.kind == ObjectType::Dprc {
            contents(portal, object)?;
            continue;
        }
        // An object that is gone meanwhile, or a command that the kernel keeps, is no
        // reason to stop.
        let _ = with_open(portal, object, |portal, open| {
            for read in mc_abi::commands(object.kind) {
                let params = (read.sample)(&mut || u64::MAX, read.max_version);
                if !READS.contains(&read.name) || params != Params::ZERO {
                    continue;
                }
                let ask = Message::command(read.number, read.max_version, open.token, Params::ZERO);
                let _ = portal.exchange(&ask);
            }
            Ok(())
        });
    }
    Ok(())
}

fn hex(message: &Message) -> String {
    let mut text = String::with_capacity(2 * Message::SIZE);
    for byte in message.to_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_128_digits() {
        let text = hex(&Message::command(0x831, 1, Token(2), Params::ZERO));
        assert_eq!(text.len(), 128);
        // Status "ready" is the third byte, the token the fifth, the number the last.
        assert_eq!(text[..16], *"0000010002001183");
    }
}
