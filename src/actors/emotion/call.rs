//! How a call of a session is answered.

use ractor::RpcReplyPort;

use super::SessionCall;
use crate::actors::Place;
use crate::error::Error;

/// Where an answer goes.
#[derive(Debug)]
pub struct Reply<T> {
    port: RpcReplyPort<Result<T, Error>>,
    place: Option<Place>,
}

impl<T> Reply<T> {
    /// Makes a reply to a call that has a place in the mailbox.
    pub fn new(port: RpcReplyPort<Result<T, Error>>, place: Option<Place>) -> Self {
        Self { port, place }
    }

    /// Answers; a caller that has gone away does not need it.
    pub(super) fn send(self, answer: Result<T, Error>) {
        let _ = self.port.send(answer);
    }

    /// Gives the place in the mailbox to another call.
    pub(super) fn leave_mailbox(&mut self) {
        self.place = None;
    }

    fn is_abandoned(&self) -> bool {
        self.port.is_closed()
    }
}

/// Does the same with whichever reply a call has.
macro_rules! with_reply {
    ($call:expr, $reply:ident => $work:expr) => {
        match $call {
            SessionCall::Feel(.., $reply) => $work,
            SessionCall::Observe(.., $reply) => $work,
            SessionCall::Snapshot($reply) => $work,
            SessionCall::Follow($reply) => $work,
            SessionCall::Reset($reply) => $work,
            SessionCall::SetStrength(_, $reply) => $work,
            SessionCall::SetLimits(_, $reply) => $work,
            SessionCall::Forget($reply) => $work,
        }
    };
}

impl SessionCall {
    /// Answers with an error.
    pub(super) fn refuse(self, error: Error) {
        with_reply!(self, reply => reply.send(Err(error)));
    }

    /// Gives the place in the mailbox to another call.
    pub(super) fn leave_mailbox(&mut self) {
        with_reply!(self, reply => reply.leave_mailbox());
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        with_reply!(self, reply => reply.is_abandoned())
    }

    /// Whether it adds to what waits to be written. What an observation leads to
    /// is a call of its own.
    pub(super) fn changes(&self) -> bool {
        !matches!(
            self,
            Self::Snapshot(_) | Self::Follow(_) | Self::Observe(..)
        )
    }
}
