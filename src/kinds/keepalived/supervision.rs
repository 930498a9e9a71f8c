//! Quorum, sorry server and the programs that are told, from the topology to the lines of a virtual server.

use super::build::word;
use super::model::{Notify, Program, Quorum, VirtualServer};
use super::quote::Word;
use super::render::Writer;
use crate::effect::{DestinationKey, ServiceKey};
use crate::source::{Problems, Span};
use crate::topology::{self, Command, Supervision};

/// Makes the quorum; the outer `None` stands for a word that was refused.
pub(super) fn quorum(watch: &Supervision, problems: &mut Problems) -> Option<Option<Quorum>> {
    let Some(quorum) = &watch.quorum else { return Some(None) };
    let notify = notify(&quorum.notify, quorum.span, problems)?;
    Some(Some(Quorum { weight: quorum.weight, hysteresis: quorum.hysteresis, notify }))
}

/// Makes the programs that are told.
pub(super) fn notify(notify: &topology::Notify, span: Span, problems: &mut Problems) -> Option<Notify> {
    let span = notify.span.unwrap_or(span);
    let mut one = |command: &Option<Command>| match command {
        Some(command) => program(command, span, problems).map(Some),
        None => Some(None),
    };
    Some(Notify { up: one(&notify.up)?, down: one(&notify.down)? })
}

fn program(command: &Command, span: Span, problems: &mut Problems) -> Option<Program> {
    let line = word(Word::new(&command.line), "program", span, problems)?;
    Some(Program { line, user: word(Word::solid(&command.user), "program's user", span, problems)? })
}

/// Writes what a virtual server's checks come to.
pub(super) fn write(writer: &mut Writer, server: &VirtualServer) {
    if server.alpha {
        writer.line("alpha");
    }
    if server.omega {
        writer.line("omega");
    }
    if let Some(quorum) = &server.quorum {
        writer.line(&format!("quorum {}", quorum.weight));
        if quorum.hysteresis > 0 {
            writer.line(&format!("hysteresis {}", quorum.hysteresis));
        }
        write_notify(writer, "quorum", &quorum.notify);
    }
    if let Some(DestinationKey { address, port }) = server.sorry {
        writer.line(&match (server.key, port) {
            (ServiceKey::Mark { .. }, 0) => format!("sorry_server {address}"),
            _ => format!("sorry_server {address} {port}"),
        });
    }
}

/// Writes who is told, as `PREFIX_up` and `PREFIX_down`.
pub(super) fn write_notify(writer: &mut Writer, prefix: &str, notify: &Notify) {
    for (event, program) in [("up", &notify.up), ("down", &notify.down)] {
        if let Some(Program { line, user }) = program {
            writer.line(&format!("{prefix}_{event} {} {}", line.quoted(), user.written()));
        }
    }
}
