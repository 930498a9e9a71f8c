//! What the files say, each in the form of the tool that reads it.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::effect::SyncDaemonConfig;
use crate::kinds::ipvs::ipvsadm;
use crate::kinds::{chain, fou};
use crate::resource::{BOOT_HEADER, BootFile, HostState, Resource, ResourceKey, Table};
use crate::topology::{Family, IpvsTimeout};

/// The program that restores; it reads the other files.
const SCRIPT: &str = include_str!("restore.sh");

/// Returns what a file says, empty where there is nothing to restore of its sort.
pub(super) fn content(file: BootFile, state: &HostState) -> String {
    let text = match file {
        BootFile::Modules => modules(state),
        BootFile::Parameters => sysctls(state),
        BootFile::Iptables => rules(state, Family::Ipv4),
        BootFile::Ip6tables => rules(state, Family::Ipv6),
        BootFile::Jumps => jumps(state),
        // ipvsadm -R takes no comment.
        BootFile::Ipvs => return ipvsadm::rules(state),
        BootFile::Links => links(state),
        BootFile::FouPorts => fou_ports(state),
        BootFile::Timeouts => timeouts(state),
        BootFile::SyncDaemons => sync_daemons(state),
        BootFile::Offloads => offloads(state),
        BootFile::Addresses => addresses(state),
        BootFile::Routes => routes(state),
        BootFile::Script => return SCRIPT.to_owned(),
        BootFile::Unit => unit(state),
        BootFile::Enablement => return String::new(),
    };
    if text.is_empty() { text } else { format!("{BOOT_HEADER}\n{text}") }
}

/// Returns the modules, a line each.
pub fn modules(state: &HostState) -> String {
    lines(state, |key, _| match key {
        ResourceKey::Module(name) => Some(name.clone()),
        _ => None,
    })
}

/// Returns the parameters in the notation of sysctl.d(5); those that reset others come first.
pub fn sysctls(state: &HostState) -> String {
    let required: BTreeSet<&ResourceKey> = state
        .values()
        .filter(|entry| matches!(entry.key, ResourceKey::Sysctl(_)))
        .flat_map(|entry| entry.requires.iter().map(|id| &id.key))
        .collect();
    let written = |first: bool| {
        lines(state, |key, resource| match (key, resource) {
            (ResourceKey::Sysctl(name), Resource::Sysctl(value)) if required.contains(key) == first => {
                Some(format!("{name} = {value}"))
            }
            _ => None,
        })
    };
    written(true) + &written(false)
}

/// Returns the rules of lvsctl's chains. A chain with a rule that is not known is left out: half a chain would let two
/// directors pass packets back and forth.
fn rules(state: &HostState, family: Family) -> String {
    let chains = |wanted: Table| {
        state.iter().filter_map(move |(key, entry)| match (key, &entry.resource) {
            (ResourceKey::Chain { family: of, table, chain }, Resource::Chain { rules, .. })
                if (*of, *table) == (family, wanted) =>
            {
                chain::contents(wanted, chain, rules)
            }
            _ => None,
        })
    };
    Table::ALL.into_iter().flat_map(chains).collect()
}

fn jumps(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::Chain { family, table, chain }, Resource::Chain { rules, .. }) => {
            chain::contents(*table, chain, rules)?;
            let program = match family {
                Family::Ipv4 => "iptables",
                Family::Ipv6 => "ip6tables",
            };
            Some(format!("{program} {} {} {chain}", table.as_str(), table.hook(chain)))
        }
        _ => None,
    })
}

/// Returns the interfaces, each with the sort that it is made of if it is not there.
fn links(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::Link(device), Resource::Link { sort, .. }) => {
            Some(format!("{device} {}", sort.as_deref().unwrap_or_default()).trim_end().to_owned())
        }
        _ => None,
    })
}

/// Returns the ports of `fou`, each as `ip fou add port` takes it.
fn fou_ports(state: &HostState) -> String {
    lines(state, |key, _| match key {
        ResourceKey::FouPort { family, port } => Some(format!("{port} gue{}", fou::option(*family))),
        _ => None,
    })
}

/// Returns the timeouts as `ipvsadm --set` takes them, in which 0 leaves one as it is.
pub fn timeouts(state: &HostState) -> String {
    let seconds = IpvsTimeout::ALL.map(|timeout| {
        match state.get(&ResourceKey::IpvsTimeout(timeout)).map(|entry| &entry.resource) {
            Some(Resource::Timeout(seconds)) => *seconds,
            _ => 0,
        }
    });
    match seconds {
        [0, 0, 0] => String::new(),
        [tcp, tcp_fin, udp] => format!("{tcp} {tcp_fin} {udp}\n"),
    }
}

/// Returns each daemon with the options that `ipvsadm --start-daemon` takes.
fn sync_daemons(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::SyncDaemon(role), Resource::SyncDaemon(config)) => {
            let SyncDaemonConfig { interface, id, group, port, ttl, maxlen } = config;
            let maxlen = maxlen.map(|maxlen| format!(" --sync-maxlen {maxlen}")).unwrap_or_default();
            Some(format!(
                "{role} --mcast-interface {interface} --syncid {id} --mcast-group {group} --mcast-port {port} \
                 --mcast-ttl {ttl}{maxlen}"
            ))
        }
        _ => None,
    })
}

/// Returns what interfaces offload, a switch a line.
pub fn offloads(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::Offload { device, offload }, Resource::Switch(on)) => {
            Some(format!("{device} {offload} {}", if *on { "on" } else { "off" }))
        }
        _ => None,
    })
}

fn addresses(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::Address { device, address }, Resource::Address { prefix, label }) => {
            let label = label.as_ref().map(|label| format!(" {label}")).unwrap_or_default();
            Some(format!("{address}/{prefix} {device}{label}"))
        }
        _ => None,
    })
}

fn routes(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::DefaultRoute(Family::Ipv4), Resource::DefaultRoute { via: Some(via) }) => {
            Some(format!("-4 {via}"))
        }
        (ResourceKey::DefaultRoute(Family::Ipv6), Resource::DefaultRoute { via: Some(via) }) => {
            Some(format!("-6 {via}"))
        }
        _ => None,
    })
}

/// Returns the unit. It runs after whatever else sets rules, so that these do not flush lvsctl's, and before keepalived,
/// which brings the VIPs and is started by it. What fails, such as for an interface that comes late, is tried again (oneshot units
/// may be restarted since systemd 244); the program leaves alone what is in place.
fn unit(state: &HostState) -> String {
    let keepalived = match state.contains_key(&ResourceKey::KeepalivedDaemon) {
        true => "Wants=keepalived.service\nBefore=keepalived.service\n",
        false => "",
    };
    format!(
        "[Unit]\n\
         Description=Linux Virtual Server as lvsctl left it\n\
         Documentation=man:ipvsadm(8)\n\
         Wants=network-online.target\n\
         After=network-online.target systemd-modules-load.service systemd-sysctl.service\n\
         After=netfilter-persistent.service iptables.service ip6tables.service nftables.service\n\
         After=firewalld.service ufw.service ipvsadm.service\n\
         StartLimitIntervalSec=300\n\
         StartLimitBurst=20\n\
         {keepalived}\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart=/bin/sh {script}\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        script = BootFile::Script.path(),
    )
}

fn lines(state: &HostState, line: impl Fn(&ResourceKey, &Resource) -> Option<String>) -> String {
    let written = state.iter().filter_map(|(key, entry)| line(key, &entry.resource));
    written.fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
        text
    })
}
