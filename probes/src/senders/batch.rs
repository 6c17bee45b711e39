//! Frames that wait to be sent, one behind the other.

/// A queue of frames without an allocation for each.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// End of each frame in `bytes`.
    ends: Vec<usize>,
    /// Frames at the front that are gone already.
    gone: usize,
}

impl Frames {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, frame: &[u8]) {
        if self.is_empty() {
            self.clear();
        }
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.gone == self.ends.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len() - self.gone
    }

    /// One of them, from the front.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let index = self.gone + index;
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Forgets so many at the front.
    pub fn drop_front(&mut self, frames: usize) {
        self.gone = (self.gone + frames).min(self.ends.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.gone = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out() {
        let mut frames = Frames::default();
        for n in 1..=3_u8 {
            frames.push(&vec![n; n.into()]);
        }
        frames.drop_front(1);
        assert_eq!(frames.iter().collect::<Vec<_>>(), [&[2, 2][..], &[3, 3, 3]]);
        frames.push(&[4]);
        assert_eq!((frames.len(), frames.get(2)), (3, Some(&[4][..])));
        frames.drop_front(9);
        assert!(frames.is_empty());
        frames.push(&[5]);
        assert_eq!(frames.iter().collect::<Vec<_>>(), [&[5]]);
    }
}
