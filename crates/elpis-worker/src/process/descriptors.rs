//! Passes descriptors to the worker over the connection itself. They have no name that another
//! process could open.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Number of descriptors of a worker besides its connection.
pub(super) const COUNT: usize = 2;

/// The byte that the descriptors travel with.
const CARRIER: [u8; 1] = *b"d";

/// Sends the descriptors.
pub(super) fn send(stream: &UnixStream, descriptors: [BorrowedFd<'_>; COUNT]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(COUNT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        stream,
        &[IoSlice::new(&CARRIER)],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Receives the descriptors without reading anything sent after them.
pub(super) fn receive(stream: &UnixStream) -> io::Result<[OwnedFd; COUNT]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(COUNT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut carrier = [0; 1];
    let message = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut carrier)],
        &mut control,
        RecvFlags::empty(),
    )?;
    if message.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut found = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            found.extend(descriptors);
        }
    }
    found
        .try_into()
        .map_err(|_| super::frame::invalid("the descriptors are missing"))
}
