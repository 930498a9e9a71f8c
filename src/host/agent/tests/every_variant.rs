//! Everything that can travel arrives as it was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::message::Reply;
use crate::effect::{Answer, DaemonState, FileState, Link, LinkAddress, SyncDaemonConfig};
use crate::host::HostError;
use crate::topology::{Family, IpvsTimeout, Offload, SyncState, SysctlKey};

fn arrives(reply: &Reply) {
    let mut wire = Vec::new();
    super::super::frame::write(&mut wire, reply).unwrap();
    let read: Option<Reply> = super::super::frame::read(&mut wire.as_slice()).unwrap();
    assert_eq!(read.as_ref(), Some(reply));
}

#[test]
fn every_answer_arrives() {
    let text = |text: &str| text.to_owned();
    let daemon = SyncDaemonConfig {
        interface: text("eth0"),
        id: 7,
        group: SyncDaemonConfig::GROUP,
        port: SyncDaemonConfig::PORT,
        ttl: SyncDaemonConfig::TTL,
        maxlen: Some(1400),
    };
    let address = LinkAddress { network: "2001:db8::1/64".parse().unwrap(), label: Some(text("eth0:1")) };
    let link = Link {
        name: text("eth0"),
        mac: Some("02:00:00:00:00:01".parse().unwrap()),
        sort: Some(text("dummy")),
        is_up: true,
        addresses: vec![address],
    };
    let key = SysctlKey::from_path("net/ipv4/conf/eth0.100/rp_filter");
    let answers = [
        Answer::Modules(vec![text("ip_vs")]),
        Answer::Sysctls(BTreeMap::from([(key, Some(text("1"))), (SysctlKey::from_path("net/nothing"), None)])),
        Answer::Links(vec![link]),
        Answer::FouPorts(BTreeMap::from([((Family::Ipv4, 6080), true), ((Family::Ipv6, 6081), false)])),
        Answer::DefaultRoutes(Vec::new()),
        Answer::Iptables(Family::Ipv6, text("*mangle\n-A X \"\\\" \u{1F600}\nCOMMIT\n")),
        Answer::Ipvs(super::large_table()),
        Answer::IpvsTimeouts(IpvsTimeout::ALL.into_iter().map(|timeout| (timeout, 900)).collect()),
        Answer::SyncDaemons(SyncState::ALL.into_iter().map(|state| (state, daemon.clone())).collect()),
        Answer::Offloads(text("eth0"), Offload::ALL.into_iter().map(|offload| (offload, true)).collect()),
        Answer::File(text("/etc/x"), Some(FileState { mode: 0o600, text: text("\0\u{fffd}\n") })),
        Answer::Link(text("/etc/x"), Some(text(""))),
        Answer::Daemon(DaemonState { pid: Some(1), configuration: Some(text("0f")) }),
    ];
    answers.into_iter().for_each(|answer| arrives(&Reply::Answer(Ok(answer))));
}

#[test]
fn every_error_arrives() {
    let text = || "a text".to_owned();
    let errors = vec![
        Err(HostError::MissingRights { doing: text(), right: "CAP_NET_ADMIN".into() }),
        Err(HostError::MissingProgram { doing: text(), program: text(), package: text() }),
        Err(HostError::MissingSecret { doing: text() }),
        Err(HostError::Unreachable { text: text() }),
        Err(HostError::Agent { text: text(), help: text() }),
        Err(HostError::Io { doing: text(), path: text(), text: text() }),
        Err(HostError::Kernel { doing: text(), errno: "EEXIST".into(), meaning: text() }),
        Err(HostError::Malformed { doing: text(), text: text() }),
        Err(HostError::Program { doing: text(), program: text(), exit: text(), text: text() }),
        Err(HostError::Timeout { doing: text(), within: Duration::from_millis(1500) }),
        Err(HostError::Locked { holder: text() }),
        Err(HostError::NotOpen { id: text(), text: text() }),
        Err(HostError::NotTried),
        Ok(()),
    ];
    arrives(&Reply::Performed(errors));
}
