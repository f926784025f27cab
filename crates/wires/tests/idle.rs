// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Wires on which nothing passes use no processor. Alone in its program, whose
//! time it measures.

use std::{
    fs,
    process::Command,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};
use wires::{Network, Receiver, WireSpec};

struct Nobody;

impl Receiver for Nobody {
    fn receive(&self, _: u32, _: &[u8]) {}

    fn set_wire(&self, _: u32, _: bool) {}
}

/// Nanoseconds on a processor, of all threads.
fn used() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |task: std::io::Result<fs::DirEntry>| {
        let times = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of).sum()
}

#[test]
fn idle_wires_use_no_processor() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let specs = [
        "dpmac.1=loop,delay=2ms,rate=1Gbit".to_string(),
        "dpmac.2=dpmac.3,drop=1%".to_string(),
        format!("dpmac.4=unix:{},listen", at("a")),
        format!("dpmac.5=unix:{}", at("a")),
        "dpmac.6=tcp:127.0.0.1:0,listen".to_string(),
        format!("dpmac.7=pcap:out={}", at("out")),
        // Nobody is at the other end: one attempt a second.
        format!("dpmac.8=unix:{}", at("b")),
    ];
    let listener = std::os::unix::net::UnixListener::bind(at("b")).unwrap();
    let specs: Vec<WireSpec> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
    let network = Network::plug(&specs, &|| Command::new("qemu")).unwrap();
    let board = Arc::new(Nobody);
    let weak: Weak<Nobody> = Arc::downgrade(&board);
    network.attach(weak).unwrap();
    drop(listener);
    thread::sleep(Duration::from_millis(300));
    let before = used();
    let time = Duration::from_secs(3);
    thread::sleep(time);
    let share = (used() - before) as f64 / time.as_nanos() as f64;
    assert!(share < 0.01, "{:.2} % of a processor", share * 100.0);
    network.close();
}
