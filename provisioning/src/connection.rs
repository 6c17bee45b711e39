//! One authenticated SSH connection.
//!
//! libssh2 is driven in its non-blocking mode: every step that would block returns here, where the wait has a
//! deadline and can be cancelled. Two facts of libssh2 shape this code. A packet that was sent in part must be
//! finished by the same call before any other call may send. And dropping an SFTP handle makes `ssh2` block
//! (ssh2-rs#165), so handles are closed step by step and the socket is shut down before anything else is dropped.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libssh2_sys as code;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use ssh2::{BlockDirections, ErrorCode, MethodType, OpenFlags, OpenType, Session, Sftp};
use vifbench_scenarios::lab::HostName;
use vifbench_wait::{Limit, Over};

use crate::host::{HostError, Output};
use crate::keys::{HostKey, preference};
use crate::lines::keep_tail;
use crate::netns;
use crate::shell::quote_path;
use crate::worker::Plug;

/// Bytes of a program's stderr that are kept for a message.
pub(crate) const STDERR_KEPT: usize = 64 * 1024;

/// As whom to log in, and the key that the host must show before.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub user: String,
    pub key: PathBuf,
    pub host_key: HostKey,
}

/// Where to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub host: HostName,
    pub address: SocketAddr,
    pub netns: Option<String>,
    /// No single connection attempt takes longer, however long the operation may.
    pub connect_timeout: Duration,
}

impl Target {
    /// `198.18.0.1:22`, with the namespace where there is one.
    pub fn place(&self) -> String {
        match &self.netns {
            Some(netns) => format!("{} (in the network namespace {netns})", self.address),
            None => self.address.to_string(),
        }
    }

    fn deadline(&self, limit: &Limit, doing: &str) -> HostError {
        HostError::Deadline {
            host: self.host.clone(),
            doing: doing.to_owned(),
            deadline: limit.total,
        }
    }

    pub fn over(&self, over: Over, limit: &Limit, doing: &str) -> HostError {
        match over {
            Over::Deadline => self.deadline(limit, doing),
            Over::Cancelled => HostError::Interrupted {
                host: self.host.clone(),
                doing: doing.to_owned(),
            },
            Over::Poll(error) => self.lost(doing, &error),
        }
    }

    pub fn lost(&self, doing: &str, why: &dyn std::fmt::Display) -> HostError {
        HostError::Lost {
            host: self.host.clone(),
            doing: doing.to_owned(),
            why: why.to_string(),
        }
    }

    fn unreachable(&self, source: io::Error) -> HostError {
        HostError::Unreachable {
            host: self.host.clone(),
            address: self.place(),
            doing: "open a connection".to_owned(),
            source,
        }
    }

    /// A connected TCP socket, non-blocking.
    fn connect(&self, limit: &Limit) -> Result<TcpStream, HostError> {
        let make = || {
            rustix::net::socket_with(
                match self.address {
                    SocketAddr::V4(_) => AddressFamily::INET,
                    SocketAddr::V6(_) => AddressFamily::INET6,
                },
                SocketType::STREAM,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                Some(ipproto::TCP),
            )
            .map_err(io::Error::from)
        };
        // A socket belongs for life to the namespace in which it was made: only that step goes inside.
        let socket: OwnedFd = match &self.netns {
            None => make(),
            Some(name) => netns::inside(name, make).map_err(|source| HostError::NoNamespace {
                host: self.host.clone(),
                netns: name.clone(),
                source,
            })?,
        }
        .map_err(|e| self.unreachable(e))?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) => {}
            Err(rustix::io::Errno::INPROGRESS) => {
                limit
                    .wait(&[(socket.as_fd(), PollFlags::OUT)])
                    .map_err(|over| self.over(over, limit, "open a connection"))?;
                match rustix::net::sockopt::socket_error(&socket) {
                    Ok(Ok(())) => {}
                    Ok(Err(errno)) | Err(errno) => return Err(self.unreachable(errno.into())),
                }
            }
            Err(errno) => return Err(self.unreachable(errno.into())),
        }
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true).map_err(|e| self.unreachable(e))?;
        Ok(socket)
    }
}

/// A session whose host key was checked and whose user is authenticated (by [`Connection::open`]).
pub(crate) struct Connection {
    /// Kept from the first use on. `ssh2` blocks when it is dropped, so it goes after the socket was shut down,
    /// and before the session.
    sftp: SftpUse,
    session: Session,
    socket: TcpStream,
    target: Target,
}

/// What is known of a server's SFTP.
enum SftpUse {
    Unknown,
    Absent,
    Open(Sftp),
}

/// What a step of libssh2 left: `None` where it would block.
fn step<T>(result: Result<T, ssh2::Error>) -> Result<Option<T>, ssh2::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.code() == ErrorCode::Session(code::LIBSSH2_ERROR_EAGAIN) => Ok(None),
        Err(e) => Err(e),
    }
}

fn io_step(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

impl Connection {
    /// Connects, checks the host key and authenticates. Nothing but the key exchange is sent to a host that
    /// shows another key.
    pub fn open(
        target: &Target,
        login: &Login,
        plug: &Plug,
        limit: &Limit,
    ) -> Result<Self, HostError> {
        let refused = |why: String| HostError::Refused {
            host: target.host.clone(),
            key: login.key.display().to_string(),
            why,
        };
        let no_key = |why: String| HostError::NoKey {
            host: target.host.clone(),
            key: login.key.clone(),
            why,
        };
        // Read first: without it there is no use in connecting.
        let private = std::fs::read_to_string(&login.key).map_err(|e| no_key(e.to_string()))?;

        let limit = &limit.at_most(target.connect_timeout);
        let (connection, shown) =
            Self::handshake(target, &preference(Some(&login.host_key)), plug, limit)?;
        if shown != login.host_key {
            return Err(HostError::HostKeyChanged {
                host: target.host.clone(),
                expected: format!(
                    "{} {}",
                    login.host_key.algorithm(),
                    login.host_key.fingerprint()
                ),
                got: format!("{} {}", shown.algorithm(), shown.fingerprint()),
            });
        }

        let doing = format!("log in as {}", login.user);
        loop {
            match step(
                connection
                    .session
                    .userauth_pubkey_memory(&login.user, None, &private, None),
            ) {
                Ok(Some(())) => break,
                Ok(None) => connection.ready(limit, &doing)?,
                Err(e) if gone(&e) => return Err(target.lost(&doing, &e)),
                Err(e) if unreadable(&e) => {
                    return Err(no_key(format!(
                        "{}; it must be a private key without passphrase",
                        e.message()
                    )));
                }
                Err(e) => {
                    return Err(refused(format!(
                        "{}; is its public half in the authorized_keys of {}?",
                        e.message(),
                        login.user
                    )));
                }
            }
        }
        Ok(connection)
    }

    /// Connects and exchanges keys, and says which host key was shown. Not authenticated yet.
    pub fn handshake(
        target: &Target,
        preference: &str,
        plug: &Plug,
        limit: &Limit,
    ) -> Result<(Self, HostKey), HostError> {
        const DOING: &str = "make the SSH handshake";
        let socket = target.connect(limit)?;
        let lost = |why: &dyn std::fmt::Display| target.lost(DOING, why);
        plug.put(socket.try_clone().map_err(|e| lost(&e))?);
        let mut session = Session::new().map_err(|e| lost(&e))?;
        session.set_tcp_stream(socket.try_clone().map_err(|e| lost(&e))?);
        session.set_blocking(false);
        // Only what `ssh2` does in a drop can block now; this bounds it.
        session.set_timeout(1000);
        session
            .method_pref(MethodType::HostKey, preference)
            .map_err(|e| lost(&e))?;
        let mut connection = Self {
            sftp: SftpUse::Unknown,
            session,
            socket,
            target: target.clone(),
        };
        loop {
            match step(connection.session.handshake()) {
                Ok(Some(())) => break,
                Ok(None) => connection.ready(limit, DOING)?,
                Err(e) => return Err(lost(&e)),
            }
        }
        let shown = connection
            .session
            .host_key()
            .and_then(|(blob, _)| HostKey::from_blob(blob));
        match shown {
            Some(key) => Ok((connection, key)),
            None => Err(lost(&"the server showed no host key that can be read")),
        }
    }

    /// Waits until libssh2 can go on.
    fn ready(&self, limit: &Limit, doing: &str) -> Result<(), HostError> {
        let flags = match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::OUT,
            BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
        };
        limit
            .wait(&[(self.socket.as_fd(), flags)])
            .map(drop)
            .map_err(|over| self.target.over(over, limit, doing))
    }

    /// Is a packet half sent? Then only the call that began it may go on.
    fn sending(&self) -> bool {
        matches!(
            self.session.block_directions(),
            BlockDirections::Outbound | BlockDirections::Both
        )
    }

    /// Repeats a step until it is through.
    fn through<T>(
        &self,
        limit: &Limit,
        doing: &str,
        mut action: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, HostError> {
        loop {
            match step(action()) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => self.ready(limit, doing)?,
                Err(e) => return Err(self.target.lost(doing, &e)),
            }
        }
    }

    /// Ends the connection for both sides, so that nothing that is dropped afterwards can wait for an answer.
    fn sever(&self) {
        if let Err(error) = self.socket.shutdown(Shutdown::Both) {
            tracing::trace!(%error, "socket was down already");
        }
    }

    /// Starts a command.
    pub fn start(&self, command: &str, limit: &Limit) -> Result<Process, HostError> {
        let doing = format!("run `{command}`");
        let mut channel = self.through(limit, &doing, || self.session.channel_session())?;
        self.through(limit, &doing, || channel.exec(command))?;
        Ok(Process::of(channel, doing))
    }

    /// Runs a command to its end.
    pub fn run(&self, command: &str, input: &[u8], limit: &Limit) -> Result<Output, HostError> {
        let mut process = self.start(command, limit)?;
        let mut input = input;
        process.pump(self, &mut input, limit, |_| true)?;
        process.end_input(self, limit)?;
        process.pump(self, &mut input, limit, |_| false)?;
        process.finish(self, limit)
    }

    /// Writes a file by SFTP where the server has it, else through `cat`.
    pub fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        limit: &Limit,
    ) -> Result<(), HostError> {
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        // Beside the target, so that the rename stays on one file system.
        let temporary = path.with_file_name(format!(".{name}.{}.part", unique()));
        let (part, target) = (quote_path(&temporary), quote_path(path));
        if matches!(self.sftp, SftpUse::Unknown) {
            self.sftp = self.start_sftp(limit)?;
        }
        let written = match &self.sftp {
            SftpUse::Open(sftp) => self.upload(sftp, content, &temporary, limit),
            SftpUse::Absent | SftpUse::Unknown => {
                let output = self.run(&format!("umask 077; cat > {part}"), content, limit)?;
                if output.status == 0 {
                    Ok(())
                } else {
                    Err(self.not_written(path, &output))
                }
            }
        };
        let moved = written.and_then(|()| {
            // `mv` into a directory of that name would succeed and be wrong.
            let command =
                format!("[ ! -d {target} ] && chmod {mode:o} {part} && mv -f {part} {target}");
            let mut output = self.run(&command, &[], limit)?;
            if output.status == 0 {
                return Ok(());
            }
            if output.stderr.is_empty() {
                output.stderr = b"there is a directory of that name".to_vec();
            }
            Err(self.not_written(path, &output))
        });
        if let Err(HostError::NotWritten { host, path: _, why }) = moved {
            self.run(&format!("rm -f {part}"), &[], limit)?;
            return Err(HostError::NotWritten {
                host,
                path: path.to_owned(),
                why,
            });
        }
        moved
    }

    fn not_written(&self, path: &Path, output: &Output) -> HostError {
        HostError::NotWritten {
            host: self.target.host.clone(),
            path: path.to_owned(),
            why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
    }

    fn start_sftp(&self, limit: &Limit) -> Result<SftpUse, HostError> {
        if self.has_sftp(limit)? {
            return self
                .through(limit, "start SFTP", || self.session.sftp())
                .map(SftpUse::Open);
        }
        tracing::info!(host = %self.target.host, "no SFTP there: writing through cat");
        Ok(SftpUse::Absent)
    }

    /// Greets the SFTP server on a channel that is closed again. In its non-blocking mode libssh2 never says
    /// that there is none (it reports the clean-up after the refusal as "would block", again and again).
    fn has_sftp(&self, limit: &Limit) -> Result<bool, HostError> {
        const DOING: &str = "ask for SFTP";
        /// `SSH_FXP_INIT` of version 3, and the size of the shortest answer.
        const HELLO: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];
        let mut channel = self.through(limit, DOING, || self.session.channel_session())?;
        loop {
            match step(channel.subsystem("sftp")) {
                Ok(Some(())) => break,
                Ok(None) => self.ready(limit, DOING)?,
                Err(e)
                    if e.code()
                        == ErrorCode::Session(code::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) =>
                {
                    return Ok(false);
                }
                Err(e) => return Err(self.target.lost(DOING, &e)),
            }
        }
        let mut server = Process::of(channel, DOING.to_owned());
        server.pump(self, &mut &HELLO[..], limit, |p| {
            p.stdout.len() >= HELLO.len()
        })?;
        let answered = server.stdout.len() >= HELLO.len();
        // `wait_close` would insist on an end of output that this server has no reason for.
        self.through(limit, DOING, || server.channel.close())?;
        Ok(answered)
    }

    fn upload(
        &self,
        sftp: &Sftp,
        content: &[u8],
        path: &Path,
        limit: &Limit,
    ) -> Result<(), HostError> {
        let doing = format!("write {}", path.display());
        let failed = |e: &dyn std::fmt::Display, sftp_says: bool| {
            if sftp_says {
                HostError::NotWritten {
                    host: self.target.host.clone(),
                    path: path.to_owned(),
                    why: e.to_string(),
                }
            } else {
                self.target.lost(&doing, e)
            }
        };
        let from_server = |e: &ssh2::Error| matches!(e.code(), ErrorCode::SFTP(_));
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let mut file = loop {
            match step(sftp.open_mode(path, flags, 0o600, OpenType::File)) {
                Ok(Some(file)) => break file,
                Ok(None) => self.ready(limit, &doing)?,
                Err(e) => return Err(failed(&e, from_server(&e))),
            }
        };
        let written = (|| {
            let mut left = content;
            while !left.is_empty() {
                match io_step(file.write(left)) {
                    Ok(Some(count)) => left = &left[count..],
                    Ok(None) => self.ready(limit, &doing)?,
                    Err(e) => {
                        // The error's code is lost on its way through `io::Error`; the session knows it.
                        return Err(failed(&e, !self.is_down()));
                    }
                }
            }
            loop {
                match step(file.fsync()) {
                    Ok(Some(())) => return Ok(()),
                    Ok(None) => self.ready(limit, &doing)?,
                    Err(e) if e.code() == ErrorCode::SFTP(code::LIBSSH2_FX_OP_UNSUPPORTED) => {
                        tracing::debug!(host = %self.target.host, "its SFTP server has no fsync");
                        return Ok(());
                    }
                    Err(e) => return Err(failed(&e, from_server(&e))),
                }
            }
        })();
        let closed = loop {
            match step(file.close()) {
                Ok(Some(())) => break Ok(()),
                Ok(None) => {
                    if let Err(error) = self.ready(limit, &doing) {
                        break Err(error);
                    }
                }
                Err(e) => break Err(failed(&e, from_server(&e))),
            }
        };
        if matches!(written, Err(HostError::NotWritten { .. }) | Ok(())) && closed.is_ok() {
            return written;
        }
        // A handle that could not be closed would be waited for when it is dropped.
        self.sever();
        written.and(closed)
    }

    /// Did the session note that the socket is dead?
    fn is_down(&self) -> bool {
        ssh2::Error::last_session_error(&self.session).is_some_and(|e| gone(&e))
    }

    /// Whose it is.
    pub fn host(&self) -> &HostName {
        &self.target.host
    }

    /// Has the other side ended the connection while it was idle? (Bytes may still lie before its end.)
    pub fn is_closed(&self) -> bool {
        let mut socket = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        // An error on the socket is told without being asked for; a failing poll is for the next step to find out.
        poll(&mut socket, Some(&Timespec::default())).is_ok_and(|ended| ended > 0)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Said politely once; a packet that cannot be sent at once is not waited for.
        if let Err(error) =
            self.session
                .disconnect(Some(ssh2::DisconnectCode::ByApplication), "done", None)
        {
            tracing::trace!(host = %self.target.host, %error, "left without a goodbye");
        }
        self.sever();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Does this error mean that libssh2 could not read the private key, before it asked the host?
fn unreadable(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::Session(code::LIBSSH2_ERROR_FILE | code::LIBSSH2_ERROR_KEYFILE_AUTH_FAILED)
    )
}

/// Does this error mean that there is no connection any more?
fn gone(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::Session(
            code::LIBSSH2_ERROR_SOCKET_SEND
                | code::LIBSSH2_ERROR_SOCKET_RECV
                | code::LIBSSH2_ERROR_SOCKET_DISCONNECT
                | code::LIBSSH2_ERROR_SOCKET_TIMEOUT
                | code::LIBSSH2_ERROR_BAD_SOCKET
                | code::LIBSSH2_ERROR_TIMEOUT
        )
    )
}

/// A name part that no other deploy uses: two controllers, or two in one, may write the same file.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    format!(
        "{}-{now:x}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A command that runs on the host.
pub(crate) struct Process {
    channel: ssh2::Channel,
    doing: String,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Both its outputs have ended.
    pub ended: bool,
    /// Of stderr, keep about so many bytes.
    pub keep_stderr: usize,
}

impl Process {
    fn of(channel: ssh2::Channel, doing: String) -> Self {
        Self {
            channel,
            doing,
            stdout: Vec::new(),
            stderr: Vec::new(),
            ended: false,
            keep_stderr: usize::MAX,
        }
    }

    /// Sends `input`, collects both outputs, until all is sent and `enough`, or until the outputs have ended.
    /// Reading and writing go on side by side, so that neither end can wait for the other for ever.
    pub fn pump(
        &mut self,
        connection: &Connection,
        input: &mut &[u8],
        limit: &Limit,
        mut enough: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), HostError> {
        let mut buffer = vec![0; 64 * 1024];
        // A write that was cut short goes on before anything else is tried.
        let mut write_first = false;
        loop {
            let mut moved = false;
            if !write_first {
                for stream in [0, ssh2::EXTENDED_DATA_STDERR] {
                    moved |= self.read_all(connection, stream, &mut buffer)?;
                    if connection.sending() {
                        break;
                    }
                }
                if connection.sending() {
                    connection.ready(limit, &self.doing)?;
                    continue;
                }
                keep_tail(&mut self.stderr, self.keep_stderr);
                self.ended = self.channel.eof();
            }
            write_first = false;
            if !input.is_empty() && !self.ended {
                match io_step(self.channel.write(input)) {
                    Ok(Some(count)) => {
                        *input = &input[count..];
                        moved |= count > 0;
                    }
                    Ok(None) => write_first = connection.sending(),
                    Err(e) => return Err(connection.target.lost(&self.doing, &e)),
                }
            }
            if self.ended || (input.is_empty() && enough(self)) {
                return Ok(());
            }
            // Reading one stream (or writing) also takes in what has come for the other: the socket is then empty
            // though there is something to read, and a wait for the socket would never end.
            moved |= self.channel.read_window().available > 0;
            if moved {
                // A host that never stops talking must not outrun the deadline.
                limit
                    .check()
                    .map_err(|over| connection.target.over(over, limit, &self.doing))?;
            } else {
                connection.ready(limit, &self.doing)?;
            }
        }
    }

    /// Reads what has arrived on one stream; says whether there was anything.
    fn read_all(
        &mut self,
        connection: &Connection,
        stream: i32,
        buffer: &mut [u8],
    ) -> Result<bool, HostError> {
        let mut moved = false;
        // Bounded, so that one stream cannot starve the other.
        for _ in 0..16 {
            match io_step(self.channel.stream(stream).read(buffer)) {
                Ok(Some(0) | None) => break,
                Ok(Some(count)) => {
                    let sink = if stream == 0 {
                        &mut self.stdout
                    } else {
                        &mut self.stderr
                    };
                    sink.extend_from_slice(&buffer[..count]);
                    moved = true;
                }
                Err(e) => return Err(connection.target.lost(&self.doing, &e)),
            }
        }
        Ok(moved)
    }

    /// Ends the program's stdin.
    pub fn end_input(&mut self, connection: &Connection, limit: &Limit) -> Result<(), HostError> {
        let Self { channel, doing, .. } = self;
        connection.through(limit, doing, || channel.send_eof())
    }

    /// After the end of its outputs: waits for the exit status.
    pub fn finish(mut self, connection: &Connection, limit: &Limit) -> Result<Output, HostError> {
        let Self { channel, doing, .. } = &mut self;
        connection.through(limit, doing, || channel.close())?;
        connection.through(limit, doing, || channel.wait_close())?;
        let signal = channel
            .exit_signal()
            .map_err(|e| connection.target.lost(doing, &e))?
            .exit_signal;
        let status = match signal {
            Some(name) => 128 + signal_number(&name),
            None => channel
                .exit_status()
                .map_err(|e| connection.target.lost(doing, &e))?,
        };
        Ok(Output {
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
        })
    }
}

/// The number of a signal that SSH names (RFC 4254, section 6.10); 0 for one that it cannot name.
fn signal_number(name: &str) -> i32 {
    let base = name.split('@').next().unwrap_or(name);
    match base {
        "ABRT" => libc::SIGABRT,
        "ALRM" => libc::SIGALRM,
        "FPE" => libc::SIGFPE,
        "HUP" => libc::SIGHUP,
        "ILL" => libc::SIGILL,
        "INT" => libc::SIGINT,
        "KILL" => libc::SIGKILL,
        "PIPE" => libc::SIGPIPE,
        "QUIT" => libc::SIGQUIT,
        "SEGV" => libc::SIGSEGV,
        "TERM" => libc::SIGTERM,
        "USR1" => libc::SIGUSR1,
        "USR2" => libc::SIGUSR2,
        _ => 0,
    }
}
