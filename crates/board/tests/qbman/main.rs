// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The queue manager, driven as Linux and DPDK drive it.

mod client;
mod congestion;
mod dequeue;
mod host;
mod hostile;
mod notifications;
mod order;
mod portals;
mod random;
mod threads;
