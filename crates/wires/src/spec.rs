// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Wires as they are written on a command line: `dpmac.3=loop,drop=0.1%`.

use crate::faults::{Faults, NAMES};
use std::{fmt, path::PathBuf, str::FromStr};

/// A wire.
#[derive(Debug, Clone, PartialEq)]
pub struct WireSpec {
    /// Number of the port (`dpmac`) that it starts at.
    pub port: u32,
    /// What is at its other end.
    pub kind: Kind,
    /// What it does to frames.
    pub faults: Faults,
    /// It is not there at first.
    pub down: bool,
}

/// What is at the other end of a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The port itself.
    Loop,
    /// Another port of the board.
    Cable(u32),
    /// Files of frames.
    Pcap {
        /// Frames that the port receives, at the pace of their time stamps.
        input: Option<PathBuf>,
        /// Gets the frames that the port sends.
        output: Option<PathBuf>,
    },
    /// A socket in the file system.
    Unix {
        /// Where.
        path: PathBuf,
        /// Wait for the other side to connect.
        listen: bool,
    },
    /// A TCP connection.
    Tcp {
        /// Host and port.
        address: String,
        /// Wait for the other side to connect.
        listen: bool,
    },
    /// A network interface of the machine that the board runs on.
    Tap(String),
    /// A network behind address translation, as a home router makes one.
    User,
}

/// As it is written on a command line, without faults.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listening = |listen: bool| if listen { ",listen" } else { "" };
        match self {
            Self::Loop => f.write_str("loop"),
            Self::Cable(other) => write!(f, "dpmac.{other}"),
            Self::Pcap { input, output } => {
                let files = [("in", input), ("out", output)];
                let given =
                    files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)));
                for (at, (name, file)) in given.enumerate() {
                    let before = if at == 0 { "pcap:" } else { "," };
                    write!(f, "{before}{name}={}", file.display())?;
                }
                Ok(())
            }
            Self::Unix { path, listen } => {
                write!(f, "unix:{}{}", path.display(), listening(*listen))
            }
            Self::Tcp { address, listen } => write!(f, "tcp:{address}{}", listening(*listen)),
            Self::Tap(name) => write!(f, "tap:{name}"),
            Self::User => f.write_str("user"),
        }
    }
}

/// Why a wire cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It has no port.
    #[error("{0:?} is not a wire: use dpmac.N=KIND, with KIND one of {KINDS}")]
    Incomplete(String),
    /// The port's name.
    #[error("{0:?} is not a port: use dpmac.N, with N from 1")]
    Port(String),
    /// The kind.
    #[error("{0:?} is not a kind of wire: use one of {KINDS}")]
    Kind(String),
    /// A kind lacks what it needs.
    #[error("{kind} wire: {missing}")]
    Missing {
        /// The kind.
        kind: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// A setting that the kind does not have.
    #[error("{setting:?} is not a setting of this wire: use {settings}")]
    Setting {
        /// As it was written.
        setting: String,
        /// What there is.
        settings: String,
    },
    /// The value of a setting.
    #[error("{setting}: {reason}")]
    Value {
        /// The setting.
        setting: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// Both ends are the same.
    #[error("a cable from dpmac.{0} to itself: use loop")]
    OwnEnd(u32),
}

const KINDS: &str = "loop, dpmac.N (a cable), pcap:in=FILE,out=FILE (one or both), unix:PATH, \
                     tcp:HOST:PORT, tap:NAME, user";

impl FromStr for WireSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (port, rest) =
            text.split_once('=').ok_or_else(|| SpecError::Incomplete(text.into()))?;
        let port = port_number(port).ok_or_else(|| SpecError::Port(port.into()))?;
        let mut parts = rest.split(',');
        let mut spec = Self {
            port,
            kind: kind(parts.next().unwrap_or_default())?,
            faults: Faults::default(),
            down: false,
        };
        if spec.kind == Kind::Cable(port) {
            return Err(SpecError::OwnEnd(port));
        }
        for setting in parts {
            spec.set(setting)?;
        }
        spec.check()?;
        Ok(spec)
    }
}

impl WireSpec {
    /// The ports of the board that the wire is plugged into.
    pub fn ports(&self) -> impl Iterator<Item = u32> + use<> {
        let other = match self.kind {
            Kind::Cable(other) => Some(other),
            _ => None,
        };
        std::iter::once(self.port).chain(other)
    }

    fn set(&mut self, setting: &str) -> Result<(), SpecError> {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let known = match (&mut self.kind, name, value) {
            (_, "down", "") => {
                self.down = true;
                true
            }
            (Kind::Unix { listen, .. } | Kind::Tcp { listen, .. }, "listen", "") => {
                *listen = true;
                true
            }
            (Kind::Pcap { input, output }, "in" | "out", value) => {
                let file = if name == "in" { input } else { output };
                *file = Some(value).filter(|value| !value.is_empty()).map(PathBuf::from);
                true
            }
            _ => self
                .faults
                .set(name, value)
                .map_err(|reason| SpecError::Value { setting: name.into(), reason })?,
        };
        if known {
            return Ok(());
        }
        let own = match self.kind {
            Kind::Pcap { .. } => "in=, out=, ",
            Kind::Unix { .. } | Kind::Tcp { .. } => "listen, ",
            _ => "",
        };
        Err(SpecError::Setting { setting: setting.into(), settings: format!("{own}down, {NAMES}") })
    }

    fn check(&self) -> Result<(), SpecError> {
        let (kind, missing) = match &self.kind {
            Kind::Pcap { input: None, output: None } => {
                ("pcap", "name a file with in=FILE, out=FILE, or both")
            }
            Kind::Unix { path, .. } if path.as_os_str().is_empty() => {
                ("unix", "name the socket, as unix:/tmp/wire")
            }
            Kind::Tcp { address, .. }
                if address
                    .rsplit_once(':')
                    .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) =>
            {
                (
                    "tcp",
                    "name host and port, as tcp:localhost:4000; tcp:0.0.0.0:4000,listen is all \
                     addresses of this machine",
                )
            }
            Kind::Tap(name) if name.is_empty() || name.len() > 15 => {
                ("tap", "name the network interface in 1 to 15 characters, as tap:tap0")
            }
            _ => return Ok(()),
        };
        Err(SpecError::Missing { kind, missing })
    }
}

/// The number of `dpmac.N`.
fn port_number(text: &str) -> Option<u32> {
    text.strip_prefix("dpmac.")?.parse().ok().filter(|number| *number > 0)
}

fn kind(text: &str) -> Result<Kind, SpecError> {
    let (name, argument) = text.split_once(':').unwrap_or((text, ""));
    Ok(match (name, argument) {
        ("loop", "") => Kind::Loop,
        ("user", "") => Kind::User,
        ("unix", path) => Kind::Unix { path: path.into(), listen: false },
        ("tcp", address) => Kind::Tcp { address: address.into(), listen: false },
        ("tap", name) => Kind::Tap(name.into()),
        ("pcap", first) => {
            let mut spec = WireSpec {
                port: 0,
                kind: Kind::Pcap { input: None, output: None },
                faults: Faults::default(),
                down: false,
            };
            if !first.is_empty() {
                spec.set(first)?;
            }
            spec.kind
        }
        (other, "") => Kind::Cable(port_number(other).ok_or_else(|| SpecError::Kind(text.into()))?),
        _ => return Err(SpecError::Kind(text.into())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse(text: &str) -> Result<WireSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn every_kind_is_understood() {
        let kind = |text: &str| parse(&format!("dpmac.3={text}")).unwrap().kind;
        assert_eq!(kind("loop"), Kind::Loop);
        assert_eq!(kind("dpmac.4"), Kind::Cable(4));
        assert_eq!(kind("user"), Kind::User);
        assert_eq!(kind("tap:tap0"), Kind::Tap("tap0".into()));
        assert_eq!(kind("unix:/tmp/w"), Kind::Unix { path: "/tmp/w".into(), listen: false });
        assert_eq!(kind("unix:w,listen"), Kind::Unix { path: "w".into(), listen: true });
        let address = "[::1]:4000".to_string();
        assert_eq!(kind("tcp:[::1]:4000"), Kind::Tcp { address, listen: false });
        let (input, output) = (Some("a.pcap".into()), Some("b".into()));
        assert_eq!(kind("pcap:in=a.pcap,out=b"), Kind::Pcap { input, output });
        let output = Some("b".into());
        assert_eq!(kind("pcap:out=b"), Kind::Pcap { input: None, output });
        assert_eq!(parse("dpmac.3=dpmac.4").unwrap().ports().collect::<Vec<_>>(), [3, 4]);
        assert_eq!(parse("dpmac.3=loop").unwrap().ports().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn kinds_are_written_as_they_are_read() {
        let kinds = [
            "loop",
            "dpmac.4",
            "pcap:in=a,out=b",
            "pcap:out=b",
            "unix:/tmp/w,listen",
            "tcp:[::1]:4000",
            "tap:tap0",
            "user",
        ];
        for kind in kinds {
            assert_eq!(parse(&format!("dpmac.3={kind}")).unwrap().kind.to_string(), kind);
        }
    }

    #[test]
    fn faults_follow_the_kind() {
        let spec = parse("dpmac.17=unix:w,drop=50%,listen,delay=2ms,down,seed=7").unwrap();
        assert_eq!((spec.port, spec.down), (17, true));
        assert_eq!(spec.kind, Kind::Unix { path: "w".into(), listen: true });
        let delay = Duration::from_millis(2);
        assert_eq!(spec.faults, Faults { drop: 0.5, delay, seed: 7, ..Faults::default() });
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let mistakes = [
            ("dpmac.3", "dpmac.N=KIND"),
            ("dpni.3=loop", "dpmac.N"),
            ("dpmac.0=loop", "N from 1"),
            ("dpmac.3=lop", "tcp:HOST:PORT"),
            ("dpmac.3=loop:x", "not a kind"),
            ("dpmac.3=dpmac.3", "use loop"),
            ("dpmac.3=pcap:", "out=FILE"),
            ("dpmac.3=pcap:a.pcap", "in=, out="),
            ("dpmac.3=loop,listen", "not a setting"),
            ("dpmac.3=unix:w,lisen", "listen"),
            ("dpmac.3=unix:", "unix:/tmp/wire"),
            ("dpmac.3=tcp:host", "localhost:4000"),
            ("dpmac.3=tcp::4000,listen", "0.0.0.0:4000"),
            ("dpmac.3=tap:sixteen-letters-", "15"),
            ("dpmac.3=loop,drop=1", "0.1%"),
            ("dpmac.3=loop,,", "not a setting"),
        ];
        for (text, hint) in mistakes {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
