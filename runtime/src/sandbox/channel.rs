//! Messages with descriptors over a `SOCK_SEQPACKET` pair.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Upper bound of one message in bytes. A socket buffer takes about 200 KiB by
/// default; the largest message is a start request with an image's environment
/// (Lambda's limit for all container settings is 16 KB).
const MAX_MESSAGE: usize = 160 * 1024;

/// Most descriptors that travel with one message.
const MAX_DESCRIPTORS: usize = 4;

/// A connected pair of packet sockets, both close-on-exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message. Never raises SIGPIPE.
pub(crate) fn send<M: Serialize>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_MESSAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the settings of this function take {} bytes, more than {MAX_MESSAGE} \
                 (Lambda's limit for container settings is 16 KB)",
                bytes.len()
            ),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors)),
            "at most {MAX_DESCRIPTORS} descriptors per message"
        );
    }
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(
            &socket,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
    })?;
    Ok(())
}

/// Receives one message; `None` when the other side is gone.
///
/// # Errors
/// `WouldBlock` on a non-blocking socket without a message.
pub(crate) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
    });
    let received = match received {
        // A peer that died with our messages unread.
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        other => other?,
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::other("a message was cut short"));
    }
    let descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let message = serde_json::from_slice(&bytes[..received.bytes])?;
    Ok(Some((message, descriptors)))
}

/// Whether nobody has the other side any more. What was sent may still be there.
pub(crate) fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut poll = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let found = rustix::io::retry_on_intr(|| rustix::event::poll(&mut poll, Some(&now)));
    found.is_ok() && poll[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn messages_and_descriptors_arrive_as_sent() {
        let (left, right) = pair().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        send(&left, &"first", &[writer.as_fd()]).unwrap();
        send(&left, &"second", &[]).unwrap();
        drop(writer);
        let (message, mut descriptors) = receive::<String>(&right).unwrap().unwrap();
        assert_eq!((message.as_str(), descriptors.len()), ("first", 1));
        std::fs::File::from(descriptors.remove(0))
            .write_all(b"through the pipe")
            .unwrap();
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "through the pipe");
        let (message, descriptors) = receive::<String>(&right).unwrap().unwrap();
        assert_eq!((message.as_str(), descriptors.len()), ("second", 0));
        assert!(!is_closed(right.as_fd()));
        drop(left);
        assert!(is_closed(right.as_fd()));
        assert!(receive::<String>(&right).unwrap().is_none());
    }

    #[test]
    fn a_message_that_cannot_fit_is_refused_before_it_is_sent() {
        let (left, _right) = pair().unwrap();
        let error = send(&left, &"x".repeat(MAX_MESSAGE), &[]).unwrap_err();
        assert!(error.to_string().contains("16 KB"), "{error}");
    }
}
