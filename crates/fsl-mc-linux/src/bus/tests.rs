// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause

use super::*;
use std::os::unix::fs::symlink;

/// A directory that looks like the bus: files take what is written to them,
/// nothing follows from it.
fn lookalike() -> (tempfile::TempDir, Bus) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let platform = root.join("platform/dprc.1");
    for (at, group, driver) in [
        ("", "0", Some(HOST_DRIVER)),
        ("dpbp.10", "0", None),
        ("dpbp.9", "0", None),
        ("dprc.2", "1", Some(VFIO_DRIVER)),
        ("dprc.2/dpio.3", "1", Some(VFIO_DRIVER)),
    ] {
        let directory = platform.join(at);
        fs::create_dir_all(&directory).unwrap();
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let modalias = format!("fsl-mc:v00001957d{}\n", family(&name));
        fs::write(directory.join("modalias"), modalias).unwrap();
        fs::write(directory.join("driver_override"), "(null)\n").unwrap();
        fs::create_dir_all(root.join("groups").join(group)).unwrap();
        symlink(root.join("groups").join(group), directory.join("iommu_group")).unwrap();
        if let Some(driver) = driver {
            let driver = root.join("drivers").join(driver);
            fs::create_dir_all(&driver).unwrap();
            symlink(&driver, directory.join("driver")).unwrap();
            symlink(&directory, driver.join(&name)).unwrap();
        }
        fs::create_dir_all(root.join("devices")).unwrap();
        symlink(&directory, root.join("devices").join(&name)).unwrap();
    }
    let bus = Bus::at(root.to_str().unwrap());
    (folder, bus)
}

#[test]
fn devices_come_with_container_driver_and_group() {
    let (_folder, bus) = lookalike();
    let devices = bus.devices().unwrap();
    let names: Vec<_> = devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["dprc.1", "dpbp.9", "dpbp.10", "dprc.2", "dpio.3"]);
    assert_eq!(devices[0].container, None);
    assert_eq!(devices[4].container.as_deref(), Some("dprc.2"));
    assert_eq!(devices[4].driver.as_deref(), Some(VFIO_DRIVER));
    assert_eq!(devices[4].iommu_group, Some(1));
    assert_eq!(devices[4].modalias, "fsl-mc:v00001957ddpio");
    assert_eq!(devices[4].driver_override, None);
    assert_eq!(bus.contents("dprc.2").unwrap(), devices[4..]);
}

#[test]
fn contents_of_containers_and_drivers_are_sorted() {
    let (_folder, bus) = lookalike();
    assert_eq!(bus.objects("dprc.1").unwrap(), ["dpbp.9", "dpbp.10", "dprc.2"]);
    assert_eq!(bus.bound_to(VFIO_DRIVER).unwrap(), ["dpio.3", "dprc.2"]);
    assert!(bus.has("dpbp.9") && !bus.has("dpbp.8"));
    let error = bus.objects("dprc.7").unwrap_err().to_string();
    assert!(error.contains("ENOENT") && error.contains("There is no dprc.7"), "{error}");
    let error = bus.bound_to("none").unwrap_err().to_string();
    assert!(error.contains("Load the module"), "{error}");
}

#[test]
fn a_refusal_names_file_errno_and_reason() {
    let (_folder, bus) = lookalike();
    // Neither file is there: the errno is real.
    let error = bus.unbind("dprc.2").unwrap_err();
    assert!(error.place.ends_with("drivers/vfio-fsl-mc/unbind"), "{error}");
    assert!(error.what.contains("ENOENT"), "{error}");
    assert_eq!(error.errno, Some(Errno::NOENT));
    let error = bus.bind("dprc.2", "none").unwrap_err().to_string();
    assert!(error.contains("no driver none"), "{error}");
    let error = bus.assign("dprc.7", VFIO_DRIVER).unwrap_err().to_string();
    assert!(error.contains("no dprc.7") && error.contains("dprc.2, dpio.3"), "{error}");
}

#[test]
fn a_container_is_taken_from_its_driver_for_one_that_is_there() {
    let (folder, bus) = lookalike();
    let unbind = folder.path().join("drivers").join(VFIO_DRIVER).join("unbind");
    fs::write(&unbind, "").unwrap();
    let error = bus.assign("dprc.2", "none").unwrap_err();
    assert!(error.to_string().contains("no driver none"), "{error}");
    assert_eq!(error.errno, Some(Errno::NOENT));
    assert_eq!(fs::read_to_string(&unbind).unwrap(), "", "it keeps the one that it has");
    assert_eq!(bus.device("dprc.2").unwrap().driver_override, None);
    // That is there, and refuses: it has no file to bind by.
    let error = bus.assign("dprc.2", HOST_DRIVER).unwrap_err();
    assert_eq!(fs::read_to_string(&unbind).unwrap(), "dprc.2");
    let text = error.to_string();
    assert!(text.contains("fsl_mc_dprc/bind") && text.contains("release it"), "{text}");
    assert_eq!(bus.assign("dprc.2", VFIO_DRIVER).unwrap(), bus.contents("dprc.2").unwrap());
}

#[test]
fn objects_are_told_from_other_files() {
    assert!(is_object("dpni.3") && is_object("dprc.12"));
    assert!(!is_object("power") && !is_object("dprc.x") && !is_object("driver"));
    assert_eq!((family("dpio.7"), number("dpio.7")), ("dpio", 7));
}

#[test]
fn a_container_that_the_host_has_already_stays_as_it_is() {
    let (folder, bus) = lookalike();
    let host = bus.driver_path(HOST_DRIVER);
    fs::create_dir_all(&host).unwrap();
    fs::write(host.join("unbind"), "").unwrap();
    let link = bus.device_path("dprc.2").canonicalize().unwrap().join("driver");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&host, &link).unwrap();
    assert_eq!(bus.release("dprc.2").unwrap(), bus.contents("dprc.2").unwrap());
    assert_eq!(fs::read_to_string(host.join("unbind")).unwrap(), "");
    drop(folder);
}
