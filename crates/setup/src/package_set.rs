// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The sets of packages, one for each thing that a user may want to do.

/// A set of packages that is fetched and unpacked as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackageSet {
    /// To boot the board: QEMU, dtc, the arm64 kernel with its modules, and a
    /// static arm64 busybox.
    Board,
    /// To build the guest's programs: a Rust compiler with the standard library
    /// for host and guest, and a linker and C library for the guest.
    Cross,
    /// To build modules for the board's kernel: compilers, kbuild, the kernel's
    /// headers, and what Debian's headers lack to build modules in Rust.
    KernelBuild,
    /// To make images of file systems for the guest.
    Images,
    /// To build a kernel that watches the driver: clang, and the kernel's sources.
    DebugKernel,
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
    /// What is done with the unpacked packages.
    pub finish: Finish,
    /// Bytes that this takes on the disk while it works, beside the packages.
    pub scratch: u64,
}

impl Set {
    /// What the resolver is asked for.
    pub fn selection(&self) -> Selection {
        Selection {
            name: self.name.to_owned(),
            install: self.install.iter().map(|&package| package.to_owned()).collect(),
            absent: self.absent.to_vec(),
            at_least: self.at_least,
        }
    }
}

/// What the resolver is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Its name in messages.
    pub name: String,
    /// Packages to resolve with all they depend on, in apt-get's words.
    pub install: Vec<String>,
    /// Packages that the resolver takes for installed.
    pub absent: Vec<Absent>,
    /// The least version of a package that will do.
    pub at_least: Option<(&'static str, &'static str)>,
}

/// What is done with a tree before it is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Nothing.
    AsItIs,
    /// The kernel is made ready for booting.
    Kernel,
    /// The kernel's own Rust crates are built, and what only this needs is
    /// removed. The number counts up when the result changes.
    BuildTree(u32),
    /// Commands can be run in it as if it were the machine's `/`.
    Sandbox,
}

/// A package that is never fetched though others depend on it.
#[derive(Debug, Clone, Copy)]
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

pub(crate) const fn absent(name: &'static str) -> Absent {
    Absent { name, kind: AbsentKind::Everywhere }
}

impl PackageSet {
    /// All sets.
    pub const ALL: [Self; 5] =
        [Self::Board, Self::Cross, Self::KernelBuild, Self::Images, Self::DebugKernel];

    /// The set's name, in file names and messages.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    pub(crate) fn definition(self) -> &'static Set {
        match self {
            PackageSet::Board => &BOARD,
            PackageSet::Cross => &CROSS,
            PackageSet::KernelBuild => &KERNEL_BUILD,
            PackageSet::Images => &IMAGES,
            PackageSet::DebugKernel => &DEBUG_KERNEL,
        }
    }
}

/// QEMU 11.1 is the first release with `vfio-user-pci` that works with several
/// sockets. The kernel's meta package depends on the current kernel's packages:
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
    finish: Finish::Kernel,
    scratch: 0,
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
    finish: Finish::AsItIs,
    scratch: 0,
};

/// The configuration of the kernel records what the tools can do and which
/// versions they have: it comes out as Debian's own only with all of the tools
/// that Debian builds with, those for 32-bit programs and for signatures
/// included. `linux-source` and `linux-headers-arm64` depend on those of the
/// current kernel.
///
/// libclang is here without the static libraries of `libclang-dev`. The sanitizers
/// and other run-time libraries that a C compiler comes with are of no use to a
/// kernel.
static KERNEL_BUILD: Set = Set {
    name: "kernel-build",
    install: &[
        "linux-headers-arm64:arm64",
        "linux-source",
        "rustc",
        "rust-src",
        "rust-clippy",
        "rustfmt",
        "bindgen",
        "libclang1-19",
        "libclang-common-19-dev",
        "gcc-14",
        "libc6-dev",
        "gcc-14-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "gcc-14-arm-linux-gnueabihf",
        "make",
        "flex",
        "bison",
        "bc",
        "libelf-dev",
        "libssl-dev",
        "openssl",
        "pahole",
        "python3-minimal",
        "perl-base",
        "bash",
        "dash",
        "coreutils",
        "findutils",
        "diffutils",
        "sed",
        "grep",
        "mawk",
        "tar",
        "gzip",
        "xz-utils",
        "bubblewrap",
    ],
    absent: &[
        absent("gcc"),
        absent("gcc-14-for-host"),
        absent("libclang-dev"),
        absent("linux-base"),
        absent("dpkg"),
        absent("debianutils"),
        absent("debconf"),
        absent("base-files"),
        absent("libsystemd0"),
        absent("openssl-provider-legacy"),
        absent("rpcsvc-proto"),
        absent("libgprofng0"),
        absent("libcc1-0"),
        absent("libgomp1"),
        absent("libitm1"),
        absent("libatomic1"),
        absent("libasan8"),
        absent("liblsan0"),
        absent("libtsan2"),
        absent("libubsan1"),
        absent("libhwasan0"),
        absent("libquadmath0"),
        absent("libgomp1-arm64-cross"),
        absent("libitm1-arm64-cross"),
        absent("libatomic1-arm64-cross"),
        absent("libasan8-arm64-cross"),
        absent("liblsan0-arm64-cross"),
        absent("libtsan2-arm64-cross"),
        absent("libubsan1-arm64-cross"),
        absent("libhwasan0-arm64-cross"),
        absent("libgomp1-armhf-cross"),
        absent("libatomic1-armhf-cross"),
        absent("libasan8-armhf-cross"),
        absent("libubsan1-armhf-cross"),
    ],
    at_least: Some(("linux-source", "7.3")),
    programs: &["rustc", "bindgen", "make", "bwrap"],
    files: &[
        "usr/src/linux-headers-*/Module.symvers",
        "usr/src/linux-headers-*/rust/libkernel.rmeta",
        "usr/src/linux-headers-*/rust/libmacros.so",
        "usr/src/linux-headers-*-common/rust/bindgen_parameters",
        "usr/src/linux-headers-*-common/.rustfmt.toml",
        "usr/src/linux-headers-*-common/drivers/net/ethernet/freescale/dpaa2/dpaa2-switch.c",
        "usr/bin/clippy-driver",
        "usr/bin/rustfmt",
        "usr/bin/aarch64-linux-gnu-gcc-14",
        "usr/bin/aarch64-linux-gnu-strip",
    ],
    finish: Finish::BuildTree(2),
    scratch: 1 << 30,
};

/// kmod opens the libraries that unpack modules at run time: no package depends on
/// them.
static IMAGES: Set = Set {
    name: "images",
    install: &["erofs-utils", "kmod", "liblzma5", "libzstd1", "zlib1g"],
    absent: &[absent("openssl-provider-legacy")],
    at_least: None,
    programs: &["mkfs.erofs", "kmod"],
    files: &["usr/sbin/depmod"],
    finish: Finish::AsItIs,
    scratch: 0,
};

/// `LLVM=-19` takes all tools of LLVM 19 by these names, those for the machine's own
/// programs included; of gcc it takes the libraries that any C program is linked with.
static DEBUG_KERNEL: Set = Set {
    name: "debug-kernel",
    install: &[
        "linux-source",
        "clang-19",
        "lld-19",
        "llvm-19",
        "rustc",
        "rust-src",
        "bindgen",
        "libclang1-19",
        "libclang-common-19-dev",
        "libgcc-14-dev",
        "libc6-dev",
        "make",
        "flex",
        "bison",
        "bc",
        "libelf-dev",
        "libssl-dev",
        "openssl",
        "python3-minimal",
        "perl-base",
        "bash",
        "dash",
        "coreutils",
        "findutils",
        "diffutils",
        "sed",
        "grep",
        "mawk",
        "tar",
        "gzip",
        "xz-utils",
        "bubblewrap",
    ],
    absent: &[
        absent("gcc"),
        absent("gcc-14-for-host"),
        absent("libclang-dev"),
        absent("linux-base"),
        absent("dpkg"),
        absent("debianutils"),
        absent("debconf"),
        absent("base-files"),
        absent("libsystemd0"),
        absent("openssl-provider-legacy"),
        absent("rpcsvc-proto"),
        absent("libgprofng0"),
        absent("libcc1-0"),
        absent("libitm1"),
        absent("libatomic1"),
        absent("libasan8"),
        absent("liblsan0"),
        absent("libtsan2"),
        absent("libubsan1"),
        absent("libhwasan0"),
        absent("libquadmath0"),
        absent("libgomp1"),
        absent("libobjc-14-dev"),
        absent("libstdc++-14-dev"),
        absent("python3-pygments"),
        absent("python3-yaml"),
        absent("media-types"),
        absent("netbase"),
        absent("tzdata"),
        absent("libgpm2"),
    ],
    at_least: Some(("linux-source", "7.3")),
    programs: &["rustc", "bindgen", "make", "bwrap"],
    files: &[
        "usr/src/linux-source-*.tar.xz",
        "usr/lib/llvm-19/bin/clang",
        "usr/lib/llvm-19/bin/ld.lld",
        "usr/lib/llvm-19/bin/llvm-objcopy",
        "usr/lib/rustlib/src",
    ],
    finish: Finish::Sandbox,
    scratch: 2 << 30,
};
