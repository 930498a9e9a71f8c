//! What a real server must do about packets that come in an envelope, and lvsctl cannot see to.

use crate::source::{Problem, Problems};
use crate::topology::decode::ServerDraft;
use crate::topology::{Forwarding, Host, Tunnel};

/// Checks what is said about a server's tunnel.
pub fn check(server: &ServerDraft, host: &Host, forwarding: Forwarding, problems: &mut Problems) {
    let Some(tunnel) = server.tunnel else { return };
    if forwarding != Forwarding::Tun {
        problems.push(
            Problem::error("conflict", "Packets to this server go through no tunnel")
                .label(tunnel.span, "has no meaning here")
                .label(server.host.span, "is not reached by tun")
                .help("Take `tunnel=` away, or use forwarding=\"tun\""),
        );
        return;
    }
    match tunnel.value {
        Tunnel::Gre { flags } if host.managed && flags & Tunnel::CHECKSUM != 0 => problems.push(
            Problem::error("gre-checksum", "gre0 drops packets that carry a checksum")
                .label(tunnel.span, "with `checksum=#true`")
                .label(host.name.span, "takes them at gre0")
                .help("Take `checksum=` away, or make the tunnel yourself and declare the host `managed #false`"),
        ),
        _ => {}
    }
}
