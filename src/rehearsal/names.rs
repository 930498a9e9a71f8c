//! Names that the guest must be able to resolve: keepalived refuses a mail server whose name has no address.
//!
//! There is no name server in the guest and no mail leaves it: the name stands for the host itself, where nobody listens.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use crate::topology::Topology;

/// Where the guest's resolver looks first; the guest's root is a layer of its own, so the machine's file stays as it is.
const HOSTS: &str = "/etc/hosts";

/// Makes the mail server's name resolvable.
pub fn resolve(topology: &Topology) -> Result<(), String> {
    let Some(email) = &topology.email else {
        return Ok(());
    };
    if email.smtp.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let text = fs::read_to_string(HOSTS).unwrap_or_default();
    let text = format!("{} {}\n{text}", Ipv4Addr::LOCALHOST, email.smtp);
    fs::write(HOSTS, text).map_err(|error| format!("{HOSTS} cannot be written: {error}"))
}
