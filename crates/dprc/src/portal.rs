// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Command portals: typed commands to the Management Complex by one of three ways, a
//! mapped dpmcp, reads and writes of a device file, or the management interface.

use crate::error::{PortalError, token_name};
use crate::memory::MappedRegion;
use fsl_mc_linux::Mapping;
use mc_abi::{Message, ObjectId, Params, Request, Status, Token, Wire};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a command may take: what Linux grants its own drivers
/// (`drivers/bus/fsl-mc/mc-sys.c`).
const PATIENCE: Duration = Duration::from_secs(15);

/// How a command gets to the MC and its answer back.
pub trait Transport: Send {
    /// Hands the command over and waits for the answer: a message whose status is
    /// other than [`Status::Ready`].
    ///
    /// # Errors
    /// [`TransportError`].
    fn exchange(&mut self, command: &Message) -> Result<Message, TransportError>;

    /// The same, but waits no longer than `patience`.
    ///
    /// # Errors
    /// [`TransportError`]; where the kernel does the waiting, that it cannot be told.
    fn exchange_within(
        &mut self,
        _command: &Message,
        _patience: Duration,
    ) -> Result<Message, TransportError> {
        Err(TransportError::Kernel(
            Errno::NOTSUP,
            "The kernel waits for this portal's answers, as long as its driver sees fit: a \
             deadline takes a mapped dpmcp",
        ))
    }

    /// Waits until a command that got no answer in time has been answered, no longer than
    /// `patience`: the portal has one command at a time.
    ///
    /// # Errors
    /// [`TransportError::Silent`].
    fn settle(&mut self, _patience: Duration) -> Result<(), TransportError> {
        Ok(())
    }
}

/// Why a command got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportError {
    /// The MC did not answer in time.
    Silent(Duration),
    /// The kernel refuses, with advice.
    Kernel(Errno, &'static str),
}

/// Whose turn it is at the registers of a portal that several [`McPortal`]s lead to, of which
/// each waits until the others' commands have been answered. Copies mean the same registers.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<LastCommand>>);

/// What has become of the last command at some registers.
#[derive(Debug, Default)]
struct LastCommand {
    /// It was not answered in time.
    pending: bool,
}

/// Who sees each command with its answer.
type Watcher = Box<dyn FnMut(&Message, &Message) + Send>;

/// A command portal. It carries one command at a time, therefore `&mut`.
pub struct McPortal {
    name: String,
    transport: Box<dyn Transport>,
    /// How long commands may take, where that is not the transport's business.
    patience: Option<Duration>,
    turns: Turns,
    watchers: Vec<Watcher>,
}

/// An open object: what a token stands for.
///
/// Nothing closes it by itself, since that takes the portal: see [`McPortal::close`], and
/// [`McPortal::session`] for what does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenObject {
    /// The object.
    pub object: ObjectId,
    /// What stands for it in commands.
    pub token: Token,
}

/// An open object with the portal that it was opened through. It is closed when this goes, on
/// the way of an error too.
#[derive(Debug)]
pub struct Session<'p> {
    portal: &'p mut McPortal,
    open: OpenObject,
    closed: bool,
}

impl Session<'_> {
    /// The object and its token.
    pub fn open(&self) -> OpenObject {
        self.open
    }

    /// The portal, for commands that are not for this object.
    pub fn portal(&mut self) -> &mut McPortal {
        self.portal
    }

    /// Sends a command for the object in its newest version.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Reply, PortalError> {
        self.portal.call(self.open, request)
    }

    /// Closes the object, and says where that fails.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn close(mut self) -> Result<(), PortalError> {
        self.closed = true;
        self.portal.close(self.open)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.closed {
            // Nobody is left to report to.
            let _ = self.portal.close(self.open);
        }
    }
}

/// Whom a command is for: an [`OpenObject`], or a bare [`Token`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    token: Token,
    object: Option<ObjectId>,
}

impl From<OpenObject> for Target {
    fn from(open: OpenObject) -> Self {
        Self { token: open.token, object: Some(open.object) }
    }
}

impl From<Token> for Target {
    fn from(token: Token) -> Self {
        Self { token, object: None }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.object {
            Some(object) => object.fmt(f),
            None => f.write_str(&token_name(self.token)),
        }
    }
}

impl std::fmt::Debug for McPortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McPortal").field("name", &self.name).finish_non_exhaustive()
    }
}

impl McPortal {
    /// A portal over a transport; `name` is for messages.
    ///
    /// Nobody else may use what the transport leads to, or all are given the same turns
    /// ([`McPortal::in_turn`]): commands that are sent at once are mixed with each other.
    pub fn new(name: impl Into<String>, transport: impl Transport + 'static) -> Self {
        let (name, transport) = (name.into(), Box::new(transport));
        Self { name, transport, patience: None, turns: Turns::default(), watchers: Vec::new() }
    }

    /// The same portal, which waits for its turn among all that have a copy of `turns`. Those of
    /// a [`Backend`](crate::Backend) and of a [`Device`](crate::Device) do already.
    #[must_use]
    pub fn in_turn(self, turns: &Turns) -> Self {
        Self { turns: turns.clone(), ..self }
    }

    /// How long each command may take from now on; `None`: as long as Linux grants its own
    /// drivers (15 s), or as the kernel waits. Where the kernel does the waiting (portals that
    /// are read and written, as [`Backend::portal`](crate::Backend::portal)'s are, and the
    /// management interface) commands with a deadline are refused with
    /// [`PortalError::Kernel`]: map a dpmcp for them, by
    /// [`Device::mapped_portal`](crate::Device::mapped_portal) or as a region
    /// ([`Backend::map_region`](crate::Backend::map_region)).
    ///
    /// A command that is late is not taken back: the MC still carries it out, and the next one
    /// waits for its answer first. How long a portal waits for its turn
    /// ([`McPortal::in_turn`]) does not count.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// The same portal, which shows each command and its answer to `see`, for records of
    /// what an MC says.
    #[must_use]
    pub fn watched(mut self, see: impl FnMut(&Message, &Message) + Send + 'static) -> Self {
        self.watchers.push(Box::new(see));
        self
    }

    /// How the portal calls itself in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a command in its newest version and returns the decoded answer.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn call<R: Request>(
        &mut self,
        target: impl Into<Target>,
        request: &R,
    ) -> Result<R::Reply, PortalError> {
        self.call_version(target, request, R::MAX_VERSION)
    }

    /// Sends a command in a certain version.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn call_version<R: Request>(
        &mut self,
        target: impl Into<Target>,
        request: &R,
        version: u8,
    ) -> Result<R::Reply, PortalError> {
        let target = target.into();
        let command = request.message_version(target.token, version);
        let answer = self.send(R::NAME, &target.to_string(), &command)?;
        self.decode(R::NAME, &answer, version)
    }

    /// Opens an object.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn open(&mut self, object: ObjectId) -> Result<OpenObject, PortalError> {
        let answer = self.send("Open", &object.to_string(), &Message::open(object))?;
        Ok(OpenObject { object, token: answer.header.token() })
    }

    /// Closes an object.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn close(&mut self, open: OpenObject) -> Result<(), PortalError> {
        self.send("Close", &open.object.to_string(), &Message::close(open.token)).map(drop)
    }

    /// Opens an object until the result is closed or dropped.
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn session(&mut self, object: ObjectId) -> Result<Session<'_>, PortalError> {
        let open = self.open(object)?;
        Ok(Session { portal: self, open, closed: false })
    }

    /// Sends a command that is the same in every family but for the family's code in
    /// its number, such as [`mc_abi::common::DESTROY`].
    ///
    /// # Errors
    /// [`PortalError`].
    pub fn call_family<R: Wire>(
        &mut self,
        name: &'static str,
        base: u16,
        kind: mc_abi::ObjectType,
        target: impl Into<Target>,
        request: &impl Wire,
    ) -> Result<R, PortalError> {
        let target = target.into();
        let command = command_of_family(base, kind, target.token, request);
        let answer = self.send(name, &format!("a {kind} of {target}"), &command)?;
        self.decode(name, &answer, 1)
    }

    /// Sends a message as it is and returns the answer, whatever its status says.
    ///
    /// # Errors
    /// [`PortalError::Kernel`], [`PortalError::Silent`] and [`PortalError::Foreign`].
    pub fn exchange(&mut self, command: &Message) -> Result<Message, PortalError> {
        self.pass("a raw command", command)
    }

    fn send(
        &mut self,
        name: &'static str,
        of: &str,
        command: &Message,
    ) -> Result<Message, PortalError> {
        let answer = self.pass(name, command)?;
        match answer.header.status() {
            Status::Ok => Ok(answer),
            status => Err(PortalError::Refused {
                command: name,
                number: command.header.number(),
                version: command.header.version(),
                of: of.to_owned(),
                portal: self.name.clone(),
                status,
            }),
        }
    }

    fn exchange_in_turn(&mut self, command: &Message) -> Result<Message, TransportError> {
        // Who panics in his turn has at worst left a command that is waited for.
        let mut last = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = match last.pending {
            true => self.transport.settle(self.patience.unwrap_or(PATIENCE)),
            false => Ok(()),
        };
        let outcome = settled.and_then(|()| match self.patience {
            None => self.transport.exchange(command),
            Some(patience) => self.transport.exchange_within(command, patience),
        });
        last.pending = matches!(outcome, Err(TransportError::Silent(_)));
        outcome
    }

    fn pass(&mut self, name: &'static str, command: &Message) -> Result<Message, PortalError> {
        let header = command.header;
        let answer = self.exchange_in_turn(command).map_err(|error| match error {
            TransportError::Silent(waited) => PortalError::Silent {
                command: name,
                number: header.number(),
                token: header.token().0,
                portal: self.name.clone(),
                waited,
            },
            TransportError::Kernel(errno, advice) => PortalError::Kernel {
                command: name,
                number: header.number(),
                version: header.version(),
                token: header.token().0,
                portal: self.name.clone(),
                errno,
                advice,
            },
        })?;
        self.watchers.iter_mut().for_each(|see| see(command, &answer));
        if !answers(command, &answer) {
            return Err(PortalError::Foreign {
                command: name,
                number: header.number(),
                version: header.version(),
                token: header.token().0,
                portal: self.name.clone(),
                answered: answer.header.number(),
                answered_version: answer.header.version(),
            });
        }
        Ok(answer)
    }

    fn decode<R: Wire>(
        &self,
        command: &'static str,
        answer: &Message,
        version: u8,
    ) -> Result<R, PortalError> {
        R::decode(&answer.params, version).map_err(|error| PortalError::Malformed {
            command,
            portal: self.name.clone(),
            error,
        })
    }
}

/// Whether a message is the answer to a command. The MC leaves its number as it is, and where it
/// carries the command out the version, too; which version it names in a refusal of one that it
/// does not know is not known (inferred: Linux's and DPDK's drivers look at neither). What refuses
/// everything, as a portal that belongs to no container does, may name nothing.
fn answers(command: &Message, answer: &Message) -> bool {
    let (asked, answered) = (command.header, answer.header);
    match answered.status() {
        Status::Ok => (answered.number(), answered.version()) == (asked.number(), asked.version()),
        _ => [asked.number(), 0].contains(&answered.number()),
    }
}

fn command_of_family(
    base: u16,
    kind: mc_abi::ObjectType,
    token: Token,
    request: &impl Wire,
) -> Message {
    let mut params = Params::ZERO;
    request.encode(&mut params, 1);
    Message::command(base + kind.code(), 1, token, params)
}

/// The eight words of a message, as numbers of this machine.
pub(crate) fn words_of(message: &Message) -> [u64; 8] {
    let bytes = message.to_bytes();
    let mut words = [0; 8];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        *word = u64::from_le_bytes(eight);
    }
    words
}

/// The message of eight words.
pub(crate) fn message_of(words: &[u64; 8]) -> Message {
    let mut bytes = [0; Message::SIZE];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    Message::from_bytes(&bytes)
}

/// The command portal of a device of VFIO.
impl Transport for MappedRegion {
    fn exchange(&mut self, command: &Message) -> Result<Message, TransportError> {
        self.exchange_within(command, PATIENCE)
    }

    fn exchange_within(
        &mut self,
        command: &Message,
        patience: Duration,
    ) -> Result<Message, TransportError> {
        exchange_mapped(self, command, patience)
    }

    fn settle(&mut self, patience: Duration) -> Result<(), TransportError> {
        wait_for_answer(self, patience).map(drop)
    }
}

/// A command portal that is mapped by other ways than VFIO's, such as `/dev/mem`.
impl Transport for Mapping {
    fn exchange(&mut self, command: &Message) -> Result<Message, TransportError> {
        self.exchange_within(command, PATIENCE)
    }

    fn exchange_within(
        &mut self,
        command: &Message,
        patience: Duration,
    ) -> Result<Message, TransportError> {
        exchange_mapped(self, command, patience)
    }

    fn settle(&mut self, patience: Duration) -> Result<(), TransportError> {
        wait_for_answer(self, patience).map(drop)
    }
}

/// Where the words of a portal are; `None` where they cannot be had.
trait Registers {
    fn load_word(&self, offset: usize) -> Option<u64>;

    fn store_word(&self, offset: usize, word: u64) -> Option<()>;
}

impl Registers for Mapping {
    fn load_word(&self, offset: usize) -> Option<u64> {
        self.load(offset)
    }

    fn store_word(&self, offset: usize, word: u64) -> Option<()> {
        self.store(offset, word)
    }
}

impl Registers for MappedRegion {
    fn load_word(&self, offset: usize) -> Option<u64> {
        self.load(offset).ok()
    }

    fn store_word(&self, offset: usize, word: u64) -> Option<()> {
        self.store(offset, word).ok()
    }
}

/// A portal is at least a page, and the offsets are those of its first words.
const NO_PORTAL: TransportError =
    TransportError::Kernel(Errno::FAULT, "The region is not a command portal");

/// Parameters first, header last, then look until the status changes.
fn exchange_mapped(
    portal: &impl Registers,
    command: &Message,
    patience: Duration,
) -> Result<Message, TransportError> {
    let [header, params @ ..] = words_of(command);
    for (index, word) in params.into_iter().enumerate() {
        portal.store_word(8 * (index + 1), word).ok_or(NO_PORTAL)?;
    }
    // Device memory keeps the order of stores; this keeps the compiler and the
    // processor from moving the header before the parameters elsewhere.
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    portal.store_word(0, header).ok_or(NO_PORTAL)?;
    let answer = wait_for_answer(portal, patience)?;
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    let mut words = [answer; 8];
    for (index, word) in words.iter_mut().enumerate().skip(1) {
        *word = portal.load_word(8 * index).ok_or(NO_PORTAL)?;
    }
    Ok(message_of(&words))
}

/// The header, once its status says that the command is done.
fn wait_for_answer(portal: &impl Registers, patience: Duration) -> Result<u64, TransportError> {
    let start = Instant::now();
    let mut looks = 0_u32;
    loop {
        let header = portal.load_word(0).ok_or(NO_PORTAL)?;
        if mc_abi::Header(header).status() != Status::Ready {
            return Ok(header);
        }
        let waited = start.elapsed();
        if waited > patience {
            return Err(TransportError::Silent(waited));
        }
        looks = looks.saturating_add(1);
        // Most commands are done at once.
        if looks > 100 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// A portal in a device file: a write of 64 bytes sends a command and comes back
/// when it is done, a read fetches the answer.
#[derive(Debug)]
pub(crate) struct BlockPortal {
    file: Arc<OwnedFd>,
    offset: u64,
}

impl BlockPortal {
    pub(crate) fn new(file: Arc<OwnedFd>, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl Transport for BlockPortal {
    fn exchange(&mut self, command: &Message) -> Result<Message, TransportError> {
        let refused = |errno| {
            let advice = match errno {
                Errno::TIMEDOUT => "The MC has not answered the driver in time",
                Errno::INVAL => "The region is not a command portal, or takes no commands",
                _ => "",
            };
            TransportError::Kernel(errno, advice)
        };
        let written = rustix::io::pwrite(self.file.as_fd(), &command.to_bytes(), self.offset)
            .map_err(refused)?;
        let mut answer = [0; Message::SIZE];
        let read =
            rustix::io::pread(self.file.as_fd(), &mut answer, self.offset).map_err(refused)?;
        if written != Message::SIZE || read != Message::SIZE {
            return Err(TransportError::Kernel(Errno::IO, "The driver took or gave a part only"));
        }
        Ok(Message::from_bytes(&answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mc_abi::{ObjectType, dpmng};

    /// Answers each command by a function.
    struct Answering<F>(F);

    impl<F: FnMut(&Message) -> Result<Message, TransportError> + Send> Transport for Answering<F> {
        fn exchange(&mut self, command: &Message) -> Result<Message, TransportError> {
            (self.0)(command)
        }
    }

    fn portal(
        answer: impl FnMut(&Message) -> Result<Message, TransportError> + Send + 'static,
    ) -> McPortal {
        McPortal::new("a test", Answering(answer))
    }

    #[test]
    fn a_command_goes_out_and_its_answer_is_decoded() {
        let mut portal = portal(|command| {
            assert_eq!(command.header.0, 0x8311_0000_0001_0000);
            let reply = dpmng::GetVersionReply { revision: 3, major: 10, minor: 39 };
            let mut answer = *command;
            answer.header = answer.header.with_status(Status::Ok);
            reply.encode(&mut answer.params, 1);
            Ok(answer)
        });
        let version = portal.call(Token::NONE, &dpmng::GetVersion {}).unwrap();
        assert_eq!((version.major, version.minor, version.revision), (10, 39, 3));
    }

    #[test]
    fn opening_yields_the_token_and_closing_sends_it() {
        let mut portal = portal(|command| {
            let mut answer = *command;
            answer.header = answer.header.with_status(Status::Ok);
            match command.header.number() {
                0x805 => {
                    assert_eq!(command.params.0[..4], [2, 0, 0, 0]);
                    answer.header = answer.header.with_token(Token(9));
                }
                0x800 => assert_eq!(command.header.token(), Token(9)),
                number => panic!("{number:#x}"),
            }
            Ok(answer)
        });
        let open = portal.open(ObjectId::new(ObjectType::Dprc, 2)).unwrap();
        assert_eq!(open.token, Token(9));
        portal.close(open).unwrap();
    }

    #[test]
    fn a_refusal_names_command_object_portal_and_status() {
        let mut portal = portal(|command| {
            let mut answer = *command;
            answer.header = answer.header.with_status(Status::NoPrivilege);
            Ok(answer)
        });
        let error = portal.open(ObjectId::new(ObjectType::Dpni, 7)).unwrap_err();
        assert_eq!(error.status(), Some(Status::NoPrivilege));
        assert_eq!(
            error.to_string(),
            "the MC refuses Open (command 0x801 version 1) for dpni.7 through a test: \
             no privilege (0x4)"
        );
    }

    #[test]
    fn silence_and_refusals_of_the_kernel_are_told_apart() {
        let mut silent = portal(|_| Err(TransportError::Silent(Duration::from_secs(15))));
        let error = silent.call(Token::NONE, &dpmng::GetVersion {}).unwrap_err().to_string();
        assert!(error.contains("has not answered GetVersion") && error.contains("15s"), "{error}");
        let mut closed = portal(|_| Err(TransportError::Kernel(Errno::ACCESS, "Not on the list")));
        let error = closed.call(Token(3), &dpmng::GetVersion {}).unwrap_err().to_string();
        assert!(
            error.contains("token 0x3") && error.ends_with("(errno 13). Not on the list"),
            "{error}"
        );
    }

    #[test]
    fn a_mapped_portal_gets_the_header_last_and_is_read_when_it_has_answered() {
        let memory = Mapping::anonymous(4096).unwrap();
        let command = Message::command(0x123, 1, Token(5), Params([7; 56]));
        let firmware = || {
            let header = loop {
                let header = mc_abi::Header(memory.load(0).unwrap());
                if header.status() == Status::Ready {
                    break header;
                }
                std::thread::yield_now();
            };
            assert_eq!(memory.load(56), Some(u64::from_le_bytes([7; 8])));
            memory.store(8, 9_u64).unwrap();
            memory.store(0, header.with_status(Status::Ok).0).unwrap();
        };
        let answer = std::thread::scope(|scope| {
            scope.spawn(firmware);
            exchange_mapped(&memory, &command, PATIENCE)
        });
        let answer = answer.unwrap();
        assert_eq!(answer.header, command.header.with_status(Status::Ok));
        assert_eq!(answer.params.0[..9], [9, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn the_answer_to_another_command_is_none() {
        let mut portal = portal(|command| {
            let header = match command.header.token() {
                // The portal of a device that is gone may read as zeros.
                Token(1) => mc_abi::Header(0),
                Token(2) => mc_abi::Header(0).with_status(Status::AuthenticationError),
                _ => Message::open(ObjectId::new(ObjectType::Dpbp, 2)).header,
            };
            Ok(Message { header, ..*command })
        });
        for token in [Token(0), Token(1)] {
            let error = portal.call(token, &mc_abi::common::Enable {}).unwrap_err();
            assert!(matches!(error, PortalError::Foreign { number: 2, .. }), "{error}");
        }
        let error = portal.exchange(&Message::close(Token(3))).unwrap_err().to_string();
        assert!(error.contains("0x800") && error.contains("0x804"), "{error}");
        // A portal of nobody's refuses everything.
        let error = portal.call(Token(2), &mc_abi::common::Enable {}).unwrap_err();
        assert_eq!(error.status(), Some(Status::AuthenticationError));
    }

    #[test]
    fn a_late_answer_is_waited_for_by_the_next_whose_turn_it_is() {
        let turns = Turns::default();
        let settled = Arc::new(std::sync::Mutex::new(0));
        struct Late(Arc<std::sync::Mutex<u32>>);
        impl Transport for Late {
            fn exchange(&mut self, _: &Message) -> Result<Message, TransportError> {
                Err(TransportError::Silent(PATIENCE))
            }

            fn settle(&mut self, _: Duration) -> Result<(), TransportError> {
                *self.0.lock().unwrap() += 1;
                Ok(())
            }
        }
        let portal = || McPortal::new("a test", Late(settled.clone())).in_turn(&turns);
        let mut portals = [portal(), portal()];
        for (index, expected) in [(0, 0), (1, 1), (0, 2)] {
            portals[index].call(Token::NONE, &dpmng::GetVersion {}).unwrap_err();
            assert_eq!(*settled.lock().unwrap(), expected);
        }
    }

    #[test]
    fn a_session_closes_itself_on_the_way_of_an_error() {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = log.clone();
        let mut portal = portal(move |command| {
            let number = command.header.number();
            seen.lock().unwrap().push(number);
            let mut answer = *command;
            let status = if number == 2 { Status::InvalidState } else { Status::Ok };
            answer.header = answer.header.with_status(status).with_token(Token(3));
            Ok(answer)
        });
        let mut enable = || -> Result<(), PortalError> {
            let mut open = portal.session(ObjectId::new(ObjectType::Dpbp, 2))?;
            open.call(&mc_abi::common::Enable {})?;
            open.close()
        };
        assert_eq!(enable().unwrap_err().status(), Some(Status::InvalidState));
        assert_eq!(*log.lock().unwrap(), [0x804, 2, 0x800]);
        portal.session(ObjectId::new(ObjectType::Dpbp, 2)).unwrap().close().unwrap();
        assert_eq!(log.lock().unwrap()[3..], [0x804, 0x800], "closed once");
    }

    #[test]
    fn a_deadline_ends_a_wait_and_the_next_command_waits_for_the_late_answer() {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let file = rustix::fs::memfd_create("portal", flags).unwrap();
        rustix::fs::ftruncate(&file, 4096).unwrap();
        let [memory, firmware] =
            [(); 2].map(|()| Mapping::of_device(file.as_fd(), 0, 4096, true).unwrap());
        let mut portal = McPortal::new("a test", memory);
        portal.set_patience(Some(Duration::from_millis(5)));
        let error = portal.call(Token::NONE, &dpmng::GetVersion {}).unwrap_err();
        assert!(matches!(error, PortalError::Silent { waited, .. } if waited.as_secs() < 5));
        let first: u64 = firmware.load(0).unwrap();
        // Nobody has answered the first one: the second is not put on top of it.
        portal.call(Token(7), &mc_abi::common::Enable {}).unwrap_err();
        assert_eq!(firmware.load(0), Some(first));
        let late = mc_abi::Header(first).with_status(Status::Ok);
        firmware.store(0, late.0).unwrap();
        portal.call(Token(7), &mc_abi::common::Enable {}).unwrap_err();
        assert_eq!(mc_abi::Header(firmware.load(0).unwrap()).token(), Token(7), "it is sent now");
    }

    #[test]
    fn a_deadline_is_refused_where_the_kernel_waits() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let transport = BlockPortal::new(Arc::new(null.into()), 0);
        let mut portal = McPortal::new("a test", transport);
        portal.set_patience(Some(Duration::from_secs(1)));
        let error = portal.call(Token::NONE, &dpmng::GetVersion {}).unwrap_err().to_string();
        assert!(error.contains("a deadline takes a mapped dpmcp"), "{error}");
    }

    #[test]
    fn words_and_messages_are_the_same_thing() {
        let words = [1, 2, u64::MAX, 4, 5, 6, 7, 0x0102_0304_0506_0708];
        assert_eq!(words_of(&message_of(&words)), words);
    }
}
