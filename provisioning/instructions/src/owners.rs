//! Which domain owns which of the machine's memory.

use std::ops::Range;

/// Bytes of a frame, as a power of two.
pub const FRAME_BITS: u32 = 12;

/// The machine's frames that domains own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Disjoint where Xen tells the truth, in order; the domain's index goes with each.
    sorted: Vec<(Range<u64>, usize)>,
}

impl Owners {
    /// Adds the frames of a domain, as `xen-mfndump dump-p2m` prints them: `pfn=0x0 ==> mfn=0x1f000 (type 0x0)`.
    ///
    /// # Errors
    /// The text has no such line: then why is told by it.
    pub fn add(&mut self, domain: usize, text: &str) -> Result<(), String> {
        let mut frames: Vec<u64> = text.lines().filter_map(frame).collect();
        if frames.is_empty() {
            let first = text.lines().next().unwrap_or("it printed nothing");
            return Err(format!("no frame is told: {first}"));
        }
        frames.sort_unstable();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for frame in frames {
            match ranges.last_mut() {
                Some(range) if frame < range.end => {}
                Some(range) if range.end == frame => range.end += 1,
                _ => ranges.push(frame..frame + 1),
            }
        }
        self.sorted
            .extend(ranges.into_iter().map(|range| (range, domain)));
        self.sorted.sort_by_key(|(range, _)| range.start);
        Ok(())
    }

    /// The domain that a frame was told of.
    pub fn of(&self, frame: u64) -> Option<usize> {
        let after = self
            .sorted
            .partition_point(|(range, _)| range.start <= frame);
        let (range, domain) = self.sorted.get(after.checked_sub(1)?)?;
        range.contains(&frame).then_some(*domain)
    }
}

fn frame(line: &str) -> Option<u64> {
    let (_, after) = line.split_once("mfn=0x")?;
    let digits = after
        .find(|c: char| !c.is_ascii_hexdigit())
        .map_or(after, |end| &after[..end]);
    // No machine has so much memory; a hole is told as all ones.
    u64::from_str_radix(digits, 16)
        .ok()
        .filter(|frame| *frame < 1 << 40)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_belong_to_who_was_told_of_them() {
        let mut owners = Owners::default();
        owners
            .add(
                1,
                " --- Dumping P2M for domain 1 ---\n\
                 pfn=0x0 ==> mfn=0x100 (type 0x0)\n  pfn=0x1 ==> mfn=0x101 (type 0x0)\n\
                 pfn=0x2 ==> mfn=0xffffffffffffffff (type 0xf)\n  pfn=0x3 ==> mfn=0x80 (type 0x0)\n",
            )
            .expect("frames");
        owners.add(2, "pfn=0x0 ==> mfn=0x102").expect("a frame");
        let asked = [0x7f, 0x80, 0x81, 0x100, 0x101, 0x102, 0x103];
        assert_eq!(
            asked.map(|frame| owners.of(frame)),
            [None, Some(1), None, Some(1), Some(1), Some(2), None]
        );
    }

    #[test]
    fn a_tool_that_failed_is_told() {
        let error = Owners::default()
            .add(1, "ERROR: no such domain\n")
            .expect_err("no frames");
        assert!(error.contains("no such domain"), "{error}");
    }

    proptest! {
        #[test]
        fn a_frame_is_owned_if_and_only_if_it_was_told(
            frames in prop::collection::btree_set(0_u64..500, 1..200), asked in 0_u64..500
        ) {
            let text: Vec<String> = frames.iter().map(|frame| format!("mfn={frame:#x}")).collect();
            let mut owners = Owners::default();
            owners.add(7, &text.join("\n")).expect("frames");
            prop_assert_eq!(owners.of(asked), frames.contains(&asked).then_some(7));
        }

        #[test]
        fn any_text_is_read(text in "(?s).{0,200}") {
            drop(Owners::default().add(0, &text));
        }
    }
}
