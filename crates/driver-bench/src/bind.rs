// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What it costs to bind a container and to take it back.

use crate::{
    Row,
    bound::{self, Bound, Error},
    meter::{Kind, Meter, Scope, row},
};

/// Binds and unbinds a container so many times. It ends up unbound.
pub fn run(container: &str, kind: &Kind, rounds: u32) -> Result<Vec<Row>, Error> {
    let mut meter = Meter::new(kind, Scope::Thread)?;
    let bound = Bound::bind(container)?;
    let devices = bound::bound_devices()?;
    let container = bound.name();
    bound::unbind(container)?;
    let (mut binds, mut unbinds) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = meter.start()?;
        bound::bind(container)?;
        binds.push(meter.since(start)?);
        let now = bound::bound_devices()?;
        if now != devices {
            return Err(format!("{now} devices are bound, {devices} before").into());
        }
        let start = meter.start()?;
        bound::unbind(container)?;
        unbinds.push(meter.since(start)?);
    }
    bound::bind(container)?;
    bound.unbind()?;
    let objects = devices.saturating_sub(1);
    Ok(vec![
        row(format!("bind of a container with {objects} objects"), binds),
        row(format!("unbind of a container with {objects} objects"), unbinds),
    ])
}
