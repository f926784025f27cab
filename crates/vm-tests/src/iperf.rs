// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! What iperf3 reports (`iperf3 -J`).

use anyhow::{Context, Result};
use serde_json::Value;

/// Datagrams that fill a frame of 64 bytes, its checksum counted: 18 bytes behind 42 of
/// headers; as many as go.
pub const SMALL_DATAGRAMS: &str = "-u -b 0 -l 18";

/// The report of one run, on the client's side.
#[derive(Debug)]
pub struct Report(Value);

impl Report {
    /// What iperf3 has printed.
    ///
    /// # Errors
    /// It is no report; it is in the error.
    pub fn parse(printed: &str) -> Result<Self> {
        serde_json::from_str(printed).map(Self).with_context(|| printed.to_owned())
    }

    fn number(&self, place: &str) -> Result<f64> {
        let number = self.0.pointer(place).and_then(Value::as_f64);
        number.with_context(|| format!("no number at {place}: {}", self.0))
    }

    /// Bits a second that arrived, by TCP.
    ///
    /// # Errors
    /// The report has no such figure, as that of a run that failed.
    pub fn received_bits(&self) -> Result<f64> {
        self.number("/end/sum_received/bits_per_second")
    }

    /// Datagrams a second that arrived.
    ///
    /// # Errors
    /// As for [`Report::received_bits`].
    pub fn datagrams(&self) -> Result<f64> {
        let number = |name: &str| self.number(&format!("/end/sum/{name}"));
        Ok((number("packets")? - number("lost_packets")?) / number("seconds")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_or_missed_by_name() {
        let tcp = r#"{"end": {"sum_received": {"bits_per_second": 12.5e6}}}"#;
        assert_eq!(Report::parse(tcp).unwrap().received_bits().unwrap(), 12.5e6);
        let udp = r#"{"end": {"sum": {"packets": 110, "lost_packets": 10, "seconds": 2}}}"#;
        assert_eq!(Report::parse(udp).unwrap().datagrams().unwrap(), 50.0);
        let failed = Report::parse(r#"{"error": "no route"}"#).unwrap();
        assert!(failed.received_bits().unwrap_err().to_string().contains("no route"));
        assert!(Report::parse("iperf3: error").is_err());
    }
}
