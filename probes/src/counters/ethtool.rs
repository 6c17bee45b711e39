//! What `ethtool` shows, by the same ioctl: statistics (`-S`), driver (`-i`), features (`-k`) and time stamps (`-T`).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use thiserror::Error;

// linux/sockios.h and linux/ethtool.h
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GET_TS_INFO: u32 = 0x41;
const ETH_SS_STATS: u32 = 1;
const ETH_SS_FEATURES: u32 = 4;
const GSTRING_LEN: usize = 32;
/// No driver names more; guards against nonsense from one.
const MAX_STRINGS: usize = 65_536;

/// Why an interface could not be asked.
#[derive(Debug, Error)]
#[error("cannot read {what} of {interface}: {error}; does the interface exist?")]
pub struct EthtoolError {
    /// Interface.
    pub interface: String,
    /// What was asked.
    pub what: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl EthtoolError {
    /// Whether the driver just does not offer this.
    fn is_unsupported(&self) -> bool {
        self.error.raw_os_error() == Some(libc::EOPNOTSUPP)
    }
}

/// Who drives an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Driver name.
    pub driver: String,
    /// Its version: the kernel's, for drivers in the tree.
    pub version: String,
    /// Firmware version; `N/A` or empty where there is none.
    pub firmware: String,
    /// Where it sits.
    pub bus: String,
}

/// Which packets an interface stamps, and by which clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamping {
    /// `SOF_TIMESTAMPING_*` of `linux/net_tstamp.h`.
    capabilities: u32,
    /// Number of the NIC's own clock (`/dev/ptpN`), where it has one.
    pub phc: Option<u32>,
    /// It can stamp every packet that it receives, not only those of PTP.
    pub every_received: bool,
}

impl Timestamping {
    /// Capabilities as ethtool names them.
    pub fn names(&self) -> Vec<&'static str> {
        const NAMES: [&str; 7] = [
            "hardware-transmit",
            "software-transmit",
            "hardware-receive",
            "software-receive",
            "software-system-clock",
            "hardware-legacy-clock",
            "hardware-raw-clock",
        ];
        let set = NAMES.into_iter().enumerate();
        set.filter(|(bit, _)| self.capabilities & (1 << bit) != 0)
            .map(|(_, name)| name)
            .collect()
    }
}

/// Asks about one interface.
#[derive(Debug)]
pub struct Ethtool {
    interface: String,
    socket: OwnedFd,
}

impl Ethtool {
    /// Gets ready to ask; the interface is not looked at yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left or the name is too long.
    pub fn new(interface: &str) -> Result<Self, EthtoolError> {
        let failed = |error| EthtoolError {
            interface: interface.to_owned(),
            what: "settings",
            error,
        };
        if interface.len() >= libc::IFNAMSIZ {
            return Err(failed(io::Error::from_raw_os_error(libc::ENODEV)));
        }
        let socket = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .map_err(|error| failed(error.into()))?;
        Ok(Self {
            interface: interface.to_owned(),
            socket,
        })
    }

    /// Counter names and values, in the driver's order; empty where the driver has none.
    ///
    /// # Errors
    /// When the interface does not exist or the driver breaks off.
    pub fn statistics(&self) -> Result<Vec<(String, u64)>, EthtoolError> {
        let names = match self.strings(ETH_SS_STATS, "the names of statistics") {
            Err(error) if error.is_unsupported() => return Ok(Vec::new()),
            names => names?,
        };
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // struct ethtool_stats: cmd, n_stats, then u64s; kept in u64s for their alignment.
        let mut words = vec![0u64; 1 + names.len()];
        words[0] = pair(ETHTOOL_GSTATS, names.len() as u32);
        self.ask("statistics", &mut words)?;
        let got = (split(words[0]).1 as usize).min(names.len());
        Ok(names
            .into_iter()
            .zip(words[1..=got].iter().copied())
            .collect())
    }

    /// Driver and firmware.
    ///
    /// # Errors
    /// When the interface does not exist.
    pub fn driver(&self) -> Result<Driver, EthtoolError> {
        // struct ethtool_drvinfo: cmd, then driver, version, fw_version, bus_info of 32 bytes each, and more.
        let mut words = vec![0u64; 196usize.div_ceil(8)];
        words[0] = pair(ETHTOOL_GDRVINFO, 0);
        self.ask("the driver", &mut words)?;
        let bytes = bytes(&words);
        let field = |n: usize| text(&bytes[4 + n * 32..4 + (n + 1) * 32]);
        Ok(Driver {
            driver: field(0),
            version: field(1),
            firmware: field(2),
            bus: field(3),
        })
    }

    /// Offload features by kernel name, and whether each is on; empty where there are none.
    ///
    /// # Errors
    /// When the interface does not exist.
    pub fn features(&self) -> Result<Vec<(String, bool)>, EthtoolError> {
        let names = match self.strings(ETH_SS_FEATURES, "the names of features") {
            Err(error) if error.is_unsupported() => return Ok(Vec::new()),
            names => names?,
        };
        let blocks = names.len().div_ceil(32);
        // struct ethtool_gfeatures: cmd, size, then blocks of available, requested, active, never_changed.
        let mut words = vec![0u64; 1 + blocks * 2];
        words[0] = pair(ETHTOOL_GFEATURES, blocks as u32);
        self.ask("features", &mut words)?;
        let on = |index: usize| {
            let active = split(words[1 + index / 32 * 2 + 1]).0;
            active & (1 << (index % 32)) != 0
        };
        let named = names
            .into_iter()
            .enumerate()
            .filter(|(_, name)| !name.is_empty());
        Ok(named.map(|(index, name)| (name, on(index))).collect())
    }

    /// Which packets are stamped, and by which clock.
    ///
    /// # Errors
    /// When the interface does not exist.
    pub fn timestamping(&self) -> Result<Timestamping, EthtoolError> {
        const HWTSTAMP_FILTER_ALL: u32 = 1;
        // struct ethtool_ts_info: cmd, so_timestamping, phc_index, tx_types, 3 reserved, rx_filters, 3 reserved; 44 bytes.
        let mut words = vec![0u64; 44usize.div_ceil(8)];
        words[0] = pair(ETHTOOL_GET_TS_INFO, 0);
        self.ask("time stamps", &mut words)?;
        let (_, capabilities) = split(words[0]);
        let (phc, _) = split(words[1]);
        let (_, rx_filters) = split(words[3]);
        Ok(Timestamping {
            capabilities,
            // -1 where there is none.
            phc: i32::try_from(phc).ok().map(|_| phc),
            every_received: rx_filters & (1 << HWTSTAMP_FILTER_ALL) != 0,
        })
    }

    fn strings(&self, set: u32, what: &'static str) -> Result<Vec<String>, EthtoolError> {
        // struct ethtool_sset_info: cmd, reserved, u64 mask, then one u32 for each bit set.
        let mut words = vec![0u64; 3];
        words[0] = pair(ETHTOOL_GSSET_INFO, 0);
        words[1] = 1 << set;
        self.ask(what, &mut words)?;
        let count = if words[1] == 0 {
            0
        } else {
            split(words[2]).0 as usize
        };
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > MAX_STRINGS {
            let error = io::Error::other(format!("the driver claims {count} of them"));
            return Err(EthtoolError {
                interface: self.interface.clone(),
                what,
                error,
            });
        }
        // struct ethtool_gstrings: cmd, string_set, len, then strings of 32 bytes.
        let mut words = vec![0u64; (12 + count * GSTRING_LEN).div_ceil(8)];
        words[0] = pair(ETHTOOL_GSTRINGS, set);
        words[1] = pair(count as u32, 0);
        self.ask(what, &mut words)?;
        let got = (split(words[1]).0 as usize).min(count);
        let bytes = bytes(&words);
        Ok(bytes[12..12 + got * GSTRING_LEN]
            .chunks(GSTRING_LEN)
            .map(text)
            .collect())
    }

    /// Makes the ioctl on a buffer that is as large as the command says that it is.
    fn ask(&self, what: &'static str, words: &mut [u64]) -> Result<(), EthtoolError> {
        #[expect(unsafe_code, reason = "there is no safe wrapper of SIOCETHTOOL")]
        // SAFETY: all-zero is a valid ifreq (integers, and a null pointer that is set next).
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.interface.bytes()) {
            *to = from as libc::c_char; // `new` made sure that a NUL is left
        }
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        #[expect(unsafe_code, reason = "there is no safe wrapper of SIOCETHTOOL")]
        // SAFETY: `request` and the buffer it points to live through the call. The kernel writes no more than
        // the command's struct, whose counts the callers have set to what they allotted.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return Err(EthtoolError {
                interface: self.interface.clone(),
                what,
                error,
            });
        }
        Ok(())
    }
}

/// Two u32 that lie one after the other, as one word.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn split(word: u64) -> (u32, u32) {
    let b = word.to_ne_bytes();
    (
        u32::from_ne_bytes([b[0], b[1], b[2], b[3]]),
        u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
    )
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn text(bytes: &[u8]) -> String {
    let text = CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes);
    String::from_utf8_lossy(text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_features_and_no_statistics() {
        let lo = Ethtool::new("lo").unwrap();
        assert!(
            lo.features()
                .unwrap()
                .contains(&("loopback".to_owned(), true))
        );
        assert_eq!(lo.statistics().unwrap(), []);
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let error = Ethtool::new("no-such-nic")
            .unwrap()
            .statistics()
            .unwrap_err();
        assert!(error.to_string().contains("no-such-nic"));
        assert!(Ethtool::new("a-name-that-is-too-long").is_err());
    }
}
