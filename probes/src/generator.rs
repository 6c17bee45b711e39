//! The generator: sends every packet of a schedule at its time, whatever comes back (open loop).

use std::io;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use pnet::datalink::{self, Channel, ChannelType, Config, DataLinkSender};
use thiserror::Error;

use crate::clock::reading::realtime_ns;
use crate::packet::{PacketError, Template};
use crate::protocol::{FlowSpec, Generate, Pace, Sent};
use crate::schedule::{Schedule, ScheduleError};
use crate::wait::{Alarm, Stop, Woken, timespec};

/// A packet that leaves later than this after it was due counts as late.
pub const LATE_NS: u64 = 100_000;

/// Gaps longer than this are waited for with an ear for the word to stop.
const LONG_GAP_NS: u64 = 20_000_000;

/// A spinning generator sleeps until this long before the send time.
const SPIN_NS: u64 = 200_000;

/// How long one send may wait for room in the socket's buffer before it counts as refused.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// Why nothing, or no more, was sent.
#[derive(Debug, Error)]
pub enum GeneratorError {
    /// There is no such interface.
    #[error("cannot send on {interface}: there is no such interface; check the lab file")]
    NoInterface {
        /// Interface.
        interface: String,
    },
    /// The raw socket could not be had.
    #[error("cannot open a raw socket to send on {interface}: {error}; vifprobe must run as root")]
    Open {
        /// Interface.
        interface: String,
        /// What the system said.
        error: io::Error,
    },
    /// The interface went away or down.
    #[error("{interface} took no more packets after {sent}: {error}; is it up?")]
    Gone {
        /// Interface.
        interface: String,
        /// Packets sent before.
        sent: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A flow cannot be built.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A flow has no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A timer could not be had.
    #[error("cannot wait for send times: {0}")]
    Timer(io::Error),
}

/// What puts a frame on the wire.
pub trait Sender: Send {
    /// Sends one Ethernet frame without FCS. Must not wait for longer than a fraction of a second.
    ///
    /// # Errors
    /// As the kernel gives them; `ENOBUFS` and time-outs mean that this one packet was refused.
    fn send(&mut self, frame: &[u8]) -> io::Result<()>;
}

/// Sends through `pnet`'s data-link channel: one `poll` and one `sendto` for each packet.
pub struct PnetSender {
    channel: Box<dyn DataLinkSender>,
}

impl PnetSender {
    /// Opens a raw socket on an interface.
    ///
    /// # Errors
    /// When there is no such interface, or no right to raw sockets.
    pub fn open(interface: &str) -> Result<Self, GeneratorError> {
        let failed = |error| GeneratorError::Open {
            interface: interface.to_owned(),
            error,
        };
        let nic = datalink::interfaces()
            .into_iter()
            .find(|nic| nic.name == interface)
            .ok_or_else(|| GeneratorError::NoInterface {
                interface: interface.to_owned(),
            })?;
        // pnet's own socket receives every packet of the interface and never reads one, which costs the host a
        // copy of each until the buffer is full. A socket bound to protocol 0 receives nothing.
        let protocol_none = 0;
        let fd = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .map_err(|error| failed(error.into()))?;
        let config = Config {
            channel_type: ChannelType::Layer3(protocol_none),
            promiscuous: false,
            write_timeout: Some(SEND_TIMEOUT),
            socket_fd: Some(fd.into_raw_fd()), // pnet closes it, also when it fails
            ..Config::default()
        };
        match datalink::channel(&nic, config).map_err(failed)? {
            Channel::Ethernet(channel, _) => Ok(Self { channel }),
            _ => Err(failed(io::Error::other(
                "pnet gave an unknown kind of channel",
            ))),
        }
    }
}

impl Sender for PnetSender {
    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        // None would mean that the frame does not fit pnet's buffer, which `send_to` does not use.
        self.channel
            .send_to(frame, None)
            .unwrap_or_else(|| Err(io::Error::other("frame too large")))
    }
}

/// When to send, in `CLOCK_REALTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// No packet is due before this.
    pub start_ns: u64,
    /// No packet is due at or after this.
    pub stop_ns: u64,
    /// A generator that fell behind gives up here.
    pub give_up_ns: u64,
}

/// A generator that is ready: templates built, socket open.
pub struct Generator<S> {
    interface: String,
    pace: Pace,
    flows: Vec<FlowSpec>,
    templates: Vec<Template>,
    sender: S,
}

impl Generator<PnetSender> {
    /// Builds every flow's frames and opens the interface.
    ///
    /// # Errors
    /// When a flow cannot be built or scheduled, or the interface cannot be opened.
    pub fn open(plan: &Generate) -> Result<Self, GeneratorError> {
        Self::with_sender(plan, PnetSender::open(&plan.interface)?)
    }
}

impl<S: Sender> Generator<S> {
    /// Builds every flow's frames for another sender.
    ///
    /// # Errors
    /// When a flow cannot be built or scheduled.
    pub fn with_sender(plan: &Generate, sender: S) -> Result<Self, GeneratorError> {
        let templates = plan
            .flows
            .iter()
            .map(Template::new)
            .collect::<Result<_, _>>()?;
        let generator = Self {
            interface: plan.interface.clone(),
            pace: plan.pace,
            flows: plan.flows.clone(),
            templates,
            sender,
        };
        generator.schedule(0, 0)?;
        Ok(generator)
    }

    fn schedule(&self, start_ns: u64, stop_ns: u64) -> Result<Schedule, ScheduleError> {
        let flows = self
            .flows
            .iter()
            .map(|flow| (flow.flow, &flow.arrivals, flow.seed));
        Schedule::new(flows, start_ns, stop_ns)
    }

    /// Sends everything that is due in the window, each packet at its time or, where it fell behind, as soon after
    /// as it can. What is still unsent when it gives up counts as due; what was not due yet when it was told to
    /// stop does not.
    ///
    /// # Errors
    /// When the interface takes no packets at all any more, or there is no timer.
    pub fn run(&mut self, window: Window, stop: &Stop) -> Result<Sent, GeneratorError> {
        // Without this the kernel may end each sleep up to 50 us late, to save power.
        prctl::set_timerslack(1).map_err(|error| GeneratorError::Timer(error.into()))?;
        let alarm = Alarm::new().map_err(GeneratorError::Timer)?;
        let mut sent = Sent::default();
        let mut per_flow = vec![0; self.flows.len()];
        let mut schedule = self.schedule(window.start_ns, window.stop_ns)?;
        for due in &mut schedule {
            let template = &mut self.templates[due.flow];
            template.number(due.seq);
            let woken = wait_until(due.at_ns, self.pace, &alarm, stop);
            let woken = woken.map_err(GeneratorError::Timer)?;
            let now = realtime_ns();
            sent.due += u64::from(due.at_ns <= now);
            if woken == Woken::Stopped || now >= window.give_up_ns {
                sent.due += schedule.take_while(|due| due.at_ns <= now).count() as u64;
                break;
            }
            match self.sender.send(template.stamp(now)) {
                Ok(()) => {
                    sent.sent += 1;
                    per_flow[due.flow] += 1;
                }
                Err(error) if is_fatal(&error) => {
                    return Err(GeneratorError::Gone {
                        interface: self.interface.clone(),
                        sent: sent.sent,
                        error,
                    });
                }
                Err(_) => sent.refused += 1,
            }
            let late = now.saturating_sub(due.at_ns);
            sent.late += u64::from(late > LATE_NS);
            sent.latest_ns = sent.latest_ns.max(late);
        }
        let numbers = self.flows.iter().map(|flow| flow.flow);
        sent.flows = numbers.zip(per_flow).collect();
        Ok(sent)
    }
}

fn wait_until(at_ns: u64, pace: Pace, alarm: &Alarm, stop: &Stop) -> io::Result<Woken> {
    if stop.is_raised() {
        return Ok(Woken::Stopped);
    }
    let sleep_until = match pace {
        Pace::Sleep => at_ns,
        Pace::Spin => at_ns.saturating_sub(SPIN_NS),
    };
    let now = realtime_ns();
    if sleep_until > now.saturating_add(LONG_GAP_NS) {
        if alarm.until(sleep_until, stop)? == Woken::Stopped {
            return Ok(Woken::Stopped);
        }
    } else if sleep_until > now {
        let at = timespec(sleep_until);
        loop {
            let flags = ClockNanosleepFlags::TIMER_ABSTIME;
            match clock_nanosleep(ClockId::CLOCK_REALTIME, flags, &at) {
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    while pace == Pace::Spin && realtime_ns() < at_ns {
        std::hint::spin_loop();
    }
    Ok(Woken::Due)
}

/// Whether no later packet can do better.
fn is_fatal(error: &io::Error) -> bool {
    let fatal = [
        libc::ENETDOWN,
        libc::ENXIO,
        libc::ENODEV,
        libc::EBADF,
        libc::EMSGSIZE,
        libc::EINVAL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| fatal.contains(&code))
}

#[cfg(test)]
mod tests {
    use vifbench_scenarios::scenario::Arrivals;
    use vifbench_scenarios::units::Rate;

    use super::*;
    use crate::packet::{Parsed, parse};

    #[derive(Default)]
    struct Recorder {
        frames: Vec<(u64, Vec<u8>)>,
        answers: Vec<i32>,
    }

    impl Sender for &mut Recorder {
        fn send(&mut self, frame: &[u8]) -> io::Result<()> {
            self.frames.push((realtime_ns(), frame.to_vec()));
            match self.answers.get(self.frames.len() - 1) {
                None | Some(0) => Ok(()),
                Some(code) => Err(io::Error::from_raw_os_error(*code)),
            }
        }
    }

    fn plan(rate: u64, pace: Pace) -> Generate {
        let flow = |flow, arrivals| FlowSpec {
            flow,
            source_mac: "02:00:00:00:00:01".into(),
            destination_mac: "02:00:00:00:00:02".into(),
            source: "198.18.0.1".parse().unwrap(),
            destination: "198.18.0.2".parse().unwrap(),
            size: 64,
            arrivals,
            seed: 3,
        };
        let rate = Rate::per_sec(rate);
        let flows = vec![
            flow(1, Arrivals::Cbr { rate }),
            flow(2, Arrivals::Poisson { rate }),
        ];
        Generate {
            interface: "test".into(),
            pace,
            flows,
        }
    }

    fn window(start_ns: u64, run_ms: u64) -> Window {
        let stop_ns = start_ns + run_ms * 1_000_000;
        Window {
            start_ns,
            stop_ns,
            give_up_ns: stop_ns + 5_000_000_000,
        }
    }

    #[test]
    fn gives_up_when_it_has_fallen_behind() {
        struct Slow;
        impl Sender for Slow {
            fn send(&mut self, _: &[u8]) -> io::Result<()> {
                std::thread::sleep(Duration::from_millis(5));
                Ok(())
            }
        }
        let mut generator = Generator::with_sender(&plan(10_000, Pace::Sleep), Slow).unwrap();
        let start = realtime_ns();
        let times = Window {
            give_up_ns: start + 150_000_000,
            ..window(start, 100)
        };
        let all = generator.schedule(start, times.stop_ns).unwrap().count() as u64;
        let sent = generator.run(times, &Stop::new().unwrap()).unwrap();
        assert!(realtime_ns() < start + 1_000_000_000);
        assert_eq!(sent.due, all);
        assert!((1..=30).contains(&sent.sent), "{sent:?}");
    }

    #[test]
    fn sends_what_is_due_when_it_is_due() {
        for pace in [Pace::Sleep, Pace::Spin] {
            let mut recorder = Recorder::default();
            let mut generator = Generator::with_sender(&plan(500, pace), &mut recorder).unwrap();
            let start = realtime_ns() + 10_000_000;
            let stop = start + 200_000_000;
            let due: Vec<_> = generator.schedule(start, stop).unwrap().collect();
            let sent = generator
                .run(window(start, 200), &Stop::new().unwrap())
                .unwrap();
            assert_eq!(sent.due, due.len() as u64);
            assert_eq!(sent.sent, sent.due);
            assert_eq!(sent.flows.iter().map(|f| f.1).sum::<u64>(), sent.due);
            for (packet, (at, frame)) in due.iter().zip(&recorder.frames) {
                assert!(*at >= packet.at_ns);
                let Parsed::Test(stamp) = parse(frame) else {
                    panic!("not ours")
                };
                assert_eq!(
                    (stamp.flow, stamp.seq),
                    (packet.flow as u16 + 1, packet.seq)
                );
                // Stamped after it was due and before it was sent.
                assert!((packet.at_ns..=*at).contains(&stamp.sent_near(*at)));
            }
        }
    }

    #[test]
    fn refusals_are_counted_and_do_not_end_it() {
        let mut recorder = Recorder {
            answers: vec![0, libc::ENOBUFS, 0, libc::EAGAIN],
            ..Recorder::default()
        };
        let mut generator = Generator::with_sender(&plan(500, Pace::Sleep), &mut recorder).unwrap();
        let start = realtime_ns();
        let sent = generator
            .run(window(start, 100), &Stop::new().unwrap())
            .unwrap();
        assert_eq!(sent.refused, 2);
        assert_eq!(sent.sent + 2, sent.due);
    }

    #[test]
    fn an_interface_that_went_down_ends_it() {
        let mut recorder = Recorder {
            answers: vec![0, libc::ENETDOWN],
            ..Recorder::default()
        };
        let mut generator = Generator::with_sender(&plan(500, Pace::Sleep), &mut recorder).unwrap();
        let start = realtime_ns();
        let error = generator
            .run(window(start, 100), &Stop::new().unwrap())
            .unwrap_err();
        assert!(
            matches!(error, GeneratorError::Gone { sent: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn stops_at_once_when_told() {
        let mut recorder = Recorder::default();
        let mut generator = Generator::with_sender(&plan(1, Pace::Sleep), &mut recorder).unwrap();
        let stop = Stop::new().unwrap();
        let far = realtime_ns() + 3_600_000_000_000;
        let sent = std::thread::scope(|scope| {
            let worker = scope.spawn(|| generator.run(window(far, 1000), &stop).unwrap());
            stop.raise().unwrap();
            worker.join().unwrap()
        });
        assert_eq!(sent.due, 0);
        assert!(recorder.frames.is_empty());
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let error = PnetSender::open("no-such-nic").err().unwrap();
        assert!(error.to_string().contains("no-such-nic"));
    }
}
