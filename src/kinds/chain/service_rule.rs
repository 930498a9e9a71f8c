//! The rules that stand beside a virtual service, as text and as typed values: source translation, the SYN proxy, the
//! largest segment through a tunnel.
//!
//! `iptables-save` prints each of them in one way. What differs in any word is not lvsctl's.

use std::collections::{BTreeMap, BTreeSet};

use super::rule;
use crate::resource::{ChainRule, PortMatch, ServiceRule};
use crate::topology::Family;

/// The flags that a first packet of a connection is told by.
const OPENING: &str = "FIN,SYN,RST,ACK SYN";

/// Those that any packet which carries the largest segment size is told by.
const ANNOUNCING: &str = "SYN,RST SYN";

/// What the proxy offers clients beside the largest segment: any server understands these.
const OFFERS: &str = "--sack-perm --timestamp --wscale 7";

/// Writes what follows `-A CHAIN `, as `iptables-save` would.
pub(super) fn render(what: &ServiceRule, address: std::net::IpAddr, ports: &PortMatch) -> String {
    let host = format!("{address}/{}", Family::of(address).host_prefix());
    let protocol = ports.protocol;
    let range = |option: &str| match ports.ports {
        None => String::new(),
        Some(range) => match range.as_single() {
            Some(port) => format!(" -m {protocol} --{option} {port}"),
            None => format!(" -m {protocol} --{option} {}:{}", range.first, range.last),
        },
    };
    // The flags follow the port within the same match.
    let flagged = |option: &str, flags: &str| match ports.ports {
        None => format!(" -m {protocol} --tcp-flags {flags}"),
        Some(_) => format!("{} --tcp-flags {flags}", range(option)),
    };
    match what {
        ServiceRule::ClampSegments(size) => {
            format!("-s {host} -p {protocol}{} -j TCPMSS --set-mss {size}", flagged("sport", ANNOUNCING))
        }
        ServiceRule::Masquerade { vip } => {
            format!("-d {host} -p {protocol}{} -m ipvs --vaddr {vip} -j MASQUERADE", range("dport"))
        }
        ServiceRule::Untrack => format!("-d {host} -p {protocol}{} -j CT --notrack", flagged("dport", OPENING)),
        ServiceRule::SynProxy(size) => format!(
            "-d {host} -p {protocol}{} -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY {OFFERS} --mss {size}",
            range("dport")
        ),
        ServiceRule::DropInvalid => {
            format!("-d {host} -p {protocol}{} -m conntrack --ctstate INVALID -j DROP", range("dport"))
        }
    }
}

/// Reads the words that follow `-A CHAIN `; none of them may be unknown, missing or there twice.
pub(super) fn parse(family: Family, words: &[String]) -> Option<ChainRule> {
    let mut options: BTreeMap<&str, String> = BTreeMap::new();
    let mut matches: BTreeSet<&str> = BTreeSet::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(option) = words.next() {
        let value = match option {
            "--notrack" | "--sack-perm" | "--timestamp" => String::new(),
            "--tcp-flags" => format!("{} {}", words.next()?, words.next()?),
            "-m" => {
                matches.insert(words.next()?).then_some(())?;
                continue;
            }
            "-d" | "-s" | "-p" | "-j" | "--dport" | "--sport" | "--vaddr" | "--ctstate" | "--wscale" | "--mss"
            | "--set-mss" => words.next()?.to_owned(),
            _ => return None,
        };
        options.insert(option, value).is_none().then_some(())?;
    }
    let text = |option: &str| options.get(option).map(String::as_str);
    let size = |option: &str| text(option)?.parse::<u16>().ok();
    let (end, port) = if options.contains_key("-s") { ("-s", "--sport") } else { ("-d", "--dport") };
    let address = rule::single_address(family, text(end)?)?;
    let ports = match text(port) {
        Some(ports) => Some(rule::port_range(ports)?),
        None => None,
    };
    let ports = PortMatch { protocol: rule::protocol(text("-p")?)?, ports };
    let what = match (text("-j")?, text("--ctstate")) {
        ("TCPMSS", None) => ServiceRule::ClampSegments(size("--set-mss")?),
        ("MASQUERADE", None) => ServiceRule::Masquerade { vip: rule::single_address(family, text("--vaddr")?)? },
        ("CT", None) => ServiceRule::Untrack,
        ("SYNPROXY", Some(_)) => ServiceRule::SynProxy(size("--mss")?),
        ("DROP", Some(_)) => ServiceRule::DropInvalid,
        _ => return None,
    };
    // What was read is right if writing it needs the same words.
    let written = super::words::split(&render(&what, address, &ports))?;
    let read =
        options.len() + matches.len() + options.values().map(|value| value.split_whitespace().count()).sum::<usize>();
    let same = options.iter().all(|(option, value)| is_written(&written, option, value));
    (same && read + matches.len() == written.len()).then_some(ChainRule::Service { what, address, ports })
}

fn is_written(written: &[String], option: &str, value: &str) -> bool {
    let Some(at) = written.iter().position(|word| word == option) else { return false };
    let mut follows = written.iter().skip(at + 1);
    // An address may be written with or without its full mask.
    let bare = |word: &str| word.split('/').next().unwrap_or_default().to_owned();
    value.split_whitespace().all(|word| follows.next().is_some_and(|written| bare(written) == bare(word)))
}
