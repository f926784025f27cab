// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! A second process that gets group and container from the first, and outlives it.

use super::mapped::works;
use crate::check::{Check, Outcome, check, done, fail, refused};
use crate::context::Context;
use crate::helper::{Helper, Job};
use crate::patience::patience;
use crate::sys::{self, Map, receive_files};
use dprc::Group;
use fsl_mc_linux::bus;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::CString;
use std::os::unix::net::UnixStream;

const GROUP: Check = Check::group("lending");

/// The checks.
pub const CHECKS: &[Check] = &[check!(
    outlives_the_first,
    "A process that got group and VFIO container from another opens and maps a dpmcp of its own, \
     and works on when the first is killed; nobody else can take the group before it ends.",
    "DPDK: a secondary process asks the primary for its files"
)];

fn outlives_the_first(context: &Context) -> Outcome {
    let (ours, its) = UnixStream::pair()?;
    let first = Helper::with_socket(Job::Lend, &[&context.container], its.into())?;
    let [container, group] = done("files sent through a socket", receive_files(&ours))?;

    let name = context.first("dpmcp")?;
    let device = CString::new(name.as_str()).map_err(std::io::Error::from)?;
    let device = done(&format!("{name} opened"), sys::device_of_group(&group, &device))?;
    let page = rustix::param::page_size();
    let all = ProtFlags::READ | ProtFlags::WRITE;
    let portal = Map::of(device.as_fd(), 0, page, all, MapFlags::SHARED);
    let portal = done(&format!("{name} mapped"), portal)?;
    works("the portal of the second process", &portal)?;

    first.kill()?;
    works("the portal when the first process has been killed", &portal)?;
    let again = Group::of_device(&context.container);
    match again {
        Err(dprc::Error::Kernel { errno, .. }) => {
            refused::<()>("the group, for a third", Err(errno), Errno::BUSY)?;
        }
        Err(error) => return fail("the group is refused to a third with EBUSY", error.to_string()),
        Ok(_) => return fail("the group is refused to a third", "it is opened"),
    }
    drop((container, group, device));
    works("the portal that is mapped, with all files closed", &portal)?;
    drop(portal);
    let free = bus::wait_until(patience(), || Group::of_device(&context.container).is_ok());
    if free { Ok(()) } else { fail("the group can be taken when the second has let go", "not so") }
}
