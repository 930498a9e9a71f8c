//! The state of a host as the files that its own tools read, for `lvsctl compile`.
//!
//! Each file can be used without lvsctl; all of them together make the state. To add one, write a function that renders its
//! part of a [`HostState`] and list it in [`files`].

use std::fmt::Write;

use crate::kinds::ipvs::ipvsadm;
use crate::kinds::{boot, chain, fou};
use crate::resource::{HostState, Resource, ResourceKey, Table};
use crate::topology::{Family, HostName, SecretText};

/// A file for one of the host's own tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeFile {
    /// The file's name.
    pub name: &'static str,
    /// The content; a secret that was not looked up stays masked.
    pub text: SecretText,
    /// Where the file belongs, or what to feed it to.
    pub about: &'static str,
}

/// Returns the files of a host, without empty ones, in the order in which they are to be used.
pub fn files(host: &HostName, state: &HostState) -> Vec<NativeFile> {
    let file = |name, text: Option<String>, about| {
        text.filter(|text| !text.is_empty()).map(|text| NativeFile {
            name,
            text: SecretText::plain(format!("# {host}: written by lvsctl\n{text}")),
            about,
        })
    };
    let plain = [
        file("modules.conf", Some(boot::modules(state)), "/etc/modules-load.d/lvsctl.conf"),
        file("modprobe.conf", options(state), "/etc/modprobe.d/lvsctl.conf, before ip_vs is loaded"),
        file("sysctl.conf", Some(boot::sysctls(state)), "/etc/sysctl.d/90-lvsctl.conf, then sysctl --system"),
        file("iptables.rules", Some(rules(state, Family::Ipv4)), "iptables-restore --noflush < iptables.rules"),
        file("ip6tables.rules", Some(rules(state, Family::Ipv6)), "ip6tables-restore --noflush < ip6tables.rules"),
        file("ip.batch", Some(batch(state)), "ip -batch ip.batch"),
    ];
    // What is written for ethtool is run line by line.
    let offloads = Some(boot::offloads(state)).filter(|text| !text.is_empty()).map(|text| NativeFile {
        name: "ethtool.batch",
        text: SecretText::plain(text),
        about: "xargs -L 1 ethtool -K < ethtool.batch",
    });
    // ipvsadm -R takes no comment.
    let services = Some(ipvsadm::rules(state)).filter(|text| !text.is_empty()).map(|text| NativeFile {
        name: "ipvsadm.rules",
        text: SecretText::plain(text),
        about: "ipvsadm -R < ipvsadm.rules",
    });
    // Nor does ipvsadm --set.
    let timeouts = Some(boot::timeouts(state)).filter(|text| !text.is_empty()).map(|text| NativeFile {
        name: "ipvsadm.timeouts",
        text: SecretText::plain(text),
        about: "ipvsadm --set $(cat ipvsadm.timeouts)",
    });
    let configuration = state.get(&ResourceKey::KeepalivedConfiguration).and_then(|entry| match &entry.resource {
        Resource::File { text, .. } => Some(NativeFile {
            name: "keepalived.conf",
            text: text.clone(),
            about: "/etc/keepalived/keepalived.conf, mode 0600",
        }),
        _ => None,
    });
    plain.into_iter().flatten().chain(offloads).chain(services).chain(timeouts).chain(configuration).collect()
}

fn options(state: &HostState) -> Option<String> {
    match &state.get(&ResourceKey::ModuleOptions)?.resource {
        Resource::File { text, .. } => {
            let text = text.masked();
            Some(text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect())
        }
        _ => None,
    }
}

fn rules(state: &HostState, family: Family) -> String {
    let chain = |wanted: Table| {
        state.iter().filter_map(move |(key, entry)| match (key, &entry.resource) {
            (ResourceKey::Chain { family: of, table, chain }, Resource::Chain { rules, .. })
                if *of == family && *table == wanted =>
            {
                Some(chain::creation(wanted, chain, rules))
            }
            _ => None,
        })
    };
    Table::ALL.into_iter().flat_map(chain).collect()
}

fn batch(state: &HostState) -> String {
    lines(state, |key, resource| match (key, resource) {
        (ResourceKey::Link(device), Resource::Link { sort, .. }) => Some(match sort.as_deref() {
            Some("dummy") => format!("link add {device} type dummy\nlink set {device} up"),
            _ => format!("link set {device} up"),
        }),
        (ResourceKey::FouPort { family, port }, _) => Some(format!("fou add port {port} gue{}", fou::option(*family))),
        (ResourceKey::Address { device, address }, Resource::Address { prefix, label }) => {
            let label = label.as_ref().map(|label| format!(" label {label}")).unwrap_or_default();
            // A VIP is no source of the host's own packets; IPv4 takes an earlier address anyway.
            let lifetime = if address.is_ipv6() && *prefix == 128 { " nodad preferred_lft 0" } else { "" };
            Some(format!("address replace {address}/{prefix} dev {device}{label}{lifetime}"))
        }
        (ResourceKey::DefaultRoute(_), Resource::DefaultRoute { via: Some(via) }) => {
            Some(format!("route replace default via {via}"))
        }
        _ => None,
    })
}

fn lines(state: &HostState, line: impl Fn(&ResourceKey, &Resource) -> Option<String>) -> String {
    let written = state.iter().filter_map(|(key, entry)| line(key, &entry.resource));
    written.fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kinds::{Site, registry};
    use crate::source::Problems;
    use crate::topology::SecretValues;
    use crate::topology::fixture::*;

    fn compiled(host: &str) -> Vec<NativeFile> {
        let (topology, facts, secrets) = (reference_site(), BTreeMap::new(), SecretValues::default());
        let site = Site { topology: &topology, facts: &facts, secrets: &secrets };
        let name = HostName::new(host);
        let mut problems = Problems::default();
        let entries = registry().iter().flat_map(|kind| kind.compile(&site, &topology.hosts[&name], &mut problems));
        files(&name, &entries.map(|entry| (entry.key.clone(), entry)).collect())
    }

    fn shown(host: &str) -> String {
        let write = |text: String, file: &NativeFile| {
            text + &format!("=== {}: {}\n{}", file.name, file.about, file.text.masked())
        };
        compiled(host).iter().fold(String::new(), write)
    }

    #[test]
    fn the_reference_site_is_written_for_its_own_tools() {
        let director = shown("lb01");
        let (rest, configuration) = director.split_once("=== keepalived.conf").unwrap();
        insta::assert_snapshot!("lb01", rest);
        assert!(configuration.contains("auth_pass \"(sensitive)\"\n"));
        insta::assert_snapshot!("web1", shown("web1"));
    }
}
