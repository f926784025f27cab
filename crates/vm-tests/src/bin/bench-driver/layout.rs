// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The default layout with a second container of many objects.

use anyhow::Result;
use board::dpl::{Config, Container, Dpl, Object, Placement};
use mc_abi::{dpbp, dpcon};

/// Number of the container with many objects.
pub const MANY: u32 = 3;
/// Pools and channels in it, each.
const EACH: u32 = 50;
/// Above the numbers that the default layout uses.
const FIRST: u32 = 100;

/// The default layout, and dprc.3 with 50 dpbps and 50 dpcons.
pub fn layout() -> Result<Dpl> {
    let mut layout = vm_tests::layout("default")?;
    let objects: Vec<Object> = (FIRST..FIRST + EACH)
        .flat_map(|id| {
            let pool = Config::Dpbp(dpbp::Create {});
            let channel = Config::Dpcon(dpcon::Create { num_priorities: 2 });
            [Object::new(id, pool), Object::new(id, channel)]
        })
        .collect();
    let placed = |object: &Object| Placement { object: object.name(), plugged: true, label: None };
    layout.containers.push(Container {
        id: MANY,
        parent: Some(1),
        options: layout.container(2).map_or(0, |container| container.options),
        objects: objects.iter().map(placed).collect(),
        ..Container::default()
    });
    layout.objects.extend(objects);
    Ok(layout)
}
