//! How much a container holds: capacity, what a frame takes of it, and when it counts as full.

/// When a container is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// F1, what the kernel does: as soon as another frame like the last one would not fit.
    #[default]
    Ahead,
    /// F2, for the theory only: when a frame comes that does not fit; it opens the next container.
    Overflow,
}

/// Sizes of a container and of what is put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a container.
    pub capacity: u32,
    /// Bytes at its head.
    pub header: u32,
    /// Bytes before every frame.
    pub framing: u32,
    /// A shorter frame cannot be packed.
    pub shortest: u32,
    /// A frame with its framing is padded to a multiple of this.
    pub align: u32,
    /// When it is full.
    pub fill: Fill,
}

impl Layout {
    /// The patches' wire format: a page, 16 bytes of header, 8 before every frame, padded to 4.
    pub const WIRE: Self = Self {
        capacity: 4096,
        header: 16,
        framing: 8,
        shortest: 14,
        align: 4,
        fill: Fill::Ahead,
    };

    /// A container of the closed forms: nothing but frames, each with `framing` bytes.
    pub const fn bare(capacity: u32, framing: u32) -> Self {
        Self {
            capacity,
            header: 0,
            framing,
            shortest: 1,
            align: 1,
            fill: Fill::Ahead,
        }
    }

    /// What a frame of `len` bytes takes, or nothing if it fits into no container.
    #[inline]
    pub fn cost(&self, len: u32) -> Option<u32> {
        let room = self.capacity.saturating_sub(self.header);
        let bare = len.checked_add(self.framing)?;
        let cost = if self.align == 4 {
            // The common case without a division.
            bare.checked_add(3)? & !3
        } else {
            bare.checked_next_multiple_of(self.align)?
        };
        (len >= self.shortest && cost <= room).then_some(cost)
    }

    /// Frames of `len` bytes that fit: k of the closed forms.
    pub fn frames(&self, len: u32) -> u32 {
        self.cost(len)
            .map_or(0, |cost| (self.capacity - self.header) / cost.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_a_container() {
        let sizes = [64, 128, 256, 512, 1024, 1280, 1514];
        let bare = Layout::bare(4096, 0);
        assert_eq!(sizes.map(|s| bare.frames(s)), [64, 32, 16, 8, 4, 3, 2]);
        let framed = Layout::bare(4096, 8);
        assert_eq!(sizes.map(|s| framed.frames(s)), [56, 30, 15, 7, 3, 3, 2]);
        // What netback sees has no FCS.
        let wire = [60, 98, 128, 256, 512, 1024, 1514, 2000, 4072, 4073];
        assert_eq!(
            wire.map(|s| Layout::WIRE.frames(s)),
            [60, 37, 30, 15, 7, 3, 2, 2, 1, 0]
        );
        assert_eq!(Layout::WIRE.frames(14), 170);
        assert_eq!(Layout::WIRE.cost(u32::MAX), None);
    }
}
