//! The frames of one flow: a template for each size, and the sizes in their order.

use vifbench_scenarios::scenario::FrameSize;
use vifbench_scenarios::timing::Sizes;

use crate::packet::{FCS_LEN, MAX_SIZE, MIN_SIZE_V4, MIN_SIZE_V6, PacketError, Template};
use crate::protocol::FlowSpec;

/// What a flow sends.
#[derive(Debug, Clone)]
pub struct FlowFrames {
    spec: FlowSpec,
    sizes: Sizes,
    /// By size; built when a size first comes up.
    templates: Vec<Option<Box<Template>>>,
}

impl FlowFrames {
    /// Builds the frames of a flow that come in known sizes. A trace's own are built as they come.
    ///
    /// # Errors
    /// When a size, a MAC or an IP address does not make a valid frame.
    pub fn new(spec: &FlowSpec) -> Result<Self, PacketError> {
        let parts: Vec<(u32, u32)> = spec
            .size
            .parts()
            .into_iter()
            // Too large for 32 bits is too large for Ethernet, and refused as that.
            .map(|(weight, size)| (u32::try_from(size.bytes()).unwrap_or(u32::MAX), weight))
            .collect();
        let sizes = match parts[..] {
            [] => Sizes::Fixed(smallest(spec)),
            [(size, _)] => Sizes::Fixed(size),
            _ => Sizes::mix(&parts, spec.seed),
        };
        let mut frames = Self {
            spec: spec.clone(),
            sizes,
            templates: vec![None; MAX_SIZE as usize + 1],
        };
        for (size, _) in parts {
            frames.build(size)?;
        }
        if spec.size == FrameSize::Captured {
            // Says now what is wrong with the addresses.
            frames.build(smallest(spec))?;
        }
        Ok(frames)
    }

    fn build(&mut self, size: u32) -> Result<(), PacketError> {
        let template = Template::new(&self.spec, size)?;
        self.templates[size as usize] = Some(Box::new(template));
        Ok(())
    }

    /// The next frame: of the next size, unless its size is known. A captured size that Ethernet or vifbench's header
    /// does not allow becomes the nearest that they do.
    ///
    /// # Errors
    /// When the frame cannot be built; after [`FlowFrames::new`] that would be a defect.
    #[inline]
    pub fn next(&mut self, captured: Option<u32>) -> Result<&mut Template, PacketError> {
        let size = match captured {
            Some(size) => size.clamp(smallest(&self.spec), MAX_SIZE),
            None => self.sizes.draw(),
        };
        if self.templates[size as usize].is_none() {
            self.build(size)?;
        }
        match &mut self.templates[size as usize] {
            Some(template) => Ok(template),
            None => Err(PacketError::Size {
                flow: self.spec.flow,
                size,
                family: "test",
                min: smallest(&self.spec),
            }),
        }
    }
}

/// The smallest frame of the flow's family, FCS included.
fn smallest(spec: &FlowSpec) -> u32 {
    if spec.destination.is_ipv4() {
        MIN_SIZE_V4
    } else {
        MIN_SIZE_V6
    }
}

/// The size of a captured frame with its FCS, which captures do not show.
pub fn with_fcs(captured: u32) -> u32 {
    captured.saturating_add(FCS_LEN)
}

#[cfg(test)]
mod tests {
    use vifbench_scenarios::scenario::Arrivals;
    use vifbench_scenarios::units::Rate;

    use super::*;

    fn frames(size: &str) -> FlowFrames {
        let spec = FlowSpec {
            flow: 1,
            source_mac: "02:00:00:00:00:01".into(),
            destination_mac: "02:00:00:00:00:02".into(),
            source: "198.18.0.1".parse().unwrap(),
            destination: "198.18.0.2".parse().unwrap(),
            size: size.parse().unwrap(),
            arrivals: Arrivals::Cbr {
                rate: Rate::per_sec(1),
            },
            seed: 9,
        };
        FlowFrames::new(&spec).unwrap()
    }

    fn len(frames: &mut FlowFrames, captured: Option<u32>) -> usize {
        frames.next(captured).unwrap().stamp(0).len()
    }

    #[test]
    fn sizes_are_those_of_the_simulator() {
        let mut frames = frames("imix");
        let mut simulated = Sizes::mix(&[(60, 7), (590, 4), (1514, 1)], 9);
        for _ in 0..1000 {
            assert_eq!(len(&mut frames, None), simulated.draw() as usize);
        }
    }

    #[test]
    fn captured_sizes_are_kept_where_they_can_be() {
        let mut frames = frames("captured");
        for (captured, sent) in [(60, 60), (42, 60), (600, 600), (1514, 1514), (9000, 1514)] {
            assert_eq!(len(&mut frames, Some(with_fcs(captured))), sent);
        }
    }
}
