//! The container on the wire, byte for byte as netback packs and netfront unpacks it.
//!
//! | offset | bytes | header | | offset | bytes | before every frame |
//! |---|---|---|---|---|---|---|
//! | 0 | 2 | magic 0x4741 | | 0 | 2 | length of the frame, 14 to 4072 |
//! | 2 | 1 | version 1 | | 2 | 2 | flags |
//! | 3 | 1 | reason ([`crate::stage::Reason`]) | | 4 | 4 | age in ns: arrival to release, saturating |
//! | 4 | 2 | number of frames | | 8 | | the frame, padded with zeros to 4 bytes |
//! | 6 | 2 | bytes used, header included | | | | |
//! | 8 | 4 | sequence number | | | | |
//! | 12 | 4 | first frame to release in ns, saturating | | | | |
//!
//! All little endian. A container is valid as a whole or not at all.

use thiserror::Error;

use crate::stage::Reason;

/// Bytes of a container.
pub const CAPACITY: usize = 4096;
/// Bytes of its header.
pub const HEADER: usize = 16;
/// Bytes before every frame.
pub const FRAMING: usize = 8;
/// The shortest frame: an Ethernet header.
pub const SHORTEST: usize = 14;
/// The longest frame that fits.
pub const LONGEST: usize = CAPACITY - HEADER - FRAMING;
/// The most frames that fit.
pub const MOST_FRAMES: usize = (CAPACITY - HEADER) / (FRAMING + SHORTEST + 2);

const MAGIC: u16 = 0x4741;
const VERSION: u8 = 1;
/// Flags of a frame that are known: bit 0, its checksum is known to be good; bit 1, it is still to be filled in.
pub const KNOWN_FLAGS: u16 = 0b11;

/// One frame of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// [`KNOWN_FLAGS`], or fewer.
    pub flags: u16,
    /// Arrival to release, in nanoseconds.
    pub age: u32,
    /// The frame from its Ethernet header on, without FCS.
    pub bytes: &'a [u8],
}

/// What a container says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Why it left.
    pub reason: Reason,
    /// Its number; the next one's is one more, wrapping.
    pub seq: u32,
    /// First frame to release, in nanoseconds.
    pub hold: u32,
}

/// Why bytes are no container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PackingError {
    /// A frame cannot be packed.
    #[error("a frame of {0} bytes cannot be packed: {SHORTEST} to {LONGEST} can")]
    Frame(usize),
    /// A frame does not fit any more.
    #[error("the container is full: {free} bytes are free, {needed} are needed")]
    Full {
        /// Bytes left.
        free: usize,
        /// Bytes that the frame takes.
        needed: usize,
    },
    /// Flags that this version does not know.
    #[error("the flags {0:#06x} are not known")]
    Flags(u16),
    /// Too short, too long, or not what `used` says.
    #[error("a container of {0} bytes cannot be")]
    Length(usize),
    /// It does not begin as a container of this version does.
    #[error("this is no container of version {VERSION}")]
    Head,
    /// The number of frames cannot be, or is not what was found.
    #[error("the container says it holds {0} frames")]
    Count(u16),
    /// A frame reaches beyond the end, or frames do not end exactly there.
    #[error("the frames do not end where the container does")]
    End,
    /// Padding that is not zero.
    #[error("padding at byte {0} is not zero")]
    Padding(usize),
}

/// Builds a container.
#[derive(Debug, Clone)]
pub struct Packer {
    bytes: Vec<u8>,
    frames: u16,
}

impl Default for Packer {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(CAPACITY);
        bytes.resize(HEADER, 0);
        Self { bytes, frames: 0 }
    }
}

impl Packer {
    /// Appends a frame.
    ///
    /// # Errors
    /// When it cannot be packed, does not fit, or has unknown flags; then nothing changed.
    pub fn push(&mut self, frame: Frame<'_>) -> Result<(), PackingError> {
        let len = frame.bytes.len();
        if !(SHORTEST..=LONGEST).contains(&len) {
            return Err(PackingError::Frame(len));
        }
        if frame.flags & !KNOWN_FLAGS != 0 {
            return Err(PackingError::Flags(frame.flags));
        }
        let needed = (FRAMING + len).next_multiple_of(4);
        let free = CAPACITY - self.bytes.len();
        if free < needed {
            return Err(PackingError::Full { free, needed });
        }
        let end = self.bytes.len() + needed;
        self.bytes.extend((len as u16).to_le_bytes());
        self.bytes.extend(frame.flags.to_le_bytes());
        self.bytes.extend(frame.age.to_le_bytes());
        self.bytes.extend(frame.bytes);
        self.bytes.resize(end, 0);
        self.frames += 1;
        Ok(())
    }

    /// The finished container.
    pub fn finish(mut self, head: Head) -> Vec<u8> {
        let used = self.bytes.len() as u16;
        let out = &mut self.bytes;
        out[0..2].copy_from_slice(&MAGIC.to_le_bytes());
        out[2] = VERSION;
        out[3] = head.reason as u8;
        out[4..6].copy_from_slice(&self.frames.to_le_bytes());
        out[6..8].copy_from_slice(&used.to_le_bytes());
        out[8..12].copy_from_slice(&head.seq.to_le_bytes());
        out[12..16].copy_from_slice(&head.hold.to_le_bytes());
        self.bytes
    }
}

/// Takes a container apart. `bytes` is what the ring's response says was used.
///
/// # Errors
/// When anything about it is wrong: then no frame of it may be delivered.
pub fn unpack(bytes: &[u8]) -> Result<(Head, Vec<Frame<'_>>), PackingError> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if !(HEADER + FRAMING + SHORTEST..=CAPACITY).contains(&bytes.len()) {
        return Err(PackingError::Length(bytes.len()));
    }
    let reason = match bytes[3] {
        0 => Reason::Full,
        1 => Reason::Timeout,
        2 => Reason::Bypass,
        3 => Reason::Backlog,
        _ => return Err(PackingError::Head),
    };
    if u16_at(0) != MAGIC || bytes[2] != VERSION {
        return Err(PackingError::Head);
    }
    let count = u16_at(4);
    if !(1..=MOST_FRAMES as u16).contains(&count) {
        return Err(PackingError::Count(count));
    }
    if usize::from(u16_at(6)) != bytes.len() {
        return Err(PackingError::Length(usize::from(u16_at(6))));
    }
    let mut frames = Vec::with_capacity(usize::from(count));
    let mut at = HEADER;
    for _ in 0..count {
        let rest = bytes.len() - at;
        if rest < FRAMING {
            return Err(PackingError::End);
        }
        let len = usize::from(u16_at(at));
        if !(SHORTEST..=LONGEST).contains(&len) {
            return Err(PackingError::Frame(len));
        }
        let flags = u16_at(at + 2);
        if flags & !KNOWN_FLAGS != 0 {
            return Err(PackingError::Flags(flags));
        }
        let cost = (FRAMING + len).next_multiple_of(4);
        if cost > rest {
            return Err(PackingError::End);
        }
        let begin = at + FRAMING;
        frames.push(Frame {
            flags,
            age: u32_at(at + 4),
            bytes: &bytes[begin..begin + len],
        });
        at += cost;
        if let Some(pad) = (begin + len..at).find(|pad| bytes[*pad] != 0) {
            return Err(PackingError::Padding(pad));
        }
    }
    if at != bytes.len() {
        return Err(PackingError::End);
    }
    let head = Head {
        reason,
        seq: u32_at(8),
        hold: u32_at(12),
    };
    Ok((head, frames))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Loose = (u16, u32, Vec<u8>);

    fn any_frame() -> impl Strategy<Value = Loose> {
        let len = prop_oneof![3 => 14usize..80, 1 => 14usize..1600, 1 => 4000usize..=LONGEST];
        (0..=KNOWN_FLAGS, any::<u32>(), len).prop_flat_map(|(flags, age, len)| {
            (
                Just(flags),
                Just(age),
                prop::collection::vec(any::<u8>(), len),
            )
        })
    }

    fn pack(frames: &[Loose], head: Head) -> (usize, Vec<u8>) {
        let mut packer = Packer::default();
        let fitting = frames
            .iter()
            .take_while(|(flags, age, bytes)| {
                packer
                    .push(Frame {
                        flags: *flags,
                        age: *age,
                        bytes,
                    })
                    .is_ok()
            })
            .count();
        (fitting, packer.finish(head))
    }

    fn head(seq: u32) -> Head {
        Head {
            reason: Reason::Timeout,
            seq,
            hold: 7,
        }
    }

    #[test]
    fn byte_for_byte() {
        let (_, bytes) = pack(&[(1, 0x0102_0304, (1..=15).collect())], head(0xa1b2_c3d4));
        assert_eq!(
            bytes,
            [
                0x41, 0x47, 1, 1, 1, 0, 40, 0, 0xd4, 0xc3, 0xb2, 0xa1, 7, 0, 0, 0, // header
                15, 0, 1, 0, 4, 3, 2, 1, // framing
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, // frame and padding
            ]
        );
    }

    #[test]
    fn limits() {
        assert_eq!((LONGEST, MOST_FRAMES), (4072, 170));
        let small = vec![(0, 0, vec![9; SHORTEST]); 171];
        let (fitting, bytes) = pack(&small, head(1));
        assert_eq!((fitting, bytes.len()), (170, 4096));
        assert_eq!(unpack(&bytes).unwrap().1.len(), 170);
        let mut packer = Packer::default();
        for len in [0, 13, 4073] {
            let frame = Frame {
                flags: 0,
                age: 0,
                bytes: &vec![0; len],
            };
            assert_eq!(packer.push(frame), Err(PackingError::Frame(len)));
        }
        assert_eq!(unpack(&[]), Err(PackingError::Length(0)));
        assert_eq!(
            unpack(&packer.finish(head(0))),
            Err(PackingError::Length(16))
        );
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(frames in prop::collection::vec(any_frame(), 1..200), seq in any::<u32>()) {
            let (fitting, bytes) = pack(&frames, head(seq));
            let (found, out) = unpack(&bytes).unwrap();
            prop_assert_eq!(found, head(seq));
            let out: Vec<Loose> = out.iter().map(|f| (f.flags, f.age, f.bytes.to_vec())).collect();
            prop_assert_eq!(&out[..], &frames[..fitting]);
        }

        #[test]
        fn damage_is_found_or_packs_again(
            frames in prop::collection::vec(any_frame(), 1..20),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let (_, mut bytes) = pack(&frames, head(3));
            for (place, value) in edits {
                let place = place.index(bytes.len().min(64));
                bytes[place] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            // Whatever is accepted has one form only.
            if let Ok((head, frames)) = unpack(&bytes) {
                let mut packer = Packer::default();
                for frame in frames {
                    prop_assert_eq!(packer.push(frame), Ok(()));
                }
                prop_assert_eq!(packer.finish(head), bytes);
            }
        }

        #[test]
        fn noise_is_no_container(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unpack(&bytes).is_err() || bytes.starts_with(&[0x41, 0x47, 1]));
        }
    }
}
