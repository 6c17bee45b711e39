//! Captures: one thread a kernel ring, from libpcap into a nanosecond pcap or pcapng file.
//!
//! The `pcap` crate ignores it when libpcap refuses a time-stamp precision, so what is in force is read back. The
//! thread sleeps in `poll` until the kernel hands over a block of packets or it is told to stop; it does not
//! wake for each packet, which would take CPU time from what is measured. Several rings of one point share its
//! packets (`fanout`); each is written to a file of its own, and the files are merged by stamp when all have ended.

mod fanout;
mod merge;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pcap::{Active, Capture, Direction, Precision, TimestampType};
use thiserror::Error;
use vifbench_wait::{Cancel, Woken, until_readable, wait_readable};
use vifbench_wire::pcap_file::{About, FileFormat, PcapFileError, Statistics, Writer};
use vifbench_wire::protocol::{CaptureDone, CaptureReady, CaptureSpec, Point, StampSource};

use crate::clock::reading::realtime_ns;
use crate::counters::ethtool::Ethtool;
use crate::libpcap;
use fanout::Fanout;

/// The kernel hands over a block that is not full after this long. Longer means fewer wake-ups during the trial,
/// and as much longer to wait for the last packets after it.
const BLOCK_TIMEOUT_MS: u16 = 250;

/// More rings than any host has processors to read them.
const MAX_RINGS: u8 = 64;

/// Time stamps are checked for microseconds in disguise when there are at least this many.
const ENTROPY_MIN: u64 = 100;

/// Why a capture could not be made.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// libpcap would not open the interface.
    #[error(
        "cannot capture on {interface}: {error}; check that the interface exists and is up, and that vifprobe runs as root"
    )]
    Open {
        /// Interface.
        interface: String,
        /// What libpcap said.
        error: pcap::Error,
    },
    /// The filter is wrong.
    #[error(
        "cannot capture on {interface} with the filter `{filter}`: {error}; correct the filter (see pcap-filter(7))"
    )]
    Filter {
        /// Interface.
        interface: String,
        /// The filter.
        filter: String,
        /// What libpcap said.
        error: pcap::Error,
    },
    /// A number that libpcap does not take.
    #[error(
        "cannot capture on {interface}: {what} of {value} bytes is out of range; use 64 to 2147483647"
    )]
    Range {
        /// Interface.
        interface: String,
        /// `snaplen` or `buffer`.
        what: &'static str,
        /// What was asked.
        value: u32,
    },
    /// A number of rings that makes no sense.
    #[error("cannot capture on {interface} with {rings} rings; use 1 to {MAX_RINGS}")]
    Rings {
        /// Interface.
        interface: String,
        /// What was asked.
        rings: u8,
    },
    /// The rings could not be joined to share the packets.
    #[error("cannot share the packets of {interface} between several rings: {error}; use one ring")]
    Fanout {
        /// Interface.
        interface: String,
        /// What the system said.
        error: io::Error,
    },
    /// The NIC does not stamp these packets.
    #[error(
        "cannot capture on {interface} with stamps of the adapter: {why}; use stamps of the host"
    )]
    NoAdapterStamps {
        /// Interface.
        interface: String,
        /// Why not.
        why: &'static str,
    },
    /// The file of one ring could not be read again.
    #[error("cannot merge the rings of {interface}: {error}")]
    Merge {
        /// Interface.
        interface: String,
        /// Of which file, where, and why.
        error: PcapFileError,
    },
    /// The interface is not Ethernet.
    #[error(
        "cannot capture on {interface}: its packets are of pcap link type {link_type}, not Ethernet (1)"
    )]
    NotEthernet {
        /// Interface.
        interface: String,
        /// What it is.
        link_type: i32,
    },
    /// The capture broke off.
    #[error("the capture on {interface} broke off: {error}; was the interface taken away or down?")]
    Broken {
        /// Interface.
        interface: String,
        /// What libpcap said.
        error: pcap::Error,
    },
    /// The disk is full.
    #[error(
        "no space left on the disk while writing the capture {path}; free some, shorten the trial or lower `snaplen`"
    )]
    DiskFull {
        /// The file that is not there now.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the capture {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The operating system refused something else.
    #[error("cannot capture on {interface}: {error}")]
    System {
        /// Interface.
        interface: String,
        /// What the system said.
        error: io::Error,
    },
    /// The thread ended without a result.
    #[error(
        "the thread that captured on {interface} died: please report this as a defect of vifprobe"
    )]
    Died {
        /// Interface.
        interface: String,
    },
}

/// A capture that runs in threads of its own.
#[derive(Debug)]
pub struct RunningCapture {
    ready: CaptureReady,
    /// Where the file is to lie.
    path: PathBuf,
    file: String,
    stop: Cancel,
    rings: Vec<(PathBuf, JoinHandle<Result<Ended, CaptureError>>)>,
}

type Captured = Result<(CaptureDone, Vec<String>), CaptureError>;

/// What one ring gave.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    written: u64,
    /// Written, with stamps whose last three digits are not 000.
    fine: u64,
    received: u64,
    dropped_kernel: u64,
    dropped_interface: u64,
    dropped_application: u64,
}

impl RunningCapture {
    /// Opens the interface, verifies what was granted and starts the threads. When this returns, packets are seen.
    ///
    /// # Errors
    /// When the interface, the filter or the file cannot be had.
    pub fn start(spec: &CaptureSpec, folder: &Path) -> Result<Self, CaptureError> {
        let interface = || spec.interface.clone();
        let system = |error| CaptureError::System {
            interface: interface(),
            error,
        };
        let rings = spec.options.rings;
        if !(1..=MAX_RINGS).contains(&rings) {
            return Err(CaptureError::Rings {
                interface: interface(),
                rings,
            });
        }
        check_stamps(spec)?;
        let mut captures = (0..rings)
            .map(|_| open(spec))
            .collect::<Result<Vec<_>, _>>()?;
        if rings > 1 {
            Fanout::join(&mut captures, spec)?;
        }
        let ready = CaptureReady {
            spec: spec.clone(),
            link_type: captures[0].get_datalink().0,
            nanoseconds: captures.iter().all(libpcap::has_nanoseconds),
            timestamp_source: source(spec)?,
        };
        if ready.link_type != pcap::Linktype::ETHERNET.0 {
            return Err(CaptureError::NotEthernet {
                interface: interface(),
                link_type: ready.link_type,
            });
        }
        let file = file_name(spec);
        let path = folder.join(&file);
        let stop = Cancel::new().map_err(system)?;
        let mut running = Self {
            ready,
            path,
            file,
            stop,
            rings: Vec::new(),
        };
        for (number, capture) in captures.into_iter().enumerate() {
            running.start_ring(number, capture)?;
        }
        Ok(running)
    }

    /// Those that were started before one that cannot be are stopped as `self` is dropped.
    fn start_ring(&mut self, number: usize, capture: Capture<Active>) -> Result<(), CaptureError> {
        let spec = &self.ready.spec;
        let (path, format) = if spec.options.rings > 1 {
            let ring = format!("{}.ring{number}", self.file);
            (self.path.with_file_name(ring), FileFormat::Pcap)
        } else {
            (self.path.clone(), spec.options.format)
        };
        let writer = Writer::create_as(&path, format, about(&self.ready))
            .map_err(|error| write_error(&path, error))?;
        let most_bytes = spec.options.most_bytes.unwrap_or(u64::MAX);
        let job = Job {
            capture,
            writer,
            path: path.clone(),
            interface: spec.interface.clone(),
            nanoseconds: self.ready.nanoseconds,
            most_bytes: most_bytes / u64::from(spec.options.rings),
            stop: self.stop.clone(),
            ended: Ended::default(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("capture-{}", spec.interface))
            .spawn(move || job.run())
            .map_err(|error| CaptureError::System {
                interface: spec.interface.clone(),
                error,
            })?;
        self.rings.push((path, thread));
        Ok(())
    }

    /// What was verified when it was opened.
    pub fn ready(&self) -> &CaptureReady {
        &self.ready
    }

    /// Tells the threads to read what is left and to end; [`RunningCapture::finish`] waits for that. Telling all
    /// captures first and then waiting for each takes no longer than one.
    ///
    /// # Errors
    /// When the threads cannot be told.
    pub fn tell_to_stop(&self) -> Result<(), CaptureError> {
        self.stop.cancel().map_err(|error| CaptureError::System {
            interface: self.ready.spec.interface.clone(),
            error,
        })
    }

    /// Stops, writes the rest and gives the file its name. Also returns warnings about what was seen.
    ///
    /// # Errors
    /// When the capture broke off or its file could not be written; then there is no file.
    pub fn finish(mut self) -> Captured {
        let (parts, ended) = self.end()?;
        if let [_, _, ..] = &parts[..] {
            merge::by_stamp(
                &parts,
                &self.path,
                self.ready.spec.options.format,
                about(&self.ready),
                &statistics(&ended),
            )
            .map_err(|error| match error {
                merge::MergeError::Read(error) => CaptureError::Merge {
                    interface: self.ready.spec.interface.clone(),
                    error,
                },
                merge::MergeError::Write(error) => write_error(&self.path, error),
            })?;
        }
        let warnings = warnings(&self.ready, &ended);
        let done = CaptureDone {
            ready: self.ready.clone(),
            file: self.file.clone(),
            written: ended.written,
            received: ended.received,
            dropped_kernel: ended.dropped_kernel,
            dropped_interface: ended.dropped_interface,
            dropped_application: ended.dropped_application,
        };
        Ok((done, warnings))
    }

    /// Waits for the threads; the files of the rings, and the sum of what they gave. All are waited for, whatever
    /// becomes of one.
    fn end(&mut self) -> Result<(Vec<PathBuf>, Ended), CaptureError> {
        self.tell_to_stop()?;
        let mut parts = Vec::new();
        let mut sum = Ended::default();
        let mut failed = None;
        for (path, thread) in std::mem::take(&mut self.rings) {
            let ended = thread.join().unwrap_or_else(|_| {
                Err(CaptureError::Died {
                    interface: self.ready.spec.interface.clone(),
                })
            });
            match ended {
                Ok(ended) => sum.add(&ended),
                Err(error) => failed = failed.or(Some(error)),
            }
            parts.push(path);
        }
        match failed {
            Some(error) => Err(error),
            None => Ok((parts, sum)),
        }
    }
}

impl Ended {
    fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.fine += other.fine;
        self.received += other.received;
        self.dropped_kernel += other.dropped_kernel;
        // Each ring reads the same counter of the interface.
        self.dropped_interface = self.dropped_interface.max(other.dropped_interface);
        self.dropped_application += other.dropped_application;
    }
}

fn about(ready: &CaptureReady) -> About<'_> {
    About {
        link_type: ready.link_type as u32,
        snaplen: ready.spec.snaplen,
        interface: &ready.spec.interface,
    }
}

fn statistics(ended: &Ended) -> Statistics {
    Statistics {
        at_ns: realtime_ns(),
        received: ended.received,
        dropped_interface: ended.dropped_interface,
        dropped_kernel: ended.dropped_kernel,
    }
}

fn warnings(ready: &CaptureReady, ended: &Ended) -> Vec<String> {
    let interface = &ready.spec.interface;
    let written = ended.written;
    let mut warnings = Vec::new();
    if ready.nanoseconds && ended.fine == 0 && written >= ENTROPY_MIN {
        warnings.push(format!(
            "time stamps on {interface} claim nanoseconds, but all {written} are whole microseconds"
        ));
    }
    if !ready.nanoseconds {
        warnings.push(format!("libpcap gives only microseconds on {interface}"));
    }
    if ended.dropped_application > 0 {
        warnings.push(format!(
            "the capture on {interface} reached its limit of {} bytes: {} packets beyond were not written; raise the \
             limit, or lower `snaplen`",
            ready.spec.options.most_bytes.unwrap_or(u64::MAX),
            ended.dropped_application
        ));
    }
    warnings
}

/// Who stamps, and by which clock: stamps with the same name on one host are of one clock.
fn source(spec: &CaptureSpec) -> Result<String, CaptureError> {
    let name = spec.options.stamps.name();
    if spec.options.stamps == StampSource::Host {
        return Ok(name.to_owned());
    }
    let stamps = Ethtool::new(&spec.interface)
        .and_then(|ethtool| ethtool.timestamping())
        .map_err(|error| CaptureError::System {
            interface: spec.interface.clone(),
            error: error.error,
        })?;
    match stamps.phc {
        Some(phc) if stamps.every_received => Ok(format!("{name} {phc}")),
        _ => Err(CaptureError::NoAdapterStamps {
            interface: spec.interface.clone(),
            why: "the NIC does not stamp every packet it receives by a clock of its own (see `ethtool -T`)",
        }),
    }
}

/// libpcap gets its copy of an outgoing packet before the NIC has it, so that the stamp is the kernel's whatever was
/// asked: it would be mixed with the adapter's unnoticed.
fn check_stamps(spec: &CaptureSpec) -> Result<(), CaptureError> {
    if spec.options.stamps == StampSource::Host {
        return Ok(());
    }
    let why = match direction(spec.point) {
        Direction::In => match libpcap::offers_adapter_stamps(&spec.interface) {
            Ok(true) => return Ok(()),
            Ok(false) => "the NIC does not stamp every packet it receives (see `ethtool -T`)",
            Err(error) => {
                return Err(CaptureError::Open {
                    interface: spec.interface.clone(),
                    error,
                });
            }
        },
        _ => {
            "libpcap sees packets on their way out before the NIC stamps them; capture them where they come in, at a tap"
        }
    };
    Err(CaptureError::NoAdapterStamps {
        interface: spec.interface.clone(),
        why,
    })
}

impl Drop for RunningCapture {
    /// One that is given up is stopped too; its file is the owner's to remove.
    fn drop(&mut self) {
        if !self.rings.is_empty()
            && let Err(error) = self.end()
        {
            tracing::warn!("a capture that was given up: {error}");
        }
    }
}

/// `tx.pcap.zst`, `vif-u1.pcap.zst`.
fn file_name(spec: &CaptureSpec) -> String {
    let extension = spec.options.format.extension();
    let point = match spec.point {
        Point::Tx => "tx",
        Point::Nic => "nic",
        Point::Vif => "vif",
        Point::Rx => "rx",
    };
    match &spec.guest {
        Some(guest) => {
            // A guest's name comes over the wire: it must not lead out of the folder.
            let safe: String = guest
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                        c
                    } else {
                        '_'
                    }
                })
                .collect();
            format!("{point}-{safe}.{extension}")
        }
        None => format!("{point}.{extension}"),
    }
}

/// Which way the packets of a point go through its interface.
fn direction(point: Point) -> Direction {
    match point {
        Point::Tx | Point::Vif => Direction::Out,
        Point::Nic | Point::Rx => Direction::In,
    }
}

fn open(spec: &CaptureSpec) -> Result<Capture<Active>, CaptureError> {
    let interface = || spec.interface.clone();
    let number = |what, value: u32| {
        i32::try_from(value)
            .ok()
            .filter(|n| *n >= 64)
            .ok_or_else(|| CaptureError::Range {
                interface: interface(),
                what,
                value,
            })
    };
    let (snaplen, buffer) = (
        number("snaplen", spec.snaplen)?,
        number("buffer", spec.buffer)?,
    );
    let failed = |error| CaptureError::Open {
        interface: interface(),
        error,
    };
    let mut capture = Capture::from_device(spec.interface.as_str())
        .map_err(failed)?
        // The packets of a trial are addressed to the interface or pass it anyway: it stays as it was.
        .promisc(false)
        .snaplen(snaplen)
        .buffer_size(buffer)
        .immediate_mode(spec.options.immediate)
        .timeout(i32::from(BLOCK_TIMEOUT_MS))
        // The adapter's clock as it is: nothing here keeps it in step with the host's.
        .tstamp_type(match spec.options.stamps {
            StampSource::Host => TimestampType::Host,
            StampSource::Adapter => TimestampType::AdapterUnsynced,
        })
        .precision(Precision::Nano)
        .open()
        .map_err(failed)?
        .setnonblock()
        .map_err(failed)?;
    capture.direction(direction(spec.point)).map_err(failed)?;
    if spec.options.rings == 1 {
        filter(&mut capture, spec)?;
    }
    Ok(capture)
}

fn filter(capture: &mut Capture<Active>, spec: &CaptureSpec) -> Result<(), CaptureError> {
    capture
        .filter(&spec.filter, true)
        .map_err(|error| CaptureError::Filter {
            interface: spec.interface.clone(),
            filter: spec.filter.clone(),
            error,
        })
}

fn write_error(path: &Path, error: io::Error) -> CaptureError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CaptureError::DiskFull { path }
        }
        _ => CaptureError::Write { path, error },
    }
}

/// What the thread of one ring owns.
struct Job {
    capture: Capture<Active>,
    writer: Writer,
    path: PathBuf,
    interface: String,
    nanoseconds: bool,
    most_bytes: u64,
    stop: Cancel,
    ended: Ended,
}

impl Job {
    fn run(mut self) -> Result<Ended, CaptureError> {
        loop {
            let woken = until_readable(self.capture.as_fd(), &self.stop)
                .map_err(|error| self.system(error))?;
            self.drain()?;
            if woken == Woken::Cancelled {
                break;
            }
        }
        // The kernel still holds the block that it was filling; it hands it over at its time-out.
        let end = Instant::now() + Duration::from_millis(u64::from(BLOCK_TIMEOUT_MS) + 50);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            wait_readable(&[self.capture.as_fd()], Some(left)).map_err(|e| self.system(e))?;
            self.drain()?;
        }
        let stats = self.capture.stats().map_err(|error| self.broken(error))?;
        self.ended.written = self.writer.written();
        self.ended.received = u64::from(stats.received);
        self.ended.dropped_kernel = u64::from(stats.dropped);
        self.ended.dropped_interface = u64::from(stats.if_dropped);
        self.writer.tell(&statistics(&self.ended));
        self.writer
            .finish()
            .map_err(|error| write_error(&self.path, error))?;
        Ok(self.ended)
    }

    /// Writes every packet that the kernel has handed over.
    fn drain(&mut self) -> Result<(), CaptureError> {
        let nanoseconds = self.nanoseconds;
        loop {
            let mut failed = None;
            let writer = &mut self.writer;
            let ended = &mut self.ended;
            let most_bytes = self.most_bytes;
            let got = self.capture.dispatch(None, |packet| {
                if writer.bytes() >= most_bytes {
                    ended.dropped_application += 1;
                    return;
                }
                // With nanosecond precision libpcap keeps nanoseconds in the field named `tv_usec`.
                let fraction = packet.header.ts.tv_usec as u64;
                let ns = if nanoseconds {
                    fraction
                } else {
                    fraction * 1000
                };
                ended.fine += u64::from(!ns.is_multiple_of(1000));
                let ts_ns = packet.header.ts.tv_sec as u64 * 1_000_000_000 + ns;
                if failed.is_none() {
                    failed = writer.record(ts_ns, packet.header.len, packet.data).err();
                }
            });
            if let Some(error) = failed {
                return Err(write_error(&self.path, error));
            }
            if got.map_err(|error| self.broken(error))? == 0 {
                return Ok(());
            }
        }
    }

    fn broken(&self, error: pcap::Error) -> CaptureError {
        CaptureError::Broken {
            interface: self.interface.clone(),
            error,
        }
    }

    fn system(&self, error: io::Error) -> CaptureError {
        CaptureError::System {
            interface: self.interface.clone(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use vifbench_wire::protocol::CaptureOptions;

    use super::*;

    fn spec(point: Point, guest: Option<&str>) -> CaptureSpec {
        CaptureSpec {
            point,
            guest: guest.map(str::to_owned),
            interface: "no-such-nic".to_owned(),
            filter: vifbench_wire::packet::FILTER.to_owned(),
            snaplen: 128,
            buffer: 2 << 20,
            options: CaptureOptions::default(),
        }
    }

    #[test]
    fn files_are_named_by_point_and_guest() {
        assert_eq!(file_name(&spec(Point::Tx, None)), "tx.pcap.zst");
        assert_eq!(file_name(&spec(Point::Vif, Some("u1"))), "vif-u1.pcap.zst");
        assert_eq!(
            file_name(&spec(Point::Rx, Some("../../etc/x"))),
            "rx-.._.._etc_x.pcap.zst"
        );
    }

    #[test]
    fn an_unknown_interface_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = RunningCapture::start(&spec(Point::Rx, None), dir.path()).unwrap_err();
        assert!(matches!(error, CaptureError::Open { .. }), "{error}");
        assert!(error.to_string().contains("no-such-nic"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = CaptureSpec {
            buffer: u32::MAX,
            ..spec(Point::Rx, None)
        };
        let error = RunningCapture::start(&wrong, dir.path()).unwrap_err();
        assert!(
            matches!(error, CaptureError::Range { what: "buffer", .. }),
            "{error}"
        );
    }
}
