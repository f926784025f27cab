// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! The object families, said once: who adds one adds a line here, next to its
//! modules in `mc-abi` and in [`mc`](crate::mc).

/// Passes the table of families on to the macro `$then`.
///
/// A line is `Variant(module::Body)`: the family's variant in
/// [`ObjectType`](mc_abi::ObjectType), its module in `mc-abi` and in `mc`, and in
/// the latter the type that the MC keeps of an object. Messages list the families
/// in this order. Containers are no part of it: a layout describes them apart, and
/// another command makes them.
macro_rules! table {
    ($then:ident) => {
        $then! {
            Dpni(dpni::Interface),
            Dpmac(dpmac::Port),
            Dpsw(dpsw::Switch),
            Dpdmux(dpdmux::Demultiplexer),
            Dpio(dpio::SoftwarePortal),
            Dpmcp(dpmcp::CommandPortal),
            Dpbp(dpbp::BufferPool),
            Dpcon(dpcon::Concentrator),
            Dpci(dpci::CommunicationInterface),
            Dpseci(dpseci::CryptoInterface),
            Dpdmai(dpdmai::DmaInterface),
            Dpdcei(dpdcei::CompressionInterface),
            Dprtc(dprtc::RealTimeClock),
            Dpaiop(dpaiop::Tile),
            Dpdbg(dpdbg::DebugInterface),
        }
    };
}

pub(crate) use table;
