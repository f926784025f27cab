// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a kernel that is well does not print.

use fsl_mc_linux::kmsg::{is_call_trace, is_complaint};

/// The lines that are complaints and contain none of the `expected` texts: the
/// known defects of stock drivers are expected by name. The call trace that
/// follows an expected complaint belongs to it.
pub fn complaints<'a>(lines: &'a [String], expected: &[&str]) -> Vec<&'a str> {
    let mut trace_expected = false;
    let is_surprise = |line: &&str| {
        if expected.iter().any(|text| line.contains(text)) {
            trace_expected = true;
            false
        } else if is_call_trace(line) {
            !std::mem::take(&mut trace_expected)
        } else if is_complaint(line) {
            trace_expected = false;
            true
        } else {
            false
        }
    };
    lines.iter().map(String::as_str).filter(is_surprise).collect()
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn complaints_are_found_and_known_ones_left_out() {
        let lines: Vec<String> = [
            "[    1.0] fsl_mc_bus 10000000.fsl-mc: MC firmware version",
            "[    2.0] WARNING: CPU: 0 PID: 1 at drivers/vfio/x.c:1 vfio_x+0x1",
            "[    3.0] Unable to handle kernel NULL pointer dereference",
            "[    0.0] kmemleak: Kernel memory leak detector initialized",
            "[    0.0] KernelAddressSanitizer initialized (generic)",
            "[    4.0] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    5.0] BUG: KASAN: slab-use-after-free in vfio_y+0x1",
        ]
        .map(String::from)
        .into();
        assert_eq!(complaints(&lines, &[]).len(), 4);
        assert_eq!(complaints(&lines, &["vfio_x", "vfio_y", "memory leaks"]), [lines[2].as_str()]);
    }

    #[test]
    fn a_call_trace_belongs_to_the_complaint_before_it() {
        let lines: Vec<String> = [
            "WARNING: kernel/irq/msi.c:1084 at msi_x+0x270/0x2b0, CPU#0: client/112",
            "Modules linked in: vfio_fsl_mc",
            "Call trace:",
            "Call trace:",
        ]
        .map(String::from)
        .into();
        assert_eq!(complaints(&lines, &["msi_x"]).len(), 1);
        assert_eq!(complaints(&lines, &[]).len(), 3);
    }
}
