// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The hash that spreads frames over queues.
//!
//! It is the one of the hardware's table look-up unit as DPDK computes it in
//! software (`rte_pmd_dpaa2_get_tlu_hash`): a CRC-32 without initial or final
//! inversion, then four rounds of a substitution of four-bit nibbles and a
//! permutation of bits.

/// What becomes of a nibble.
const SUBSTITUTION: [u8; 16] = [1, 4, 15, 10, 6, 12, 7, 9, 0, 3, 11, 2, 8, 14, 13, 5];
/// Where the bits of either half go.
const PERMUTATION: [u8; 16] = [5, 9, 0, 13, 7, 2, 11, 14, 1, 4, 12, 8, 3, 15, 6, 10];
const ROUNDS: u32 = 4;

/// What a byte, by its place, adds to the result of a round.
static ROUND: [[u32; 256]; 4] = round_tables();

const fn round_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut byte = 0;
        while byte < 256 {
            let low = SUBSTITUTION[byte & 0xf] as u32;
            let high = SUBSTITUTION[byte >> 4] as u32;
            tables[place][byte] = permuted((low | high << 4) << (8 * place));
            byte += 1;
        }
        place += 1;
    }
    tables
}

const fn permuted(input: u32) -> u32 {
    let mut output = 0;
    let mut bit = 0;
    while bit < 16 {
        output |= (input >> bit & 0x0001_0001) << PERMUTATION[bit];
        bit += 1;
    }
    output
}

/// What a byte adds to the CRC of what it stands before: of seven further bytes first.
static CRC: [[u32; 256]; WORD] = crc_tables();

/// Bytes that the CRC takes at once.
const WORD: usize = 8;

const fn crc_tables() -> [[u32; 256]; WORD] {
    /// The polynomial of Ethernet's CRC-32, lowest bit first.
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut tables = [[0; 256]; WORD];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut place = WORD;
        while place > 0 {
            let mut bit = 0;
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            place -= 1;
            tables[place][byte] = crc;
        }
        byte += 1;
    }
    tables
}

/// The CRC of a key, without inversions: zeros in front of it make no difference, and so
/// it is taken in whole words.
#[inline]
fn crc(key: &[u8]) -> u32 {
    let (first, words) = key.as_rchunks::<WORD>();
    let first = first.iter().fold(0, |word, byte| word >> 8 | u64::from(*byte) << 56);
    let word = |crc: u32, word: u64| {
        let bytes = (word ^ u64::from(crc)).to_le_bytes();
        let parts = bytes.iter().zip(&CRC).map(|(byte, table)| table[usize::from(*byte)]);
        parts.fold(0, |sum, part| sum ^ part)
    };
    words.iter().map(|word| u64::from_le_bytes(*word)).fold(word(0, first), word)
}

/// The hash of a key.
#[inline]
pub(super) fn hash(key: &[u8]) -> u32 {
    let [first, second, third, fourth] = &ROUND;
    let mut state = crc(key);
    for _ in 0..ROUNDS {
        // Either half, and their difference.
        let [a, b, c, d] = state.to_le_bytes().map(usize::from);
        state = first[a ^ c] | second[b ^ d] | third[a] | fourth[b];
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that DPDK's function gives for these keys.
    #[test]
    fn hashes_are_those_of_dpdk() {
        let bytes: Vec<u8> = (0..64).collect();
        let known = [
            (0, 0xcb1c_70c9),
            (1, 0xcb1c_70c9),
            (4, 0xdd8f_36d4),
            (9, 0x5ff4_e27a),
            (13, 0x14da_488a),
            (37, 0xbab2_0748),
            (56, 0xe68c_0156),
        ];
        for (length, wanted) in known {
            assert_eq!(hash(&bytes[..length]), wanted, "{length} bytes");
        }
        // 10.0.0.1:1234 to 10.0.0.2:80 over TCP.
        let flow = [10, 0, 0, 1, 10, 0, 0, 2, 6, 0x04, 0xd2, 0, 0x50];
        assert_eq!(hash(&flow), 0x4298_19ce);
        assert_eq!(hash(&[0xff; 4]), 0x97c2_f4bd);
    }
}
