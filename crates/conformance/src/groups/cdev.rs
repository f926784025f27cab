// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Devices that are opened by files of their own (`/dev/vfio/devices/vfioN`) and get
//! their address space from an iommufd.

use super::unbind::{Restored, ends, still_waits, unbind, works_again};
use super::util::{arm, disarm, new_eventfd};
use crate::check::{Check, Outcome, Stop, check, done, fail, is, refused, skip};
use crate::context::{Context, hold};
use crate::helper::is_clean;
use crate::kernel::Log;
use crate::mc::{self, EnabledInterrupt, container_of};
use crate::sys::{self, Block, Map};
use dprc::{Access, Backend, Device, DmaBuffer, Group, IommufdContainer};
use fsl_mc_linux::bus::{self, SYSFS};
use fsl_mc_linux::ioctl;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::CString;
use std::path::PathBuf;

const GROUP: Check = Check::group("cdev")
    .source("kernel: Documentation/driver-api/vfio.rst, linux/vfio.h, linux/iommufd.h")
    .seconds(60);

/// The checks.
pub const CHECKS: &[Check] = &[
    check!(
        nothing_before_bind,
        "A device file that is not bound to an iommufd answers to no call but that."
    ),
    check!(bound_once, "A device file is bound once, and a device by one file only."),
    check!(
        one_iommufd,
        "The devices of a container share an address space: they are bound to one iommufd."
    ),
    check!(file_or_group, "A container is used by its device files or by its group, not by both."),
    check!(
        same_device,
        "A device is the same by its file as by its group: flags, regions, interrupts."
    ),
    check!(
        portal,
        "The command portals of the container and of a dpmcp work, whether or not there is an \
         address space."
    ),
    check!(
        interrupt_in_another_address_space,
        "An interrupt goes on working when another address space takes the place of the first."
    )
    .interrupts(),
    check!(
        group_of_iommufd,
        "A group whose container is an iommufd serves devices with portals and interrupts."
    )
    .interrupts(),
    check!(
        again_and_again,
        "A container can be opened by its device files many times, with interrupts each time, and \
         by its group afterwards."
    )
    .interrupts()
    .defect(2)
    .spoils(),
    check!(
        library,
        "The library has a container by its device files: commands, memory for its objects, a \
         mapped portal, an interrupt."
    )
    .interrupts(),
    check!(
        unbind_waits,
        "An unbind waits for who has the device by its file, bound to an iommufd or not."
    ),
    check!(
        interrupt_needs_address_space,
        "An interrupt cannot be enabled before there is an address space, and works as soon as \
         there is one."
    )
    .interrupts()
    .defect(19)
    .spoils(),
    check!(
        detach_while_enabling,
        "Taking the address space away while interrupts are enabled does no harm: they work when \
         there is one again."
    )
    .interrupts()
    .defect(19)
    .spoils(),
];

/// An iommufd with an address space.
struct Iommufd {
    file: OwnedFd,
}

impl Iommufd {
    fn open() -> Result<Self, Stop> {
        match open("/dev/iommu") {
            Err(Errno::NOENT) => skip(format!("no /dev/iommu: {}", Errno::NOENT)),
            opened => Ok(Self { file: done("an opening of /dev/iommu", opened)? }),
        }
    }

    /// Makes an address space; answers with its number.
    fn address_space(&self) -> Result<u32, Stop> {
        let mut block = Block::new(&[12, 0, 0]);
        done("IOMMU_IOAS_ALLOC", block.ioctl(&self.file, ioctl::IOMMU_IOAS_ALLOC))?;
        Ok(block.word(2))
    }

    fn try_bind(&self, device: impl AsFd) -> Result<i32, Errno> {
        let number = self.file.as_raw_fd() as u32;
        Block::new(&[16, 0, number, 0]).ioctl(device, ioctl::DEVICE_BIND_IOMMUFD)
    }

    fn bind(&self, device: impl AsFd) -> Outcome {
        match self.try_bind(device) {
            Err(Errno::PERM) => skip(
                "iommufd takes no devices whose interrupts it does not know to be isolated: \
                      iommufd.allow_unsafe_interrupts=1 lets it",
            ),
            other => done("VFIO_DEVICE_BIND_IOMMUFD", other).map(drop),
        }
    }

    /// Opens a device and binds it.
    fn device(&self, name: &str) -> Result<Device, Stop> {
        let file = open_device(name)?;
        self.bind(&file)?;
        Ok(Device::of_file(name, file)?)
    }

    /// Opens a device and gives it an address space.
    fn device_in(&self, name: &str, address_space: u32) -> Result<Device, Stop> {
        let device = self.device(name)?;
        attach(&device, address_space)?;
        Ok(device)
    }
}

fn open(path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// The file of a device.
fn device_file(name: &str) -> Result<PathBuf, Stop> {
    let entries = std::fs::read_dir(SYSFS.device_path(name).join("vfio-dev"));
    let entry = entries.ok().and_then(|mut entries| entries.next()?.ok());
    let Some(entry) = entry else { return skip(format!("the kernel shows no vfio-dev of {name}")) };
    let path = PathBuf::from("/dev/vfio/devices").join(entry.file_name());
    if path.exists() { Ok(path) } else { skip(format!("there is no {}", path.display())) }
}

fn open_device(name: &str) -> Result<OwnedFd, Stop> {
    done(&format!("opening the file of {name}"), open(device_file(name)?))
}

fn try_attach(device: &Device, address_space: u32) -> Result<i32, Errno> {
    Block::new(&[12, 0, address_space]).ioctl(device, ioctl::DEVICE_ATTACH_IOMMUFD_PT)
}

fn attach(device: &Device, address_space: u32) -> Outcome {
    done("VFIO_DEVICE_ATTACH_IOMMUFD_PT", try_attach(device, address_space)).map(drop)
}

fn detach(device: &Device) -> Outcome {
    let got = Block::new(&[8, 0]).ioctl(device, ioctl::DEVICE_DETACH_IOMMUFD_PT);
    done("VFIO_DEVICE_DETACH_IOMMUFD_PT", got).map(drop)
}

fn commands_work(device: &Device, container: &str) -> Outcome {
    let number = container_of(&mut device.portal()?)?;
    is("number of the portal's container", number, bus::number(container))
}

fn nothing_before_bind(context: &Context) -> Outcome {
    let iommufd = Iommufd::open()?;
    let file = open_device(&context.container)?;
    let calls = [
        ("GET_INFO", ioctl::DEVICE_GET_INFO),
        ("GET_REGION_INFO", ioctl::DEVICE_GET_REGION_INFO),
        ("GET_IRQ_INFO", ioctl::DEVICE_GET_IRQ_INFO),
        ("SET_IRQS", ioctl::DEVICE_SET_IRQS),
        ("RESET", ioctl::DEVICE_RESET),
        ("ATTACH_IOMMUFD_PT", ioctl::DEVICE_ATTACH_IOMMUFD_PT),
    ];
    for (name, call) in calls {
        refused(name, Block::new(&[32, 0, 0]).ioctl(&file, call), Errno::INVAL)?;
    }
    let mut bytes = [0; 64];
    refused("a read", rustix::io::pread(&file, &mut bytes, 0), Errno::INVAL)?;
    refused("a write", rustix::io::pwrite(&file, &bytes, 0), Errno::INVAL)?;
    let map = Map::of(file.as_fd(), 0, 4096, ProtFlags::READ, MapFlags::SHARED);
    refused("a mapping", map, Errno::INVAL)?;
    iommufd.bind(&file)?;
    commands_work(&Device::of_file(&context.container, file)?, &context.container)
}

fn bound_once(context: &Context) -> Outcome {
    let iommufd = Iommufd::open()?;
    let first = iommufd.device(&context.container)?;
    refused("binding the file again", iommufd.try_bind(&first), Errno::INVAL)?;
    let second = open_device(&context.container)?;
    refused("binding another file", iommufd.try_bind(&second), Errno::INVAL)?;
    drop(first);
    iommufd.bind(&second)?;
    commands_work(&Device::of_file(&context.container, second)?, &context.container)
}

fn one_iommufd(context: &Context) -> Outcome {
    let (first, second) = (Iommufd::open()?, Iommufd::open()?);
    let portal = context.first("dpmcp")?;
    let device = first.device(&context.container)?;
    let file = open_device(&portal)?;
    if second.try_bind(&file).is_ok() {
        return fail("a device of the container is bound to no other iommufd", "it is bound");
    }
    first.bind(&file)?;
    drop(device);
    commands_work(&Device::of_file(&portal, file)?, &context.container)
}

fn file_or_group(context: &Context) -> Outcome {
    let iommufd = Iommufd::open()?;
    {
        let _device = iommufd.device(&context.container)?;
        if hold(&context.container).is_ok_and(|held| held.dprc().is_ok()) {
            return fail("the group cannot be used while a device file is bound", "it is");
        }
    }
    {
        let held = context.hold()?;
        let _dprc = held.dprc()?;
        let file = open_device(&context.container)?;
        refused("binding while the group is open", iommufd.try_bind(file), Errno::BUSY)?;
    }
    is_clean(&context.container)
}

type Seen = (dprc::DeviceInfo, Vec<dprc::RegionInfo>, Vec<dprc::IrqInfo>);

fn seen(device: &Device) -> Result<Seen, Stop> {
    let info = device.info();
    let regions = (0..info.regions).map(|index| device.region(index)).collect::<Result<_, _>>()?;
    let irqs = (0..info.irqs).map(|index| device.irq(index)).collect::<Result<_, _>>()?;
    Ok((info, regions, irqs))
}

fn same_device(context: &Context) -> Outcome {
    let iommufd = Iommufd::open()?;
    let address_space = iommufd.address_space()?;
    let names = context.devices()?;
    let mut all = Vec::new();
    let mut by_file = Vec::new();
    for name in &names {
        let device = iommufd.device_in(name, address_space)?;
        for index in 0..device.info().regions {
            if device.region(index)?.mappable {
                device.map_region(index)?;
            }
        }
        device.reset()?;
        by_file.push(seen(&device)?);
        all.push(device);
    }
    drop(all);
    let held = context.hold()?;
    for (name, by_file) in names.iter().zip(by_file) {
        is(&format!("{name} by its file"), by_file, seen(&held.device(name)?)?)?;
    }
    Ok(())
}

fn portal(context: &Context) -> Outcome {
    let iommufd = Iommufd::open()?;
    let names = [context.container.clone(), context.first("dpmcp")?];
    for name in &names {
        let device = iommufd.device(name)?;
        commands_work(&device, &context.container)?;
        attach(&device, iommufd.address_space()?)?;
        commands_work(&device, &context.container)?;
        if *name != context.container {
            let number = container_of(&mut device.mapped_portal()?)?;
            is("number of the mapped one", number, bus::number(&context.container))?;
        }
        detach(&device)?;
        commands_work(&device, &context.container)?;
    }
    Ok(())
}

fn library(context: &Context) -> Outcome {
    // What is not there is a reason to skip, as for the other checks.
    Iommufd::open()?.device(&context.container)?;
    let dpmcp = context.first("dpmcp")?;
    for _ in 0..2 {
        let held = IommufdContainer::open(&context.container)?;
        let page = rustix::param::page_size();
        let mapped = held.map(DmaBuffer::allocate(page)?, 0x1000_0000, Access::ReadWrite);
        let mapped = mapped.map_err(|error| error.error)?;
        if held.map(DmaBuffer::allocate(page)?, 0x1000_0000, Access::Read).is_ok() {
            return fail("an address is mapped once", "it is mapped twice");
        }
        let mut portal = held.device(&dpmcp)?.mapped_portal()?;
        is(
            "container of a mapped portal",
            container_of(&mut portal)?,
            bus::number(&context.container),
        )?;
        EnabledInterrupt::new(&held.dprc()?)?.raise_once()?;
        mapped.unmap()?;
        held.reset()?;
    }
    is_clean(&context.container)
}

/// An object beside the container itself whose interrupt is enabled, too.
fn object_with_interrupt(context: &Context) -> Result<String, Stop> {
    context.first("dpbp").or_else(|_| context.first("dpmcp"))
}

fn interrupt_needs_address_space(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let iommufd = Iommufd::open()?;
    let address_space = iommufd.address_space()?;
    let name = object_with_interrupt(context)?;
    let (dprc, object) = (iommufd.device(&context.container)?, iommufd.device(&name)?);
    let events = new_eventfd()?;
    // More often than the interrupt controller has interrupts for a container.
    for _ in 0..context.times(300) {
        refused("enabling the container's", arm(&dprc, 0, &events), Errno::INVAL)?;
        refused("enabling an object's", arm(&object, 0, &events), Errno::INVAL)?;
    }
    attach(&dprc, address_space)?;
    attach(&object, address_space)?;
    done("enabling an object's", arm(&object, 0, &events))?;
    EnabledInterrupt::new(&dprc)?.raise_once()?;
    log.is_calm()
}

fn interrupt_in_another_address_space(context: &Context) -> Outcome {
    let iommufd = Iommufd::open()?;
    let dprc = iommufd.device_in(&context.container, iommufd.address_space()?)?;
    let mut armed = EnabledInterrupt::new(&dprc)?;
    armed.raise_once()?;
    for _ in 0..context.times(10) {
        let attached = try_attach(&dprc, iommufd.address_space()?);
        // Where the kernel refuses, all is as it was.
        armed.raise_once()?;
        if attached == Err(Errno::NODEV) {
            // Linux's driver of the SMMUv2 has no page tables before a device is attached, and
            // iommufd would map the interrupt controller before that.
            return skip("the IOMMU's driver takes no interrupts to another address space");
        }
        done("VFIO_DEVICE_ATTACH_IOMMUFD_PT", attached)?;
        detach(&dprc)?;
        attach(&dprc, iommufd.address_space()?)?;
        armed.raise_once()?;
    }
    Ok(())
}

fn detach_while_enabling(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let iommufd = Iommufd::open()?;
    let address_space = iommufd.address_space()?;
    let name = object_with_interrupt(context)?;
    let events = new_eventfd()?;
    for _ in 0..context.times(60) {
        let object = iommufd.device(&name)?;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| -> Outcome {
                attach(&object, address_space)?;
                detach(&object)
            });
            for _ in 0..20 {
                // Either is fine; what is left behind is not.
                let _ = arm(&object, 0, &events);
            }
            other.join().unwrap_or_else(|_| fail("no panic", "a panic"))
        })?;
    }
    let dprc = iommufd.device_in(&context.container, address_space)?;
    EnabledInterrupt::new(&dprc)?.raise_once()?;
    let object = iommufd.device_in(&name, address_space)?;
    done("enabling an object's", arm(&object, 0, &events))?;
    log.is_calm()
}

fn again_and_again(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let names = context.devices()?;
    for _ in 0..context.times(5) {
        let iommufd = Iommufd::open()?;
        let address_space = iommufd.address_space()?;
        let mut all = Vec::new();
        for name in &names {
            let device = iommufd.device_in(name, address_space)?;
            let events = new_eventfd()?;
            for index in 0..device.info().irqs.min(1) {
                done(&format!("enabling the interrupt of {name}"), arm(&device, index, &events))?;
            }
            all.push((device, events));
        }
        let Some((dprc, _)) = all.first() else { return fail("a container", "nothing") };
        done("disabling it", disarm(dprc, 0))?;
        EnabledInterrupt::new(dprc)?.raise_once()?;
        if let Some((device, _)) = all.get(1) {
            mc::switch_on(&mut dprc.portal()?, mc::object(device.name())?)?;
        }
        drop(all);
        is_clean(&context.container)?;
    }
    let held = context.hold()?;
    EnabledInterrupt::new(&held.dprc()?)?.raise_once()?;
    log.is_calm()
}

fn unbind_waits(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let _restored = Restored(&context.container);
    for bound in [false, true] {
        let iommufd = Iommufd::open()?;
        let file = open_device(&context.container)?;
        if bound {
            iommufd.bind(&file)?;
        }
        let mut helper = unbind(&context.container)?;
        still_waits(&mut helper)?;
        if bound {
            commands_work(&Device::of_file(&context.container, file)?, &context.container)?;
        } else {
            // Who had it first may still use it, or be refused; that ends.
            let _ = iommufd.try_bind(&file);
            drop(file);
        }
        ends(helper)?;
        works_again(context)?;
    }
    log.is_calm()
}

fn group_of_iommufd(context: &Context) -> Outcome {
    let mut log = Log::from_here()?;
    let iommufd = Iommufd::open()?;
    {
        let group = Group::of_device(&context.container)?;
        let number = iommufd.file.as_raw_fd() as u32;
        let set = Block::new(&[number]).ioctl(&group, ioctl::GROUP_SET_CONTAINER);
        if set.is_err() {
            return skip("an iommufd cannot be a group's container here");
        }
        let name = CString::new(context.container.as_str()).map_err(std::io::Error::from)?;
        let file = match sys::device_of_group(&group, &name) {
            Err(Errno::PERM) => return skip("iommufd does not take the group"),
            other => done("VFIO_GROUP_GET_DEVICE_FD", other)?,
        };
        let dprc = Device::of_file(&context.container, file)?;
        commands_work(&dprc, &context.container)?;
        EnabledInterrupt::new(&dprc)?.raise_once()?;
    }
    is_clean(&context.container)?;
    log.is_calm()
}
