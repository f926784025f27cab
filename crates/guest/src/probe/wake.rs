// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! How soon a program that sleeps has a frame: from the call that sends it, through one
//! interface and into another one of the same kernel's, whose interrupt wakes the program.

use super::irq_trace::IrqTrace;
use crate::cli::Wake;
use guest_agent::Failure;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Who listens at one interface: a group of the link's, of those that are nobody's (RFC 4291,
/// 2.7, transient), so that no route leads there but by an interface.
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0xd9a2, 1);
const PORT: u16 = 0xd9a2;

/// Between two frames: whoever handled the last one sleeps again.
const PAUSE: Duration = Duration::from_millis(10);

/// After which a frame is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends frames one by one, and prints the shortest and the median time in nanoseconds; then
/// those of the interrupt alone, as [`IrqTrace`] has them.
pub fn run(options: &Wake) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let way = format!("{} to {}", options.from, options.to);
        let advice = "Both interfaces must be up, have a carrier and an address of the link";
        Failure::new(error.to_string(), way, advice)
    };
    let all = times(options).map_err(failed)?;
    // Again: what is recorded takes time, too.
    let trace = IrqTrace::start().map_err(failed)?;
    times(options).map_err(failed)?;
    let until_handled = trace.times().map_err(failed)?;
    let (Some(frame), Some(interrupt)) = (least_and_median(all), least_and_median(until_handled))
    else {
        return Err(failed(io::Error::other("no interrupt came for a frame")));
    };
    println!("{frame} {interrupt}");
    Ok(())
}

/// In nanoseconds.
fn least_and_median(mut times: Vec<Duration>) -> Option<String> {
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    Some(format!("{} {}", times.first()?.as_nanos(), median.as_nanos()))
}

/// One time at least.
fn times(options: &Wake) -> io::Result<Vec<Duration>> {
    let (from, to) = (index(&options.from)?, index(&options.to)?);
    let receiver = UdpSocket::bind(SocketAddrV6::new(GROUP, PORT, 0, to))?;
    receiver.join_multicast_v6(&GROUP, to)?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let sender = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    let group = SocketAddrV6::new(GROUP, PORT, 0, from);
    let mut times = Vec::new();
    for number in 0..options.count.max(1) {
        sleep(PAUSE);
        let start = Instant::now();
        sender.send_to(&number.to_le_bytes(), group)?;
        let mut came = [0; 4];
        receiver.recv(&mut came)?;
        times.push(start.elapsed());
        if came != number.to_le_bytes() {
            return Err(io::Error::other("another frame came"));
        }
    }
    Ok(times)
}

/// Linux's number of a network interface.
fn index(interface: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(Path::new("/sys/class/net").join(interface).join("ifindex"))
        .map_err(|error| io::Error::new(error.kind(), format!("{interface}: {error}")))?;
    text.trim().parse().map_err(io::Error::other)
}
