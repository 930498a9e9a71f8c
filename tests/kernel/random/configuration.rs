//! `keepalived.conf` as facts: a line with the heads of the blocks around it, as in `vrrp_instance four / priority 100`.
//!
//! It is read by a reader of the test's own, and what a topology means is said anew.

use super::rig::Rig;
use super::site::*;
use super::watch::{TIMES, TOLD, USUAL};
use super::writing::router_id;

/// Reads a configuration. A virtual server is named with its protocol, by which two differ.
pub fn read(text: &str) -> Vec<String> {
    let (mut facts, mut heads) = (Vec::new(), Vec::<String>::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let line = words.join(" ").replace('"', "");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "}" {
            heads.pop();
        } else if let Some(head) = line.strip_suffix(" {") {
            heads.push(head.to_owned());
            facts.push(heads.join(" / "));
        } else if let (Some(protocol), 1) = (line.strip_prefix("protocol "), heads.len()) {
            heads[0] += &format!(" {protocol}");
            *facts.last_mut().expect("the head") = heads[0].clone();
        } else {
            facts.push(heads.iter().chain([&line]).cloned().collect::<Vec<_>>().join(" / "));
        }
    }
    facts.sort();
    facts
}

/// Returns what a director's configuration says, or nothing if it needs none.
pub fn expected(site: &Site, rig: &Rig, index: usize) -> Vec<String> {
    let checked = || {
        let services = site.vips_on(index).flat_map(|vip| vip.services.iter().map(move |service| (vip, service)));
        services.filter(|(_, service)| service.is_checked())
    };
    if site.failovers.is_empty() && checked().next().is_none() {
        return Vec::new();
    }
    let mut facts = Facts::default();
    facts.block("global_defs", |facts| {
        facts.line(format!("router_id {}", rig.ground.directors[index].name));
        facts.line("enable_script_security");
        site.email.iter().flat_map(|way| way.facts).for_each(|fact| facts.line(*fact));
        for failover in &site.failovers {
            let Some([device, rest]) = failover.sync.map(|way| way.facts) else { continue };
            let rest = rest.replace("$id", &router_id(failover.six).to_string());
            facts.line(format!("lvs_sync_daemon {device} {} {rest}", failover.name));
        }
    });
    if site.grouped {
        facts.block("vrrp_sync_group both", |facts| {
            facts.block("group", |facts| site.failovers.iter().for_each(|one| facts.line(&*one.name)));
        });
    }
    site.failovers.iter().for_each(|failover| instance(&mut facts, site, failover, rig, index));
    checked().for_each(|(vip, service)| virtual_servers(&mut facts, vip, service));
    facts.all.sort();
    facts.all
}

#[derive(Default)]
struct Facts {
    all: Vec<String>,
    heads: Vec<String>,
}

impl Facts {
    fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref().replace('"', "");
        self.all.push(self.heads.iter().chain([&line]).cloned().collect::<Vec<_>>().join(" / "));
    }

    fn block(&mut self, head: impl Into<String>, body: impl FnOnce(&mut Self)) {
        self.heads.push(head.into());
        self.all.push(self.heads.join(" / "));
        body(self);
        self.heads.pop();
    }
}

fn instance(facts: &mut Facts, site: &Site, failover: &Failover, rig: &Rig, index: usize) {
    let (six, other) = (failover.six, 1 - index);
    let own = |index: usize| address(six, rig.ground.directors[index].number.into());
    let mut of_the_file = Vec::new();
    facts.block(format!("vrrp_instance {}", failover.name), |facts| {
        let is_preferred = failover.priorities[index] > failover.priorities[other];
        let starts = failover.preemption == Preemption::Immediate && is_preferred;
        facts.line(if starts { "state MASTER" } else { "state BACKUP" });
        facts.line("interface eth0");
        facts.line(format!("virtual_router_id {}", router_id(six)));
        facts.line(format!("priority {}", failover.priorities[index]));
        facts.line(format!("advert_int {}", failover.interval.1));
        facts.line(format!("version {}", failover.version));
        match failover.preemption {
            Preemption::Immediate => {}
            Preemption::After(seconds) => facts.line(format!("preempt_delay {seconds}")),
            Preemption::Never => facts.line("nopreempt"),
        }
        if let Some((_, password)) = failover.password {
            facts.block("authentication", |facts| {
                facts.line("auth_type PASS");
                facts.line(format!("auth_pass {password}"));
            });
        }
        if let Some(name) = failover.virtual_interface() {
            facts.line(format!("use_vmac {name}"));
            if failover.unicast {
                facts.line("vmac_xmit_base");
            }
        }
        match failover.source {
            _ if failover.unicast => {
                facts.line(format!("unicast_src_ip {}", own(index)));
                facts.block("unicast_peer", |facts| facts.line(own(other)));
            }
            Some((from, _)) if from == index => facts.line(format!("mcast_src_ip {}", own(index))),
            _ => {}
        }
        facts.block("virtual_ipaddress", |_| {});
        if failover.unadvertised.is_some() {
            facts.block("virtual_ipaddress_excluded", |_| {});
        }
        for vip in site.vips.iter().filter(|vip| vip.six == six && vip.holder == Holder::Failover) {
            let is_hidden = failover.unadvertised == Some(vip.number);
            let block = if is_hidden { "virtual_ipaddress_excluded" } else { "virtual_ipaddress" };
            let label = vip.label.map(|label| format!(" label {label}")).unwrap_or_default();
            let length = if six { 128 } else { 32 };
            let device = match site.virtual_interface(vip) {
                Some(_) => String::new(),
                None => format!(" dev {}", vip.interface()),
            };
            facts.line(format!("{block} / {}/{length}{device}{label}", vip.address()));
        }
        for fact in failover.ways.iter().flat_map(|way| way.facts) {
            let fact = failover.filled(fact);
            match fact.strip_prefix('^') {
                Some(of_file) => of_the_file.push(of_file.to_owned()),
                None if fact.starts_with("floating ") => {}
                None => facts.line(fact),
            }
        }
    });
    of_the_file.into_iter().for_each(|fact| facts.line(fact));
    // A block that several knobs write in is there once.
    facts.all.sort();
    let is_head = |fact: &str| ["virtual_ipaddress_excluded", "track_script"].iter().any(|head| fact.ends_with(head));
    facts.all.dedup_by(|one, two| one == two && is_head(one));
}

fn virtual_servers(facts: &mut Facts, vip: &Vip, service: &Service) {
    match service.mark {
        Some(mark) => virtual_server(facts, vip, service, format!("fwmark {mark}"), service.only_port()),
        None => {
            for port in &service.ports {
                let protocol = service.protocol.to_uppercase();
                let head = format!("{} {port} {protocol}", vip.address());
                virtual_server(facts, vip, service, head, Some(*port));
            }
        }
    }
}

fn virtual_server(facts: &mut Facts, vip: &Vip, service: &Service, head: String, listened: Option<u16>) {
    let first = service.servers.values().find_map(|server| service.check_of(server)).expect("a check");
    let interval = |check: &Check| if TIMES[check.times].0 > 0 { TIMES[check.times].0 } else { USUAL.0 };
    facts.block(format!("virtual_server {head}"), |facts| {
        if service.mark.is_some() {
            facts.line(if vip.six { "ip_family inet6" } else { "ip_family inet" });
        }
        facts.line(format!("delay_loop {}", interval(first)));
        facts.line(format!("lb_algo {}", service.scheduler));
        let flags = [("fallback", service.flags.0), ("port", service.flags.1)];
        flags.iter().filter(|(_, on)| *on).for_each(|(name, _)| facts.line(format!("{}-{name}", service.scheduler)));
        let kind = lvs_method(service.first().method.0);
        facts.line(format!("lb_kind {kind}"));
        if service.one_packet {
            facts.line("ops");
        }
        if let Some((timeout, netmask)) = service.persistence {
            facts.line(format!("persistence_timeout {timeout}"));
            if service.sip {
                facts.line("persistence_engine sip");
            }
            if let Some(prefix) = netmask {
                let mask = std::net::Ipv4Addr::from(u32::MAX << (32 - prefix)).to_string();
                let mask = if vip.six { prefix.to_string() } else { mask };
                facts.line(format!("persistence_granularity {mask}"));
            }
        }
        let flags = [("alpha", service.watch.alpha), ("omega", service.watch.omega)];
        flags.iter().filter(|(_, on)| *on).for_each(|(name, _)| facts.line(name));
        if let Some((weight, hysteresis, told)) = service.watch.quorum {
            facts.line(format!("quorum {weight}"));
            if hysteresis > 0 {
                facts.line(format!("hysteresis {hysteresis}"));
            }
            TOLD[told].facts.iter().for_each(|fact| facts.line(format!("quorum_{fact}")));
        }
        let port_of = |translated: bool, own: Option<u16>| match (service.mark, translated) {
            (Some(_), false) => 0,
            _ => own.or(listened).unwrap_or(0),
        };
        let socket = |address: String, port: u16| match (service.mark, port) {
            (Some(_), 0) => address,
            _ => format!("{address} {port}"),
        };
        if let Some(port) = service.watch.sorry {
            let port = port_of(service.first().is_translated(), port);
            facts.line(format!("sorry_server {}", socket(address(vip.six, SORRY), port)));
        }
        for (index, server) in &service.servers {
            let port = port_of(server.is_translated(), server.port);
            let head = socket(server_address(vip.six, *index), port);
            facts.block(format!("real_server {head}"), |facts| {
                facts.line(format!("weight {}", server.weight));
                let method = lvs_method(server.method.0);
                let wrapped = wrapped(server);
                if method != kind || !wrapped.is_empty() {
                    facts.line(format!("lvs_method {method}{wrapped}"));
                }
                if service.on_failure == Some(true) {
                    facts.line("inhibit_on_failure");
                }
                let limits = [("uthreshold", server.upper), ("lthreshold", server.lower)];
                limits
                    .iter()
                    .filter(|(_, limit)| *limit > 0)
                    .for_each(|(name, limit)| facts.line(format!("{name} {limit}")));
                TOLD[server.told].facts.iter().for_each(|fact| facts.line(format!("notify_{fact}")));
                if let Some(check) = service.check_of(server) {
                    let port = check.port.or(server.port).or(listened);
                    self::check(facts, check, port, interval(first) != interval(check));
                }
            });
        }
    });
}

fn check(facts: &mut Facts, check: &Check, port: Option<u16>, says_interval: bool) {
    let (name, lines) = check.way.facts.split_first().expect("the block's name");
    let (interval, timeout, retries, delay) = TIMES[check.times];
    let or = |number: u32, usual: u32| if number > 0 { number } else { usual };
    facts.block(*name, |facts| {
        lines.iter().for_each(|line| facts.line(line));
        if !matches!(*name, "PING_CHECK" | "MISC_CHECK") {
            facts.line(format!("connect_port {}", port.expect("a port")));
        }
        let limit = if *name == "MISC_CHECK" { "misc_timeout" } else { "connect_timeout" };
        facts.line(format!("{limit} {}", or(timeout, USUAL.1)));
        if says_interval {
            facts.line(format!("delay_loop {}", or(interval, USUAL.0)));
        }
        facts.line(format!("retry {}", retries.unwrap_or(USUAL.2)));
        facts.line(format!("delay_before_retry {}", or(delay, USUAL.3)));
    });
}

fn lvs_method(method: &str) -> &'static str {
    match method {
        "dr" => "DR",
        "tun" => "TUN",
        _ => "NAT",
    }
}

fn wrapped(server: &Server) -> String {
    match server.tunnel {
        Some(("gue", checksum)) => format!(" type gue port 6080 {}", if checksum { "csum" } else { "nocsum" }),
        Some(("gre", checksum)) => format!(" type gre {}", if checksum { "csum" } else { "nocsum" }),
        _ => String::new(),
    }
}
