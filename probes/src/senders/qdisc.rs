//! Which queueing discipline stands before an interface, as rtnetlink tells it (`RTM_GETQDISC`).

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

// linux/netlink.h and linux/rtnetlink.h
const HEADER: usize = 16;
const TCMSG: usize = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const TC_H_ROOT: u32 = u32::MAX;
const TCA_KIND: u16 = 1;
/// The kernel fills at most this much at once (`NETLINK_GOODSIZE` grown to what the reader offered).
const ROOM: usize = 64 * 1024;

/// The name of an interface's root discipline, such as `fq`; none where it has none that the kernel shows (`noqueue`).
///
/// # Errors
/// What the system says, or that an answer was not understood.
pub fn root(index: u32) -> io::Result<Option<String>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    sendto(
        socket.as_raw_fd(),
        &question(),
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut room = vec![0; ROOM];
    let mut found = None;
    loop {
        let len = recv(socket.as_raw_fd(), &mut room, MsgFlags::MSG_TRUNC)?;
        let answer = room.get(..len).ok_or_else(unclear)?;
        match read(answer, index)? {
            Read::More(root) => found = found.or(root),
            Read::Done(root) => return Ok(found.or(root)),
        }
    }
}

/// A dump of all disciplines: older kernels do not look at the interface that is asked for.
fn question() -> [u8; HEADER + TCMSG] {
    let mut message = [0; HEADER + TCMSG];
    message[..4].copy_from_slice(&((HEADER + TCMSG) as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_GETQDISC.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message
}

/// What an answer's messages say of the interface's root, and whether others follow.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    More(Option<String>),
    Done(Option<String>),
}

fn unclear() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "rtnetlink's answer about queueing disciplines is cut off",
    )
}

fn read(mut answer: &[u8], index: u32) -> io::Result<Read> {
    let mut found = None;
    while !answer.is_empty() {
        let len = word(answer, 0)? as usize;
        let message = answer.get(..len).filter(|_| len >= HEADER);
        let message = message.ok_or_else(unclear)?;
        match half(message, 4)? {
            NLMSG_DONE => return Ok(Read::Done(found)),
            NLMSG_ERROR => {
                let code = word(message, HEADER)? as i32;
                return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
            }
            RTM_NEWQDISC
                if word(message, HEADER + 4)? == index
                    && word(message, HEADER + 12)? == TC_H_ROOT =>
            {
                let attributes = message.get(HEADER + TCMSG..).ok_or_else(unclear)?;
                found = found.or(kind(attributes)?);
            }
            _ => {}
        }
        answer = answer.get(aligned(len)..).unwrap_or_default();
    }
    Ok(Read::More(found))
}

/// The attribute with the discipline's name.
fn kind(mut attributes: &[u8]) -> io::Result<Option<String>> {
    const ATTRIBUTE: usize = 4;
    while !attributes.is_empty() {
        let len = usize::from(half(attributes, 0)?);
        let attribute = attributes.get(..len).filter(|_| len >= ATTRIBUTE);
        let attribute = attribute.ok_or_else(unclear)?;
        if half(attribute, 2)? == TCA_KIND {
            let name = attribute[ATTRIBUTE..].split(|byte| *byte == 0).next();
            return Ok(name.map(|name| String::from_utf8_lossy(name).into_owned()));
        }
        attributes = attributes.get(aligned(len)..).unwrap_or_default();
    }
    Ok(None)
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map(u32::from_ne_bytes).ok_or_else(unclear)
}

fn half(bytes: &[u8], at: usize) -> io::Result<u16> {
    let two = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    two.map(u16::from_ne_bytes).ok_or_else(unclear)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut all = vec![0; HEADER];
        all[..4].copy_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        all[4..6].copy_from_slice(&kind.to_ne_bytes());
        all.extend_from_slice(body);
        all.resize(aligned(all.len()), 0);
        all
    }

    fn discipline(index: u32, parent: u32, name: &str) -> Vec<u8> {
        let mut body = vec![0; TCMSG];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[12..16].copy_from_slice(&parent.to_ne_bytes());
        body.extend_from_slice(&((4 + name.len() + 1) as u16).to_ne_bytes());
        body.extend_from_slice(&TCA_KIND.to_ne_bytes());
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        message(RTM_NEWQDISC, &body)
    }

    #[test]
    fn the_root_of_the_interface_is_found_among_others() {
        let answer = [
            discipline(1, TC_H_ROOT, "noqueue"),
            discipline(2, 0x8001, "pfifo_fast"),
            discipline(2, TC_H_ROOT, "fq"),
        ]
        .concat();
        assert_eq!(read(&answer, 2).unwrap(), Read::More(Some("fq".into())));
        assert_eq!(read(&answer, 3).unwrap(), Read::More(None));
        let last = message(NLMSG_DONE, &[0; 4]);
        assert_eq!(read(&last, 2).unwrap(), Read::Done(None));
        let refused = message(NLMSG_ERROR, &(-libc::EPERM).to_ne_bytes());
        let error = read(&refused, 2).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn this_machine_s_loopback_is_asked() {
        // Needs no rights; `lo` has no discipline that is shown.
        let index = super::super::sender::index_of("lo").unwrap();
        assert!(matches!(
            root(index).unwrap().as_deref(),
            None | Some("noqueue")
        ));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(answer in prop::collection::vec(any::<u8>(), 0..200), index in 0..4_u32) {
            if let Err(error) = read(&answer, index) {
                let told = error.kind() == io::ErrorKind::InvalidData || error.raw_os_error().is_some();
                prop_assert!(told, "{error:?}");
            }
        }

        #[test]
        fn a_message_that_says_it_is_shorter_is_refused_or_names_nothing(len in 0..HEADER + TCMSG) {
            let mut short = discipline(2, TC_H_ROOT, "fq");
            short.truncate(len.max(4));
            short[..4].copy_from_slice(&(len as u32).to_ne_bytes());
            prop_assert!(read(&short, 2).is_err());
        }

        #[test]
        fn a_cut_answer_is_not_misread(cut in 1..40_usize) {
            // Three letters and their end: nothing is filled up, so that every byte counts.
            let whole = discipline(2, TC_H_ROOT, "red");
            let cut = &whole[..whole.len().saturating_sub(cut)];
            prop_assert!(!matches!(read(cut, 2), Ok(Read::More(Some(_)) | Read::Done(Some(_)))));
        }
    }
}
