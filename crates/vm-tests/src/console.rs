// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What a kernel that is well does not print.

/// Words that open a complaint of the kernel about itself.
const COMPLAINTS: [&str; 12] = [
    "WARNING: ",
    "BUG: ",
    "kernel BUG at",
    "Oops",
    "Unable to handle kernel",
    "Internal error:",
    "Kernel panic",
    "Call trace:",
    "refcount_t:",
    "possible recursive locking",
    "rcu: INFO:",
    "blocked for more than",
];

/// The lines that are complaints and contain none of the `expected` texts: the
/// known defects of stock drivers are expected by name.
pub fn complaints<'a>(lines: &'a [String], expected: &[&str]) -> Vec<&'a str> {
    lines
        .iter()
        .map(String::as_str)
        .filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)))
        .filter(|line| !expected.iter().any(|text| line.contains(text)))
        .collect()
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
        ]
        .map(String::from)
        .into();
        assert_eq!(complaints(&lines, &[]).len(), 2);
        assert_eq!(complaints(&lines, &["vfio_x"]), [lines[2].as_str()]);
    }
}
