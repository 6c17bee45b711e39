//! Frames that wait to be sent, one behind the other.

use std::io;

use super::sender::Refused;

/// A queue of frames without an allocation for each.
#[derive(Debug, Default)]
pub struct FrameQueue {
    bytes: Vec<u8>,
    /// End of each frame in `bytes`.
    ends: Vec<usize>,
    /// Frames at the front that are gone already.
    gone: usize,
}

impl FrameQueue {
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

    /// Sends all of them by calls that take some from the front, and say how many; how many that were.
    ///
    /// # Errors
    /// When a call takes none. Its first frame is dropped, and those behind it stay.
    pub fn send_all(
        &mut self,
        mut send: impl FnMut(&Self) -> io::Result<usize>,
    ) -> Result<usize, Refused> {
        let mut sent = 0;
        while !self.is_empty() {
            match send(self) {
                Ok(taken) => {
                    self.drop_front(taken);
                    sent += taken;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.drop_front(1);
                    return Err(Refused { sent, error });
                }
            }
        }
        Ok(sent)
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
    fn what_is_refused_is_dropped_alone() {
        let mut frames = FrameQueue::default();
        for n in 1..=4_u8 {
            frames.push(&[n]);
        }
        let answers = [Ok(1), Err(libc::EINTR), Err(libc::ENOBUFS), Ok(2)];
        let mut answers = answers.into_iter();
        let mut send = |frames: &mut FrameQueue| {
            frames.send_all(|_| {
                let answer = answers.next().expect("no more calls than frames need");
                answer.map_err(io::Error::from_raw_os_error)
            })
        };
        let refused = send(&mut frames).unwrap_err();
        assert_eq!(refused.sent, 1);
        assert_eq!(refused.error.raw_os_error(), Some(libc::ENOBUFS));
        assert_eq!(frames.iter().collect::<Vec<_>>(), [&[3], &[4]]);
        assert_eq!(send(&mut frames).unwrap(), 2);
        assert!(frames.is_empty());
    }

    #[test]
    fn first_in_first_out() {
        let mut frames = FrameQueue::default();
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
