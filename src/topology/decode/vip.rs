//! VIPs.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::pool::forwarding;
use super::service::{ServiceDraft, service};
use crate::document::Node;
use crate::source::{Problem, Problems, Span, Spanned};
use crate::topology::{Delivery, Family, Forwarding, HostName, VipHolder, grammar};

/// A VIP before its holder and its servers are looked up.
#[derive(Clone, Debug)]
pub struct VipDraft {
    /// The address.
    pub address: Spanned<IpAddr>,
    /// Whether the address is one that an interface can hold; if not, that has been reported.
    pub usable: bool,
    /// The prefix.
    pub prefix: u8,
    /// Who is to hold it.
    pub holder: Option<VipHolder>,
    /// The forwarding method of its servers.
    pub forwarding: Option<Spanned<Forwarding>>,
    /// Whether a forwarding method is written, even one that could not be read.
    pub says_forwarding: bool,
    /// The delivery on its servers under direct routing.
    pub delivery: Option<Spanned<Delivery>>,
    /// The directors' interface.
    pub interface: Option<Spanned<String>>,
    /// The address's label.
    pub label: Option<Spanned<String>>,
    /// The services in order.
    pub services: Vec<ServiceDraft>,
    /// Where it was written.
    pub span: Span,
}

/// Decodes a VIP.
pub fn vip(node: &Node, problems: &mut Problems) -> Option<VipDraft> {
    let services = node.children_named("service").filter_map(|child| service(child, problems)).collect();
    let text = node.argument(0)?.text()?;
    let network: IpNet = match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(address), _) => IpNet::from(address),
        (_, Ok(network)) => network,
        _ => IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    };
    let address = Spanned::new(network.addr(), text.span);
    let owned = |name: &str| node.property(name).and_then(|value| value.text()).map(|text| text.map(str::to_owned));
    let label = owned("label");
    if let (Some(label), Family::Ipv6) = (&label, Family::of(address.value)) {
        problems.push(
            Problem::error("conflict", "An IPv6 address has no label")
                .label(label.span, "has no meaning here")
                .help("Take `label=` away"),
        );
    }
    Some(VipDraft {
        address,
        usable: grammar::is_vip(&text),
        prefix: network.prefix_len(),
        holder: holder(node, problems),
        forwarding: forwarding(node),
        says_forwarding: node.property("forwarding").is_some(),
        delivery: delivery(node),
        interface: owned("interface"),
        label,
        services,
        span: node.span,
    })
}

fn holder(node: &Node, problems: &mut Problems) -> Option<VipHolder> {
    let failover = node.property("failover");
    let director = node.property("director");
    match (failover, director) {
        (None, None) => problems.push(
            Problem::error("missing-property", "Nobody holds this VIP")
                .label(node.span, "neither `failover=` nor `director=`")
                .help("Add `failover=` with a failover's name, or `director=` with a director's"),
        ),
        (Some(failover), Some(director)) => problems.push(
            Problem::error("conflict", "A failover and a director cannot both hold a VIP")
                .label(director.span, "this director")
                .label(failover.span, "beside this failover")
                .help("Keep `failover=`, and let the director take part in it, or keep `director=`"),
        ),
        _ => {}
    }
    let text = |value: &crate::document::Value| value.text().map(|text| text.map(str::to_owned));
    let by_failover = failover.and_then(text).map(VipHolder::Failover);
    by_failover.or_else(|| director?.text().map(|name| VipHolder::Director(name.map(HostName::new))))
}

fn delivery(node: &Node) -> Option<Spanned<Delivery>> {
    let word = node.property("delivery")?.text()?;
    let delivery = match word.value {
        "loopback" => Delivery::Loopback,
        "tunnel" => Delivery::Tunnel,
        "dummy" => Delivery::Dummy,
        "redirect" => Delivery::Redirect,
        "none" => Delivery::None,
        _ => return None,
    };
    Some(Spanned::new(delivery, word.span))
}
