// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Which commands a busybox program offers.
//!
//! The guest's busybox cannot be asked on the host, so its table of applet
//! names is read from the program: NUL-terminated names in alphabetical order,
//! of which `[` and `[[` are the first.

/// The applets of a busybox program in the order of its table; empty where no
/// table is found.
pub fn applets(program: &[u8]) -> Vec<String> {
    const START: &[u8] = b"[\0[[\0";
    let Some(at) = program.windows(START.len()).position(|window| window == START) else {
        return vec![];
    };
    let mut names: Vec<String> = vec![];
    for name in program[at..].split(|byte| *byte == 0) {
        let Some(name) = applet_name(name) else { break };
        if names.last().is_some_and(|last| last.as_str() >= name) {
            break;
        }
        names.push(name.to_string());
    }
    names
}

fn applet_name(name: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"[-_.".contains(byte);
    (!name.is_empty() && name.len() < 32 && name.iter().all(plain))
        .then(|| std::str::from_utf8(name).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_where_names_or_order_do() {
        assert_eq!(
            applets(b"\x7fELF..\0[\0[[\0ash\0sh\0zcat\0\0more"),
            ["[", "[[", "ash", "sh", "zcat"]
        );
        assert_eq!(applets(b"\0[\0[[\0ash\0sh\0about\0"), ["[", "[[", "ash", "sh"]);
        assert_eq!(applets(b"\0[\0[[\0ash\0usage: x"), ["[", "[[", "ash"]);
        assert_eq!(applets(b"\0[\0[[\0"), ["[", "[["]);
        assert!(applets(b"no table here").is_empty());
        assert!(applets(b"").is_empty());
    }
}
