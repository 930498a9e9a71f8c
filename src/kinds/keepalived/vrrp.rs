//! Reads the `vrrp_instance`s of a `keepalived.conf`: what they hold, and what a reload knows them by. The file may be anybody's,
//! not only lvsctl's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::read::{Block, blocks};
use crate::topology::SecretText;

/// The blocks that name what an instance holds.
const ADDRESSES: [&str; 2] = ["virtual_ipaddress", "virtual_ipaddress_excluded"];

/// What an instance is known by on a reload; its name is not a part of it (`vrrp_exist` in keepalived's `vrrp_data.c`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `virtual_router_id`.
    pub router_id: String,
    /// Whether it speaks IPv6.
    pub six: bool,
    /// `interface`.
    pub interface: String,
    /// Whether adverts go to named peers, and from which address.
    pub unicast: Option<String>,
    /// Whether adverts leave by the interface of a virtual hardware address, which those to named peers do not.
    pub virtual_mac: bool,
}

/// A `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// What it is known by.
    pub identity: Identity,
    /// Whether the VIPs have a hardware address of their own.
    pub virtual_mac: bool,
    /// The addresses that adverts name.
    pub advertised: BTreeSet<String>,
    /// All that it holds, those included.
    pub held: BTreeSet<String>,
    /// The routes that it holds, as they are written.
    pub routes: BTreeSet<String>,
    /// What else peers must agree on: version, password, interval. Never shown.
    pub agreed: BTreeMap<&'static str, Vec<String>>,
}

impl Instance {
    /// Returns what moves with the master: addresses, then routes.
    pub fn floats(&self) -> impl Iterator<Item = &str> {
        self.held.iter().chain(&self.routes).map(String::as_str)
    }
}

/// Reads the instances of a configuration, in the order of writing.
pub fn instances(text: &str) -> Vec<Instance> {
    blocks(text).named("vrrp_instance").filter_map(instance).collect()
}

/// Returns the addresses that a configuration has keepalived hold, with their interfaces.
pub fn addresses(text: &SecretText) -> BTreeSet<(String, IpAddr)> {
    let known = text.expose().unwrap_or_else(|| text.masked());
    blocks(&known).named("vrrp_instance").flat_map(held).collect()
}

fn held(instance: &Block) -> Vec<(String, IpAddr)> {
    let lines = ADDRESSES.into_iter().flat_map(|keyword| instance.named(keyword)).flat_map(|block| &block.children);
    let named = lines.filter_map(|line| Some((line, line.name().split('/').next()?.parse::<IpAddr>().ok()?)));
    let on = |(line, address): (&Block, IpAddr)| {
        let own = line.words.iter().skip_while(|word| *word != "dev").nth(1).cloned();
        Some((own.or_else(|| device(instance, address))?, address))
    };
    named.filter_map(on).collect()
}

/// Returns the interface of an address that names none: that of a virtual hardware address, which is of one family, or the
/// instance's own (tried on keepalived 2.2.7).
fn device(instance: &Block, address: IpAddr) -> Option<String> {
    let router_id = || instance.value("virtual_router_id");
    let six = is_sixth(instance, &entries(instance, ADDRESSES[0]));
    match instance.child("use_vmac") {
        Some(line) if six == address.is_ipv6() => match line.words.get(1) {
            Some(name) => Some(name.clone()),
            None => Some(format!("vrrp{}.{}", if six { "6" } else { "" }, router_id()?)),
        },
        _ => instance.value("interface").map(str::to_owned),
    }
}

fn is_sixth(instance: &Block, advertised: &BTreeSet<String>) -> bool {
    instance.child("native_ipv6").is_some() || advertised.iter().any(|address| address.contains(':'))
}

/// Returns what a block names, in canonical form.
fn entries(instance: &Block, keyword: &str) -> BTreeSet<String> {
    let lines = instance.child(keyword).map(|block| block.children.as_slice()).unwrap_or_default();
    lines.iter().filter_map(|line| line.words.first()).map(|word| canonical(word)).collect()
}

/// Returns an address with its prefix, which is that of a single address if none is written.
pub(super) fn canonical(word: &str) -> String {
    match word.parse::<IpAddr>() {
        Ok(address) => format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => word.to_owned(),
    }
}

fn instance(block: &Block) -> Option<Instance> {
    let [_, name] = block.words.as_slice() else { return None };
    let [advertised, excluded] = ADDRESSES.map(|keyword| entries(block, keyword));
    let held = advertised.union(&excluded).cloned().collect();
    let routes = block.child("virtual_routes").map(|block| block.children.as_slice()).unwrap_or_default();
    let routes = routes.iter().map(|route| route.words.join(" ")).collect();
    let peers = entries(block, "unicast_peer");
    let source =
        || block.value("unicast_src_ip").or_else(|| block.value("mcast_src_ip")).unwrap_or_default().to_owned();
    let virtual_mac = block.child("use_vmac").is_some();
    let identity = Identity {
        router_id: block.value("virtual_router_id").unwrap_or_default().to_owned(),
        six: is_sixth(block, &advertised),
        interface: block.value("interface").unwrap_or_default().to_owned(),
        unicast: (!peers.is_empty()).then(source),
        virtual_mac: virtual_mac && peers.is_empty(),
    };
    let words = |line: &Block| line.words.iter().skip(1).cloned().collect::<Vec<_>>();
    let agreed = ["version", "advert_int"].into_iter().filter_map(|name| Some((name, words(block.child(name)?))));
    let secrets = block.child("authentication").into_iter().flat_map(|secret| {
        ["auth_type", "auth_pass"].into_iter().filter_map(|name| Some((name, words(secret.child(name)?))))
    });
    let agreed = agreed.chain(secrets).collect();
    Some(Instance { name: name.clone(), identity, virtual_mac, advertised, held, routes, agreed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_HAND: &str = "# a comment {\nglobal_defs { router_id lb }\nvrrp_instance EXT { ! why\n  state MASTER\n  interface eth0\n\
        \x20 virtual_router_id 51\n  authentication { auth_type PASS\n    auth_pass \"a {b}\" # no\n  }\n\
        \x20 virtual_ipaddress { 10.0.0.9 dev eth0\n 10.0.0.8/24\n }\n virtual_ipaddress_excluded {\n fd00::1\n}\n}\n";

    #[test]
    fn a_file_written_by_hand_is_read() {
        let [instance] = instances(BY_HAND).try_into().unwrap();
        assert_eq!((instance.name.as_str(), instance.identity.router_id.as_str()), ("EXT", "51"));
        assert_eq!(instance.identity.interface, "eth0");
        assert_eq!(instance.agreed["auth_pass"], ["a {b}"]);
        let addresses = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(addresses(&instance.advertised), "10.0.0.8/24 10.0.0.9/32");
        assert_eq!(addresses(&instance.held), "10.0.0.8/24 10.0.0.9/32 fd00::1/128");
        assert!(!instance.identity.six && instance.identity.unicast.is_none());
    }

    #[test]
    fn held_addresses_are_read() {
        let text = "vrrp_instance a {\n  virtual_ipaddress {\n    10.0.0.9/32 dev eth0 label eth0:1\n    10.0.0.8\n  }\n}\n\
                    vrrp_instance b {\n  virtual_ipaddress {\n    fd00::1/128 dev eth1\n  }\n  interface eth2\n}\n";
        let found: Vec<String> =
            addresses(&SecretText::plain(text)).iter().map(|(device, address)| format!("{device} {address}")).collect();
        assert_eq!(found, ["eth0 10.0.0.9", "eth1 fd00::1"]);
        let virtually = |line: &str| {
            let text = format!(
                "vrrp_instance a {{\n interface eth0\n virtual_router_id 7\n {line}\n virtual_ipaddress {{\n 10.0.0.9/32\n \
                 10.0.0.8 dev eth3\n }}\n virtual_ipaddress_excluded {{\n fd00::1/128\n }}\n}}\n"
            );
            let found = addresses(&SecretText::plain(text));
            found.iter().map(|(device, address)| format!("{device} {address}")).collect::<Vec<_>>()
        };
        assert_eq!(virtually(""), ["eth0 10.0.0.9", "eth0 fd00::1", "eth3 10.0.0.8"]);
        assert_eq!(virtually("use_vmac"), ["eth0 fd00::1", "eth3 10.0.0.8", "vrrp.7 10.0.0.9"]);
        assert_eq!(virtually("use_vmac mac0"), ["eth0 fd00::1", "eth3 10.0.0.8", "mac0 10.0.0.9"]);
        assert!(addresses(&SecretText::plain("virtual_ipaddress")).is_empty());
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["", "}", "}}}{", "vrrp_instance", "vrrp_instance a {", "vrrp_instance a { \"", "\"é{", "{{{{\n}"]
        {
            let _ = instances(text);
        }
        assert_eq!(instances("vrrp_instance a {\n virtual_ipaddress {\n 10.0.0.1").len(), 1);
        assert_eq!(instances(&"{".repeat(100_000)).len(), 0);
    }
}
