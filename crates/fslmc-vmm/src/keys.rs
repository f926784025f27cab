// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Keys on a console that are not for the guest.

/// What keys mean on a terminal that takes each as it is: Ctrl-A is followed by X, which ends
/// the guest, or by itself, which sends one.
#[derive(Debug, Default)]
pub struct Keys {
    prefixed: bool,
}

/// Ctrl-A.
const PREFIX: u8 = 1;

impl Keys {
    /// What goes to the guest of what was typed, and whether the guest is to end.
    pub fn typed(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut sent = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (std::mem::take(&mut self.prefixed), byte) {
                (false, PREFIX) => self.prefixed = true,
                (true, b'x' | b'X') => return (sent, true),
                (true, PREFIX) | (false, _) => sent.push(byte),
                (true, _) => sent.extend([PREFIX, byte]),
            }
        }
        (sent, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_and_x_end_the_guest_and_all_else_is_sent() {
        let mut keys = Keys::default();
        assert_eq!(keys.typed(b"ls\n"), (b"ls\n".to_vec(), false));
        // The prefix twice is one, and before other keys it is sent with them.
        assert_eq!(keys.typed(&[PREFIX, PREFIX, b'x']), (vec![PREFIX, b'x'], false));
        assert_eq!(keys.typed(&[PREFIX, b'c']), (vec![PREFIX, b'c'], false));
        // Each key may come alone.
        assert_eq!(keys.typed(&[b'a', PREFIX]), (b"a".to_vec(), false));
        assert_eq!(keys.typed(b"X"), (Vec::new(), true));
    }
}
