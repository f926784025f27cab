// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Huge pages of 2 MiB for programs that ask for them, as DPDK does.

use crate::failure::Failure;
use crate::root_files::mount_one;
use rustix::mount::MountFlags;
use std::fs;
use std::path::Path;

/// Where they are mounted.
pub const PLACE: &str = "/dev/hugepages";

const COUNT: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// Reserves so many, of which the kernel may have reserved some when it started, and
/// mounts them.
///
/// # Errors
/// When the kernel has no such pages, or does not find enough memory for them.
pub fn reserve(pages: u64) -> Result<(), Failure> {
    let path = Path::new(COUNT);
    let failed = |what: &str, error: &std::io::Error| {
        Failure::io(what, path, error, "Choose a kernel with huge pages of 2 MiB")
    };
    let count = || -> Result<u64, Failure> {
        let text = fs::read_to_string(path).map_err(|e| failed("counting huge pages", &e))?;
        Ok(text.trim().parse().unwrap_or_default())
    };
    if count()? < pages {
        fs::write(path, pages.to_string()).map_err(|e| failed("reserving huge pages", &e))?;
    }
    let found = count()?;
    if found < pages {
        return Err(Failure::new(
            format!("of {pages} huge pages (2 MiB), the kernel found memory for {found}"),
            COUNT,
            "Give the machine more memory, or ask for fewer pages",
        ));
    }
    mount_one("hugetlbfs", "hugetlbfs", PLACE, MountFlags::empty(), "pagesize=2M")
}
