// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Object versions, which sysfs does not show.

use crate::manage::{list, with_open};
use dprc::Management;
use fslmc_guest::protocol::BusDevice;
use mc_abi::common::{ApiVersion, GET_API_VERSION};
use mc_abi::{ObjectId, ObjectType, Token};
use std::collections::HashMap;

/// Asks the management interface for the versions of the devices. What it does not
/// report, because it is not there or its portal is taken, stays unknown.
pub fn fill_in(devices: &mut [BusDevice]) {
    let containers: Vec<ObjectId> = devices
        .iter()
        .filter(|device| device.kind == "dprc")
        .filter_map(|device| device.name.parse().ok())
        .collect();
    let Some(root) = devices.iter().find(|device| device.container.is_none()) else { return };
    let Ok(mut portal) = Management::open(&root.name) else { return };
    let mut versions: HashMap<String, (u16, u16)> = HashMap::new();
    // No container lists the root; its version is that of its family.
    let family: Result<ApiVersion, _> =
        portal.call_family("GetApiVersion", GET_API_VERSION, ObjectType::Dprc, Token::NONE, &());
    if let Ok(version) = family {
        versions.insert(root.name.clone(), (version.major, version.minor));
    }
    for container in containers {
        let Ok(objects) = with_open(&mut portal, container, list) else { continue };
        for object in objects {
            let name = ObjectId::new(object.kind, object.id).to_string();
            versions.insert(name, (object.version_major, object.version_minor));
        }
    }
    for device in devices {
        device.version = versions.get(&device.name).copied();
    }
}
