//! Captures: one thread each, from libpcap's ring into a compressed nanosecond pcap file.
//!
//! The `pcap` crate ignores it when libpcap refuses a time-stamp precision, so what is in force is read back. The
//! thread sleeps in `poll` until the kernel hands over a block of packets or it is told to stop; it does not
//! wake for each packet, which would take CPU time from what is measured.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pcap::{Active, Capture, Direction, Precision, TimestampType};
use thiserror::Error;

use crate::libpcap;
use crate::pcap_file::Writer;
use crate::protocol::{CaptureDone, CaptureReady, CaptureSpec, Point};
use crate::wait::{Stop, wait_readable};

/// The kernel hands over a block that is not full after this long. Longer means fewer wake-ups during the trial,
/// and as much longer to wait for the last packets after it.
const BLOCK_TIMEOUT_MS: u16 = 250;

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

/// A capture that runs in its own thread.
#[derive(Debug)]
pub struct RunningCapture {
    ready: CaptureReady,
    stop: Stop,
    thread: Option<JoinHandle<Captured>>,
}

type Captured = Result<(CaptureDone, Vec<String>), CaptureError>;

impl RunningCapture {
    /// Opens the interface, verifies what was granted and starts the thread. When this returns, packets are seen.
    ///
    /// # Errors
    /// When the interface, the filter or the file cannot be had.
    pub fn start(spec: &CaptureSpec, folder: &Path) -> Result<Self, CaptureError> {
        let interface = || spec.interface.clone();
        let capture = open(spec)?;
        let ready = CaptureReady {
            spec: spec.clone(),
            link_type: capture.get_datalink().0,
            nanoseconds: libpcap::has_nanoseconds(&capture),
            timestamp_source: "host".to_owned(),
        };
        if ready.link_type != pcap::Linktype::ETHERNET.0 {
            return Err(CaptureError::NotEthernet {
                interface: interface(),
                link_type: ready.link_type,
            });
        }
        let file = file_name(spec);
        let path = folder.join(&file);
        let writer = Writer::create(&path, ready.link_type as u32, spec.snaplen)
            .map_err(|error| write_error(&path, error))?;
        let stop = Stop::new().map_err(|error| CaptureError::System {
            interface: interface(),
            error,
        })?;
        let job = Job {
            capture,
            writer,
            path,
            ready: ready.clone(),
            file,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("capture-{}", spec.interface))
            .spawn(move || job.run())
            .map_err(|error| CaptureError::System {
                interface: interface(),
                error,
            })?;
        Ok(Self {
            ready,
            stop,
            thread: Some(thread),
        })
    }

    /// What was verified when it was opened.
    pub fn ready(&self) -> &CaptureReady {
        &self.ready
    }

    /// Tells the thread to read what is left and to end; [`RunningCapture::finish`] waits for that. Telling all
    /// captures first and then waiting for each takes no longer than one.
    ///
    /// # Errors
    /// When the thread cannot be told.
    pub fn tell_to_stop(&self) -> Result<(), CaptureError> {
        self.stop.raise().map_err(|error| CaptureError::System {
            interface: self.ready.spec.interface.clone(),
            error,
        })
    }

    /// Stops, writes the rest and gives the file its name. Also returns warnings about what was seen.
    ///
    /// # Errors
    /// When the capture broke off or its file could not be written; then there is no file.
    pub fn finish(mut self) -> Captured {
        self.end()
    }

    fn end(&mut self) -> Captured {
        let interface = || self.ready.spec.interface.clone();
        self.tell_to_stop()?;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(captured)) => captured,
            Some(Err(_)) | None => Err(CaptureError::Died {
                interface: interface(),
            }),
        }
    }
}

impl Drop for RunningCapture {
    /// One that is given up is stopped too; its file is the owner's to remove.
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.end()
        {
            tracing::warn!("a capture that was given up: {error}");
        }
    }
}

/// `tx.pcap.zst`, `vif-u1.pcap.zst`.
fn file_name(spec: &CaptureSpec) -> String {
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
            format!("{point}-{safe}.pcap.zst")
        }
        None => format!("{point}.pcap.zst"),
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
        .immediate_mode(false)
        .timeout(i32::from(BLOCK_TIMEOUT_MS))
        // Adapter stamps exist for received packets only and follow another clock: one source for all points.
        .tstamp_type(TimestampType::Host)
        .precision(Precision::Nano)
        .open()
        .map_err(failed)?
        .setnonblock()
        .map_err(failed)?;
    capture
        .filter(&spec.filter, true)
        .map_err(|error| CaptureError::Filter {
            interface: interface(),
            filter: spec.filter.clone(),
            error,
        })?;
    capture.direction(direction(spec.point)).map_err(failed)?;
    Ok(capture)
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

/// What the thread owns.
struct Job {
    capture: Capture<Active>,
    writer: Writer,
    path: PathBuf,
    ready: CaptureReady,
    file: String,
    stop: Stop,
}

impl Job {
    fn run(mut self) -> Result<(CaptureDone, Vec<String>), CaptureError> {
        // Stamps whose last three digits are not 000.
        let mut fine = 0;
        loop {
            let told = self.wait(None)?;
            self.drain(&mut fine)?;
            if told {
                break;
            }
        }
        // The kernel still holds the block that it was filling; it hands it over at its time-out.
        let end = Instant::now() + Duration::from_millis(u64::from(BLOCK_TIMEOUT_MS) + 50);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let left_ms = left.as_millis() as u16;
            wait_readable(&[self.capture.as_fd()], Some(left_ms + 1))
                .map_err(|e| self.system(e))?;
            self.drain(&mut fine)?;
        }
        let stats = self.capture.stats().map_err(|error| self.broken(error))?;
        let written = self.writer.written();
        let interface = &self.ready.spec.interface;
        let mut warnings = Vec::new();
        if self.ready.nanoseconds && fine == 0 && written >= ENTROPY_MIN {
            warnings.push(format!(
                "time stamps on {interface} claim nanoseconds, but all {written} are whole microseconds"
            ));
        }
        if !self.ready.nanoseconds {
            warnings.push(format!("libpcap gives only microseconds on {interface}"));
        }
        self.writer
            .finish()
            .map_err(|error| write_error(&self.path, error))?;
        let done = CaptureDone {
            ready: self.ready,
            file: self.file,
            written,
            received: u64::from(stats.received),
            dropped_kernel: u64::from(stats.dropped),
            dropped_interface: u64::from(stats.if_dropped),
        };
        Ok((done, warnings))
    }

    /// Sleeps until there are packets; true when told to stop.
    fn wait(&self, timeout_ms: Option<u16>) -> Result<bool, CaptureError> {
        let ready = wait_readable(&[self.stop.as_fd(), self.capture.as_fd()], timeout_ms)
            .map_err(|error| self.system(error))?;
        Ok(ready[0])
    }

    /// Writes every packet that the kernel has handed over.
    fn drain(&mut self, fine: &mut u64) -> Result<(), CaptureError> {
        let nanoseconds = self.ready.nanoseconds;
        loop {
            let mut failed = None;
            let writer = &mut self.writer;
            let got = self.capture.dispatch(None, |packet| {
                // With nanosecond precision libpcap keeps nanoseconds in the field named `tv_usec`.
                let fraction = packet.header.ts.tv_usec as u64;
                let ns = if nanoseconds {
                    fraction
                } else {
                    fraction * 1000
                };
                *fine += u64::from(!ns.is_multiple_of(1000));
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
            interface: self.ready.spec.interface.clone(),
            error,
        }
    }

    fn system(&self, error: io::Error) -> CaptureError {
        CaptureError::System {
            interface: self.ready.spec.interface.clone(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(point: Point, guest: Option<&str>) -> CaptureSpec {
        CaptureSpec {
            point,
            guest: guest.map(str::to_owned),
            interface: "no-such-nic".to_owned(),
            filter: crate::packet::FILTER.to_owned(),
            snaplen: 128,
            buffer: 2 << 20,
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
