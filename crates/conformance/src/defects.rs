// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The known defects of the driver that Linux 7.3 has (`drivers/vfio/fsl-mc`).
//! Checks name them by number.

use std::fmt::Write as _;

/// A known defect of Linux's own driver.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// Its number.
    pub number: u8,
    /// What it is, in one sentence.
    pub text: &'static str,
    /// Whether it has been seen; otherwise it follows from the source.
    pub seen: bool,
}

const fn seen(number: u8, text: &'static str) -> Defect {
    Defect { number, text, seen: true }
}

const fn read(number: u8, text: &'static str) -> Defect {
    Defect { number, text, seen: false }
}

/// All of them.
pub const DEFECTS: [Defect; 25] = [
    seen(
        1,
        "SET_IRQS with DATA_NONE, ACTION_TRIGGER and count 0 dereferences a null pointer when no \
         interrupt was enabled before; the caller dies with the device's mutex locked.",
    ),
    seen(
        2,
        "Interrupts of a container work once per bind: after the last close the MSI domain stays, \
         and SET_IRQS answers ENODEV until the container is unbound.",
    ),
    read(
        3,
        "The interrupt pool and the interrupt arrays are device-managed memory that open and close \
         allocate again and again.",
    ),
    seen(
        4,
        "A command is a write and a read of the file with no lock between them: threads get each \
         other's answers, and the kernel's own commands share the portal.",
    ),
    read(
        5,
        "The portal is mapped into the kernel at the first access, without a lock and before the \
         arguments are checked.",
    ),
    seen(
        6,
        "A command's end is polled with udelay for up to five seconds, and not even SIGKILL ends \
         the wait.",
    ),
    seen(
        7,
        "Reads and writes are offered on regions that are not command portals, and pass commands' \
         bytes to whatever is there.",
    ),
    read(8, "Nothing recovers after a timeout: the next command overwrites the one in flight."),
    read(
        9,
        "Commands are not looked at: user space can close the kernel's own token, so that the \
         reset at close fails, or program any MSI address by SET_IRQ.",
    ),
    read(
        10,
        "The device is registered before the container is scanned: user space can use the portal \
         in between.",
    ),
    read(11, "The device is taken down in its release, which may come after it is bound again."),
    read(12, "An unbind waits for ever for the holder of a device and does not notify it."),
    read(
        13,
        "RESET is advertised for containers only, though it works for all objects, and is not \
         serialised with SET_IRQS.",
    ),
    read(
        14,
        "SET_IRQS ignores `start` when count is 0, takes MASK and UNMASK mixed with TRIGGER, and \
         lets a software trigger reserve 256 vectors.",
    ),
    read(
        15,
        "Region and interrupt indices are used under speculation, and a read-only mapping can be \
         made writable later.",
    ),
    read(16, "Objects keep the container's portal after the unbind."),
    seen(
        17,
        "Objects added to a bound container stay invisible until it is bound again: its own \
         interrupt is not handled.",
    ),
    read(18, "Objects of the container that another driver takes raise a warning only."),
    seen(
        19,
        "SET_IRQS on a device that an iommufd has given no address space loses vectors of the \
         interrupt controller for good: the container has no interrupts until the next boot.",
    ),
    seen(
        20,
        "An object that leaves its container stays in its holder's hands: a command portal that \
         is unplugged and moved to the root container answers for that one, by its mapping and by \
         its file.",
    ),
    seen(
        21,
        "Who opens a command portal finds in it the answer to the last command of who had it before.",
    ),
    seen(
        22,
        "An object whose reset at the last close fails is handed to the next user as the last one \
         left it.",
    ),
    seen(
        23,
        "Who opens a container finds the events of its interrupt enabled that the last holder has \
         enabled: the reset at the last close keeps them.",
    ),
    seen(
        24,
        "A machine that goes down without ending its programs first (`reboot -f`) waits for who \
         has a device open: the bus removes all devices then.",
    ),
    seen(
        25,
        "Only what was opened is reset when it is closed: through a dpmcp alone a program sets up \
         all objects of the container, which go on after its end, into the memory of the next one.",
    ),
];

/// All of them as a table in Markdown, with the checks that show them.
pub fn table() -> String {
    let mut text = String::from("| # | defect | known by | checks |\n|---|---|---|---|\n");
    for Defect { number, text: what, seen } in &DEFECTS {
        let how = if *seen { "seen" } else { "source" };
        let checks = crate::groups::all().filter(|check| check.defect == Some(*number));
        let checks: Vec<String> = checks.map(|check| format!("`{}`", check.path())).collect();
        // It cannot fail: it is a string.
        let _ = writeln!(text, "| {number} | {what} | {how} | {} |", checks.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up() {
        for (index, defect) in DEFECTS.iter().enumerate() {
            assert_eq!(usize::from(defect.number), index + 1);
        }
    }
}
