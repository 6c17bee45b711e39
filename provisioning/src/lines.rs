//! Bytes that arrive in pieces, taken out as whole lines.

/// Collects bytes and gives back lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// So many bytes at the front hold no newline: they are not searched again.
    searched: usize,
}

impl Lines {
    /// Where arriving bytes are appended.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Is there a whole line?
    pub fn ready(&mut self) -> bool {
        let found = self.bytes[self.searched..].iter().position(|b| *b == b'\n');
        self.searched = found.map_or(self.bytes.len(), |at| self.searched + at);
        found.is_some()
    }

    /// The next whole line, without its newline.
    pub fn next(&mut self) -> Option<String> {
        if !self.ready() {
            return None;
        }
        let rest = self.bytes.split_off(self.searched + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.pop();
        self.searched = 0;
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Keeps only the last `keep` bytes: a program's complaints come last.
pub(crate) fn keep_tail(bytes: &mut Vec<u8>, keep: usize) {
    if bytes.len() > keep.saturating_mul(2) {
        bytes.drain(..bytes.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_do_not_matter(lines in prop::collection::vec("[a-zäé ]{0,12}", 0..12), step in 1_usize..7) {
            let text: String = lines.iter().flat_map(|l| [l.as_str(), "\n"]).collect();
            let mut buffer = Lines::default();
            let mut got = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                buffer.bytes().extend_from_slice(piece);
                while let Some(line) = buffer.next() {
                    got.push(line);
                }
            }
            prop_assert_eq!(got, lines);
            prop_assert!(!buffer.ready());
        }
    }

    #[test]
    fn the_tail_stays() {
        let mut bytes: Vec<u8> = (0..100).collect();
        keep_tail(&mut bytes, 10);
        assert_eq!(bytes, (90..100).collect::<Vec<u8>>());
    }
}
