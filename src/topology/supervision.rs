//! What the checks of a service's servers come to: when it is usable, who steps in, and who is told.

use std::net::IpAddr;

use crate::source::Span;

/// A program that is told, and whom it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The absolute path, and arguments with single spaces between them.
    pub line: String,
    /// The user.
    pub user: String,
}

/// Who is told of a transition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Runs when it comes.
    pub up: Option<Command>,
    /// Runs when it goes.
    pub down: Option<Command>,
    /// Where it was written.
    pub span: Option<Span>,
}

/// How much weight makes a service usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The sum of the weights of servers that are well.
    pub weight: u32,
    /// What must be there beyond it before a lost quorum counts as regained; below the weight itself.
    pub hysteresis: u32,
    /// Who is told.
    pub notify: Notify,
    /// Where it was written.
    pub span: Span,
}

/// The server that steps in while the quorum is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SorryServer {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None` means the listened one.
    pub port: Option<u16>,
    /// Where it was written.
    pub span: Span,
}

/// What keepalived makes of a service's checks together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supervision {
    /// The quorum; keepalived's own is a weight of 1.
    pub quorum: Option<Quorum>,
    /// Who steps in.
    pub sorry: Option<SorryServer>,
    /// Where it was asked that servers count as failed until their first check.
    pub alpha: Option<Span>,
    /// Where it was asked that programs are told when keepalived stops.
    pub omega: Option<Span>,
}
