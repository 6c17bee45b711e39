//! Sends from memory that is shared with the driver (`AF_XDP`, transmit only): without a copy where the NIC's driver can,
//! else the kernel copies each frame.
//!
//! No XDP program is loaded, so receiving is not touched.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::sender::{Refused, Sender, SenderError, index_of};
use super::sys::{self, Mapped, Memory};

/// Bytes of one frame's place.
const SLOT: usize = 2048;
/// Places, and entries of both rings.
const SLOTS: usize = 512;
/// Frames sent together.
const BATCH: usize = 64;
/// How long a batch may wait for the driver to let go of the frames before it.
const PATIENCE: Duration = Duration::from_millis(100);

// linux/if_xdp.h
const AF_XDP: sys::Number = 44;
const SOL_XDP: sys::Number = 283;
const XDP_MMAP_OFFSETS: sys::Number = 1;
const XDP_TX_RING: sys::Number = 3;
const XDP_UMEM_REG: sys::Number = 4;
const XDP_UMEM_FILL_RING: sys::Number = 5;
const XDP_UMEM_COMPLETION_RING: sys::Number = 6;
const XDP_PGOFF_TX_RING: i64 = 0x8000_0000;
const XDP_UMEM_PGOFF_COMPLETION_RING: i64 = 0x1_8000_0000;
/// Bytes of a descriptor of the transmit ring: address (64 bits), length, options.
const DESCRIPTOR: usize = 16;
/// Bytes of an entry of the completion ring: an address.
const ENTRY: usize = 8;

#[repr(C)]
#[derive(Clone, Copy)]
struct Registration {
    address: u64,
    len: u64,
    chunk: u32,
    headroom: u32,
    flags: u32,
    metadata: u32,
}

/// Where a ring's parts lie in its mapping.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Offsets {
    producer: u64,
    consumer: u64,
    descriptors: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct AllOffsets {
    receive: Offsets,
    transmit: Offsets,
    fill: Offsets,
    completion: Offsets,
}

/// One of the two rings.
struct Ring {
    mapped: Mapped,
    at: Offsets,
}

impl Ring {
    fn map(socket: &OwnedFd, at: Offsets, entry: usize, offset: i64) -> io::Result<Self> {
        let len = at.descriptors as usize + SLOTS * entry;
        Ok(Self {
            mapped: Mapped::at(socket, len, offset)?,
            at,
        })
    }

    fn producer(&self) -> u32 {
        self.mapped.load(self.at.producer as usize)
    }

    fn set_producer(&mut self, value: u32) {
        self.mapped.store(self.at.producer as usize, value);
    }

    fn consumer(&self) -> u32 {
        self.mapped.load(self.at.consumer as usize)
    }

    fn set_consumer(&mut self, value: u32) {
        self.mapped.store(self.at.consumer as usize, value);
    }

    fn place(&self, index: u32, entry: usize) -> usize {
        self.at.descriptors as usize + index as usize % SLOTS * entry
    }
}

/// `AF_XDP`.
pub struct XdpSender {
    transmit: Ring,
    completion: Ring,
    memory: Memory,
    socket: OwnedFd,
    /// Frames ever handed over, and ever seen to be done, both modulo 2^32.
    handed: u32,
    done: u32,
    /// Frames that are filled and not handed over.
    waiting: usize,
}

impl XdpSender {
    /// Opens a socket on the interface's first queue.
    ///
    /// # Errors
    /// When kernel or driver do not have it, there is no such interface, or no right to it.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let index = index_of(interface)?;
        let unable = |error: io::Error| match error.raw_os_error() {
            Some(
                libc::EAFNOSUPPORT
                | libc::EPROTONOSUPPORT
                | libc::EOPNOTSUPP
                | libc::ENOPROTOOPT
                | libc::EINVAL,
            ) => SenderError::Unable {
                sender: "xdp",
                interface: interface.to_owned(),
                why: format!("kernel or driver do not have AF_XDP ({error})"),
            },
            _ => SenderError::open("xdp", interface)(error),
        };
        Self::on(index).map_err(unable)
    }

    fn on(index: u32) -> io::Result<Self> {
        let socket = sys::raw_socket(AF_XDP)?;
        let memory = Memory::new(SLOT * SLOTS)?;
        let entries = SLOTS as u32;
        let registration = Registration {
            address: memory.address(),
            len: (SLOT * SLOTS) as u64,
            chunk: SLOT as u32,
            headroom: 0,
            flags: 0,
            metadata: 0,
        };
        sys::set_option(&socket, SOL_XDP, XDP_UMEM_REG, &registration)?;
        // The kernel wants a fill ring even where nothing is received.
        for ring in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING] {
            sys::set_option(&socket, SOL_XDP, ring, &entries)?;
        }
        let offsets: AllOffsets = sys::get_option(&socket, SOL_XDP, XDP_MMAP_OFFSETS)?;
        let transmit = Ring::map(&socket, offsets.transmit, DESCRIPTOR, XDP_PGOFF_TX_RING)?;
        let completion = Ring::map(
            &socket,
            offsets.completion,
            ENTRY,
            XDP_UMEM_PGOFF_COMPLETION_RING,
        )?;
        sys::bind_xdp(&socket, index)?;
        Ok(Self {
            transmit,
            completion,
            memory,
            socket,
            handed: 0,
            done: 0,
            waiting: 0,
        })
    }

    /// Notes what the driver has let go of.
    fn collect(&mut self) {
        self.done = self.completion.producer();
        // Places are used in turn, so which ones they are need not be read.
        self.completion.set_consumer(self.done);
    }

    /// Has the driver work; whether it refused for good.
    fn kick(&mut self) -> io::Result<()> {
        match sys::kick_now(&self.socket) {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR)
                ) =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl Sender for XdpSender {
    fn capacity(&self) -> usize {
        BATCH
    }

    fn push(&mut self, frame: &[u8]) {
        let index = self.handed.wrapping_add(self.waiting as u32);
        let address = index as usize % SLOTS * SLOT;
        self.memory.write(address, frame);
        let mut descriptor = [0; DESCRIPTOR];
        descriptor[..8].copy_from_slice(&(address as u64).to_ne_bytes());
        descriptor[8..12].copy_from_slice(&(frame.len() as u32).to_ne_bytes());
        let place = self.transmit.place(index, DESCRIPTOR);
        self.transmit.mapped.write(place, &descriptor);
        self.waiting += 1;
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        let sent = self.waiting;
        if sent == 0 {
            return Ok(0);
        }
        self.handed = self.handed.wrapping_add(sent as u32);
        self.waiting = 0;
        self.transmit.set_producer(self.handed);
        let begun = Instant::now();
        loop {
            self.kick().map_err(|error| Refused { sent: 0, error })?;
            self.collect();
            // Until the driver has taken every frame, a part of a batch each time, and the next batch has room.
            let under_way = self.handed.wrapping_sub(self.done) as usize;
            if self.transmit.consumer() == self.handed && under_way <= SLOTS - BATCH {
                return Ok(sent);
            }
            if begun.elapsed() > PATIENCE {
                let error = io::Error::from_raw_os_error(libc::ENODEV);
                return Err(Refused { sent: 0, error });
            }
        }
    }
}
