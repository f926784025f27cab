// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! QEMU's command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::function::Function;
use crate::memory_map;

/// A directory of the host that the guest can mount over 9p.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDirectory {
    /// The directory.
    pub path: PathBuf,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// How long QEMU waits for a board's answer; then it takes the function for broken, for good.
/// A busy host may take its time, and a board that is stopped in a debugger, or whose machine
/// sleeps, is to be as it was when it goes on. In milliseconds it fits QEMU's `int`.
const ANSWER_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The 9p tag of the [`SharedDirectory`].
pub const SHARED_TAG: &str = "host";

/// The 9p tag of a directory that the guest has as its root file system.
pub const ROOT_TAG: &str = "root";

/// A file of the host that the guest sees as a disk, which it cannot write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file: what is on the disk, byte for byte.
    pub path: PathBuf,
    /// Its serial number, by which the guest tells it from others: at most 20 bytes.
    pub serial: &'static str,
}

/// The machine's processors, memory and model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Number of processors.
    pub cpus: u8,
    /// Bytes of RAM; a multiple of 2 MiB.
    pub memory: u64,
    /// QEMU's name of the processor model, with its options.
    pub cpu: String,
    /// Whether the processors have the hypervisor's exception level (for KVM in
    /// the guest).
    pub virtualization: bool,
    /// What the guest's clocks follow.
    pub time: Time,
    /// Whether there are two virtio network interfaces that reach each other, to be measured
    /// beside the board's. QEMU's hub is between them; their addresses are
    /// [`VIRTIO_PAIR`]. A further pair is on a PCI bus, for DPDK.
    pub virtio_pair: bool,
}

/// What the guest's clocks follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// The host's.
    #[default]
    Host,
    /// The guest's instructions, one a nanosecond. All processors then take turns on
    /// one thread. While all are idle, the clocks go on with the host's. What the guest
    /// measures is exact: PMU event 8 (INST_RETIRED) and the cycle counter count
    /// instructions, none for the time that a device takes.
    Instructions,
    /// As [`Time::Instructions`], but while all processors are idle, the clocks jump to
    /// the next timer of the guest's: nothing that the guest measures depends on the
    /// host. What it waits for outside of the machine seems to take very long.
    InstructionsAndTimers,
}

impl Time {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Host => &["-accel", "tcg,thread=multi"],
            Self::Instructions => &["-accel", "tcg,thread=single", "-icount", "shift=0"],
            Self::InstructionsAndTimers => {
                &["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
            }
        }
    }
}

/// The Ethernet addresses of [`Machine::virtio_pair`].
pub const VIRTIO_PAIR: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];

impl Default for Machine {
    fn default() -> Self {
        Self {
            cpus: 2,
            memory: 1 << 30,
            cpu: "cortex-a72".into(),
            virtualization: false,
            time: Time::Host,
            virtio_pair: false,
        }
    }
}

impl Machine {
    /// Adds what decides QEMU's device tree.
    fn describe(&self, command: &mut Command, machine: &str) {
        let virtualization = if self.virtualization { ",virtualization=on" } else { "" };
        command
            .arg("-machine")
            .arg(format!("virt,gic-version=3{virtualization}{machine}"))
            .args(["-cpu", &self.cpu, "-smp", &self.cpus.to_string()])
            .args(["-m", &format!("{}k", self.memory >> 10), "-nodefaults", "-display", "none"]);
    }

    /// Makes QEMU write the machine's device tree to `output` and end.
    pub fn dump_device_tree(&self, command: &mut Command, output: &Path) {
        self.describe(command, &format!(",dumpdtb={}", escaped(output)));
    }
}

/// The files and sockets of one machine, in its private directory.
pub struct Paths {
    directory: PathBuf,
}

/// The virtio-serial ports, by the names that the guest finds them by. The
/// first is the agent's control channel.
pub const PORTS: [&str; 4] = ["fslmc.control", "fslmc.stdin", "fslmc.stdout", "fslmc.stderr"];

impl Paths {
    /// The paths below `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The test socket.
    pub fn qtest(&self) -> PathBuf {
        self.directory.join("qtest")
    }

    /// The monitor socket.
    pub fn qmp(&self) -> PathBuf {
        self.directory.join("qmp")
    }

    /// The console's socket.
    pub fn console(&self) -> PathBuf {
        self.directory.join("console")
    }

    /// The socket of one of [`PORTS`].
    pub fn port(&self, port: &str) -> PathBuf {
        self.directory.join(port)
    }

    /// The socket of a function.
    pub fn function(&self, function: &Function) -> PathBuf {
        self.directory.join(function.address())
    }

    /// The device tree that QEMU dumps.
    pub fn dumped_tree(&self) -> PathBuf {
        self.directory.join("machine.dtb")
    }

    /// The device tree that the guest boots with.
    pub fn tree(&self) -> PathBuf {
        self.directory.join("board.dtb")
    }

    /// The initial file system.
    pub fn initramfs(&self) -> PathBuf {
        self.directory.join("initramfs")
    }
}

/// QEMU's command line.
pub struct Arguments<'a> {
    /// Processors and memory.
    pub machine: &'a Machine,
    /// Sockets and files. QEMU connects; all sockets listen already.
    pub paths: &'a Paths,
    /// The kernel image.
    pub kernel: &'a Path,
    /// The kernel's command line.
    pub append: &'a str,
    /// The board's functions; none for a bare machine.
    pub functions: &'a [Function],
    /// The directory that the guest sees.
    pub shared: Option<&'a SharedDirectory>,
    /// The directory that becomes the guest's root file system.
    pub root: Option<&'a SharedDirectory>,
    /// The guest's disks.
    pub disks: &'a [Disk],
}

impl Arguments<'_> {
    /// Adds the arguments to QEMU's command.
    pub fn add_to(&self, command: &mut Command) {
        self.machine.describe(command, ",memory-backend=ram");
        command
            .args([
                "-object",
                &format!("memory-backend-memfd,id=ram,size={},share=on", self.machine.memory),
            ])
            .args(self.machine.time.arguments())
            .args(["-no-reboot", "-S"])
            .args(["-run-with", "exit-with-parent=on"])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.paths.initramfs())
            .arg("-dtb")
            .arg(self.paths.tree())
            .args(["-append", self.append]);
        socket(command, "qmp", &self.paths.qmp());
        command.args(["-object", "monitor-qmp,id=monitor,chardev=qmp"]);
        socket(command, "console", &self.paths.console());
        command.args(["-serial", "chardev:console"]);
        self.add_ports(command);
        for (tag, directory) in [(SHARED_TAG, self.shared), (ROOT_TAG, self.root)] {
            add_directory(command, tag, directory);
        }
        self.add_disks(command);
        if self.machine.virtio_pair {
            add_virtio_pair(command);
        }
        if !self.functions.is_empty() {
            socket(command, "qtest", &self.paths.qtest());
            command.args(["-qtest", "chardev:qtest", "-qtest-log", "none"]);
        }
        for function in self.functions {
            command.arg("-device").arg(self.device(function));
        }
    }

    fn add_ports(&self, command: &mut Command) {
        command.args(["-device", "virtio-serial-device"]);
        for name in PORTS {
            socket(command, name, &self.paths.port(name));
            command.args(["-device", &format!("virtserialport,chardev={name},name={name}")]);
        }
    }

    fn add_disks(&self, command: &mut Command) {
        for Disk { path, serial } in self.disks {
            let file = escaped(path);
            command
                .args([
                    "-drive",
                    &format!("if=none,id={serial},format=raw,readonly=on,file={file}"),
                ])
                .args(["-device", &format!("virtio-blk-device,drive={serial},serial={serial}")]);
        }
    }

    fn device(&self, function: &Function) -> String {
        let path = self.paths.function(function);
        json!({
            "driver": "vfio-user-pci",
            "socket": { "type": "unix", "path": path.to_string_lossy() },
            // The bus that the guest does not see, whether or not there is another.
            "bus": "pcie.0",
            "addr": function.address(),
            "multifunction": function.multifunction,
            // A dead board closes the socket, which QEMU sees at once.
            "x-msg-timeout": ANSWER_LIMIT.as_millis(),
            "x-no-posted-writes": !function.posts_writes(),
        })
        .to_string()
    }
}

fn add_virtio_pair(command: &mut Command) {
    for (number, address) in VIRTIO_PAIR.iter().enumerate() {
        command
            .args(["-netdev", &format!("hubport,id=pair{number},hubid=0")])
            .args(["-device", &format!("virtio-net-device,netdev=pair{number},mac={address}")]);
    }
    let (bus, slot) = (memory_map::VIRTIO_BUSES.0, memory_map::VIRTIO_BUS_SLOT);
    command.args(["-device", &format!("pxb-pcie,id=virtio,bus_nr={bus},bus=pcie.0,addr={slot}")]);
    for number in 0..VIRTIO_PAIR.len() {
        let port = format!("pcie-root-port,id=port{number},bus=virtio,addr={number}");
        command
            .args(["-device", &format!("{port},chassis={number},hotplug=off")])
            .args(["-netdev", &format!("hubport,id=pci{number},hubid=1")])
            .args([
                "-device",
                &format!("virtio-net-pci,netdev=pci{number},bus=port{number},romfile="),
            ]);
    }
}

fn add_directory(command: &mut Command, tag: &str, directory: Option<&SharedDirectory>) {
    let Some(SharedDirectory { path, read_only }) = directory else { return };
    let read_only = if *read_only { "on" } else { "off" };
    let path = escaped(path);
    command
        .args([
            "-fsdev",
            &format!("local,id={tag},path={path},security_model=none,readonly={read_only}"),
        ])
        .args(["-device", &format!("virtio-9p-device,fsdev={tag},mount_tag={tag}")]);
}

fn socket(command: &mut Command, id: &str, path: &Path) {
    command.args(["-chardev", &format!("socket,id={id},path={},server=off", escaped(path))]);
}

/// A path within a comma-separated option list: commas are doubled.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn functions_come_as_devices_and_commas_are_doubled() {
        let mut functions = Function::icids(&[Arc::default(), Arc::default()]);
        functions.push(Function::smmu(Arc::default()));
        let paths = Paths::new("/run/a,b".into());
        let machine = Machine { cpus: 3, memory: 512 << 20, ..Machine::default() };
        let shared = SharedDirectory { path: "/tmp/x,y".into(), read_only: true };
        let mut command = Command::new("qemu");
        Arguments {
            machine: &machine,
            paths: &paths,
            kernel: Path::new("/boot/Image"),
            append: "quiet",
            functions: &functions,
            shared: Some(&shared),
            root: None,
            disks: &[Disk { path: "/images/a,b.erofs".into(), serial: "root" }],
        }
        .add_to(&mut command);
        let arguments: Vec<String> =
            command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        let line = arguments.join(" ");
        assert!(line.contains("-m 524288k") && line.contains("size=536870912,share=on"), "{line}");
        assert!(line.contains("path=/tmp/x,,y,security_model=none,readonly=on"), "{line}");
        assert!(line.contains("socket,id=qmp,path=/run/a,,b/qmp,server=off"), "{line}");
        let disk = "-drive if=none,id=root,format=raw,readonly=on,file=/images/a,,b.erofs \
                    -device virtio-blk-device,drive=root,serial=root";
        assert!(line.contains(disk), "{line}");
        let devices: Vec<&String> =
            arguments.iter().filter(|a| a.contains("vfio-user-pci")).collect();
        let devices: Vec<serde_json::Value> =
            devices.iter().map(|device| serde_json::from_str(device).unwrap()).collect();
        let [first, _, smmu] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!(first["socket"]["path"], "/run/a,b/04.0");
        assert_eq!(first["multifunction"], true);
        assert_eq!(first["x-no-posted-writes"], false);
        let limit = first["x-msg-timeout"].as_i64().unwrap();
        assert!((24 * 3_600_000..=i64::from(i32::MAX)).contains(&limit), "{limit} ms");
        assert_eq!(smmu["x-no-posted-writes"], true);
        assert!(arguments.iter().any(|a| a == "-S") && arguments.iter().any(|a| a == "-no-reboot"));
        assert!(line.contains("-accel tcg,thread=multi") && !line.contains("-icount"), "{line}");
    }

    #[test]
    fn instructions_are_counted_on_one_thread() {
        let machine = Machine { time: Time::Instructions, ..Machine::default() };
        let paths = Paths::new("/run/x".into());
        let mut command = Command::new("qemu");
        Arguments {
            machine: &machine,
            paths: &paths,
            kernel: Path::new("/boot/Image"),
            append: "",
            functions: &[],
            shared: None,
            root: None,
            disks: &[],
        }
        .add_to(&mut command);
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        assert!(arguments.join(" ").contains("-accel tcg,thread=single -icount shift=0 "));
        assert_eq!(Time::InstructionsAndTimers.arguments()[3], "shift=0,sleep=off");
    }
}
