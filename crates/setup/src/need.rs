// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The sets of packages, one for each thing that a user may want to do.

/// A set of packages that is fetched and unpacked as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// To boot the board: QEMU, dtc, the arm64 kernel with its modules, and a
    /// static arm64 busybox.
    Board,
    /// To build the guest's programs: a Rust compiler with the standard library
    /// for host and guest, and a linker and C library for the guest.
    Cross,
}

/// What a set consists of.
#[derive(Debug)]
pub(crate) struct Set {
    /// Its name.
    pub name: &'static str,
    /// Packages to resolve with all they depend on. One without an architecture
    /// is the host's.
    pub install: &'static [&'static str],
    /// Packages that the resolver takes for installed: what others depend on
    /// only to run maintainer scripts, to compile C, or at boot of a real
    /// machine.
    pub absent: &'static [Absent],
    /// The least version of a package that will do.
    pub at_least: Option<(&'static str, &'static str)>,
    /// Programs that are tried after unpacking.
    pub programs: &'static [&'static str],
    /// Other files without which the set is of no use. A `*` stands for any
    /// part of one name.
    pub files: &'static [&'static str],
    /// Whether a kernel is among it, to be made ready for booting.
    pub kernel: bool,
}

/// A package that is never fetched though others depend on it.
#[derive(Debug)]
pub(crate) struct Absent {
    /// Its name.
    pub name: &'static str,
    /// Which of its architectures, and how its version is stated.
    pub kind: AbsentKind,
}

/// How a package is made to look installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AbsentKind {
    /// For each architecture, in a version above all others.
    Everywhere,
    /// For arm64 only, in the very version that the archive has: others depend
    /// on exactly that one.
    ExactArm64,
}

const fn absent(name: &'static str) -> Absent {
    Absent { name, kind: AbsentKind::Everywhere }
}

impl Need {
    /// The set's name, in file names and messages.
    pub fn name(self) -> &'static str {
        self.set().name
    }

    pub(crate) fn set(self) -> &'static Set {
        match self {
            Need::Board => &BOARD,
            Need::Cross => &CROSS,
        }
    }
}

/// QEMU 11.1 is the first release with `vfio-user-pci` that works with several
/// sockets. The kernel's meta package depends on the current kernel's parts:
/// linux-base (System.map, config), linux-binary (vmlinuz) and linux-modules.
static BOARD: Set = Set {
    name: "board",
    install: &[
        "qemu-system-arm",
        "device-tree-compiler",
        "linux-image-arm64:arm64",
        "busybox-static:arm64",
    ],
    absent: &[
        absent("linux-base"),
        absent("kmod"),
        absent("initramfs-tools"),
        absent("adduser"),
        absent("openssl-provider-legacy"),
    ],
    at_least: Some(("qemu-system-arm", "11.1")),
    programs: &["qemu-system-aarch64", "dtc"],
    files: &["usr/bin/busybox", "usr/lib/modules/*/modules.order"],
    kernel: true,
};

/// rustc comes without gcc: the host's own linker links what runs on the host
/// (build scripts), and for the guest the linker is called directly. Of the
/// guest's half of the standard library only the static one is needed.
static CROSS: Set = Set {
    name: "cross",
    install: &[
        "rustc",
        "libstd-rust-dev:arm64",
        "binutils-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "libgcc-14-dev-arm64-cross",
    ],
    absent: &[
        absent("gcc"),
        absent("libc-dev"),
        absent("binutils"),
        absent("linux-libc-dev-arm64-cross"),
        absent("libgcc-s1-arm64-cross"),
        absent("libgomp1-arm64-cross"),
        absent("libitm1-arm64-cross"),
        absent("libatomic1-arm64-cross"),
        absent("libasan8-arm64-cross"),
        absent("liblsan0-arm64-cross"),
        absent("libtsan2-arm64-cross"),
        absent("libubsan1-arm64-cross"),
        absent("libhwasan0-arm64-cross"),
        Absent { name: "libstd-rust-1.85", kind: AbsentKind::ExactArm64 },
    ],
    at_least: Some(("rustc", "1.85")),
    programs: &["rustc", "aarch64-linux-gnu-ld"],
    files: &[
        "usr/aarch64-linux-gnu/lib/libc.a",
        "usr/lib/gcc-cross/aarch64-linux-gnu/14/libgcc_eh.a",
        "usr/lib/rustlib/aarch64-unknown-linux-gnu/lib/libstd-*.rlib",
    ],
    kernel: false,
};
