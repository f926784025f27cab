// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Where direct access to memory is aimed at.

use mc_attack::Random;
use std::ops::Range;

/// Doorbell of the ITS in an address space of VFIO's: where Linux maps it, and GITS_TRANSLATER.
const DOORBELL: u64 = 0x0800_0040;
/// Where much is on the board: memory of the host, its ITS, and addresses that other programs
/// give their frames.
const OF_OTHERS: [u64; 5] = [0x4000_0000, 0x8000_0000, 0x0808_0040, 0x1_0000_0000, 0x1_0020_0000];

/// Memory of the attacker's own, and what is not to be hit.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The attacker's own memory.
    pub own: Range<u64>,
    /// Memory that the attacker lives in, where a hit would end it.
    pub spared: Vec<Range<u64>>,
}

impl Addresses {
    /// Any address: own memory, its borders, and all that is not mapped.
    pub fn any(&self, random: &mut Random) -> u64 {
        let address = match random.below(12) {
            0..=3 => return self.inside(random, 64),
            // The data, or the table, ends in nothing.
            4 => self.own.end - 1 - random.below(256) as u64,
            5 => self.own.end,
            6 => self.own.start.wrapping_sub(random.below(4096) as u64),
            7 => random.word(),
            8 => random.word() & 0xffff_ffff,
            9 => random.word() & 0xffff_ffff_ffff,
            10 => random.pick(&OF_OTHERS) + (random.word() & 0xf_ffff),
            _ => random.pick(&[0, u64::MAX, u64::MAX - 63, DOORBELL, 1 << 48, 1 << 63]),
        };
        self.spare(address)
    }

    /// An address in own memory, with that alignment.
    pub fn inside(&self, random: &mut Random, align: u64) -> u64 {
        let places = (self.own.end - self.own.start) / align.max(1);
        self.own.start + random.below(places as usize) as u64 * align
    }

    /// The address, or another one where it would hit what is spared.
    pub fn spare(&self, address: u64) -> u64 {
        // What is long reaches past its start.
        const LONGEST: u64 = 1 << 20;
        let hits = |range: &Range<u64>| {
            !self.own.contains(&address)
                && address < range.end
                && address.saturating_add(LONGEST) > range.start
        };
        if self.spared.iter().any(hits) { address | 1 << 40 } else { address }
    }
}

/// The memory that the kernel of this machine uses, by `/proc/iomem`.
///
/// # Errors
/// What cannot be read, or understood.
pub fn kernels_memory(iomem: &str) -> Result<Vec<Range<u64>>, String> {
    let number = |text: &str| {
        u64::from_str_radix(text.trim(), 16)
            .map_err(|_| format!("/proc/iomem: {text:?} is no hexadecimal number"))
    };
    let ranges = iomem.lines().filter(|line| line.ends_with(" : System RAM")).map(|line| {
        let range = line.split(" : ").next().unwrap_or_default();
        let (start, end) =
            range.split_once('-').ok_or_else(|| format!("/proc/iomem: {line:?} is no range"))?;
        Ok(number(start)?..number(end)?.saturating_add(1))
    });
    let ranges: Vec<_> = ranges.collect::<Result<_, String>>()?;
    if ranges.iter().all(|range| range.end <= 1) {
        return Err("/proc/iomem names no memory: it takes root to read it".to_owned());
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IOMEM: &str = "09000000-09000fff : serial\n\
                         40000000-4dffffff : System RAM\n  40210000-41ffffff : Kernel code\n";

    #[test]
    fn the_kernels_memory_is_found() {
        let found = kernels_memory(IOMEM).unwrap();
        assert!(
            matches!(found[..], [Range { start: 0x4000_0000, end: 0x4e00_0000 }]),
            "{found:x?}"
        );
        assert!(kernels_memory("00000000-00000000 : System RAM\n").is_err());
        assert!(kernels_memory("x : System RAM\n").is_err());
    }

    /// Neither a start, nor what is up to a mebibyte behind it, is in spared memory.
    #[test]
    fn what_is_spared_is_not_aimed_at() {
        let kernel = 0x4000_0000..0x4e00_0000;
        let own = 0x4ff0_0000..0x5000_0000;
        let addresses = Addresses { own: own.clone(), spared: vec![kernel.clone()] };
        let mut random = Random(3);
        let (mut inside, mut outside) = (0, 0);
        for _ in 0..100_000 {
            let address = addresses.any(&mut random);
            let end = address.saturating_add(1 << 20);
            assert!(end <= kernel.start || address >= kernel.end, "{address:#x}");
            if own.contains(&address) { inside += 1 } else { outside += 1 }
        }
        assert!(inside > 30_000 && outside > 30_000, "{inside} {outside}");
    }
}
