// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Object versions, which sysfs does not show.

use dprc::Management;
use dprc::manage::{list, with_open};
use fsl_mc_linux::bus::Device;
use guest_protocol::BusDevice;
use mc_abi::common::{ApiVersion, GET_API_VERSION};
use mc_abi::{ObjectId, ObjectType, Token};
use std::collections::HashMap;

/// The devices, with the versions that the management interface has. Those stay unknown
/// where it is not there or its portal is taken.
pub fn with_versions(devices: Vec<Device>) -> Vec<BusDevice> {
    let versions = versions(&devices);
    let with_version = |device: Device| BusDevice {
        version: versions.get(&device.name).copied(),
        kind: device.family().to_owned(),
        name: device.name,
        container: device.container,
        driver: device.driver,
        driver_override: device.driver_override,
        iommu_group: device.iommu_group,
        modalias: device.modalias,
    };
    devices.into_iter().map(with_version).collect()
}

fn versions(devices: &[Device]) -> HashMap<String, (u16, u16)> {
    let mut versions = HashMap::new();
    let Some(root) = devices.iter().find(|device| device.container.is_none()) else {
        return versions;
    };
    let Ok(mut portal) = Management::open(&root.name) else { return versions };
    // No container lists the root; its version is that of its family.
    let family: Result<ApiVersion, _> =
        portal.call_family("GetApiVersion", GET_API_VERSION, ObjectType::Dprc, Token::NONE, &());
    if let Ok(version) = family {
        versions.insert(root.name.clone(), (version.major, version.minor));
    }
    let containers = devices.iter().filter(|device| device.family() == "dprc");
    for container in containers.filter_map(|device| device.name.parse::<ObjectId>().ok()) {
        let Ok(objects) = with_open(&mut portal, container, list) else { continue };
        for object in objects {
            let name = ObjectId::new(object.kind, object.id).to_string();
            versions.insert(name, (object.version_major, object.version_minor));
        }
    }
    versions
}
