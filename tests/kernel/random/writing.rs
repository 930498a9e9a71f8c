//! Writes a topology down.

use std::fmt::Write;

use super::knobs::filled;
use super::rig::mac;
use super::site::*;
use super::watch::{TIMES, TOLD};

/// The file that the hosts may stand in.
pub const HOSTS: &str = "hosts.kdl";

/// Returns the topology's file and the one that it includes, which may be empty.
pub fn files(site: &Site, ground: &Ground) -> [String; 2] {
    let (mut text, mut hosts) = (String::new(), String::new());
    for (kind, places, ways) in
        [("director", &ground.directors, &site.hosts[0]), ("real-server", &ground.real_servers, &site.hosts[1])]
    {
        for (index, place) in places.iter().enumerate() {
            let (four, six) = (address(false, place.number.into()), address(true, place.number.into()));
            let _ = writeln!(hosts, "{kind} {:?} {{\n    address \"{four}/24\"\n    address \"{six}/64\"", place.name);
            let _ = writeln!(hosts, "    netns {:?} root={:?}", place.namespace, place.root);
            let ways = ways.get(index).into_iter().flatten();
            let mut lines: Vec<String> = ways.map(|way| way.kdl.replace("$mac", &mac(place.number))).collect();
            if !lines.iter().any(|line| line.contains("interface \"eth0\"") || line.starts_with("//")) {
                lines.push("interface \"eth0\"".to_owned());
            }
            lines
                .iter()
                .flat_map(|lines| lines.lines())
                .for_each(|line| writeln!(hosts, "    {line}").expect("a text grows"));
            hosts.push_str("}\n");
        }
    }
    let (four, six) = (server_address(false, UNMANAGED), server_address(true, UNMANAGED));
    let name = server_name(UNMANAGED);
    let _ = writeln!(
        hosts,
        "real-server {name:?} {{\n    address \"{four}/24\"\n    address \"{six}/64\"\n    managed #false\n}}"
    );
    match site.included {
        true => writeln!(text, "include {HOSTS:?}").expect("a text grows"),
        false => text.push_str(&std::mem::take(&mut hosts)),
    }
    if let Some(email) = site.email {
        let _ = writeln!(text, "{}", email.kdl);
    }
    site.failovers.iter().for_each(|failover| self::failover(&mut text, failover, ground));
    if site.grouped {
        let names: Vec<String> = site.failovers.iter().map(|one| format!("    failover {:?}\n", one.name)).collect();
        let _ = writeln!(text, "sync-group \"both\" {{\n{}}}", names.concat());
    }
    for vip in &site.vips {
        for service in vip.services.iter().filter(|service| service.pooled) {
            let _ = writeln!(text, "pool \"{}-{}\" {{", vip.number, service.name);
            servers(&mut text, vip, service);
            service.check.iter().for_each(|check| self::check(&mut text, "    ", check));
            text.push_str("}\n");
        }
        self::vip(&mut text, vip, ground);
    }
    [text, hosts]
}

fn failover(out: &mut String, failover: &Failover, ground: &Ground) {
    let six = failover.six;
    let _ = writeln!(out, "failover {:?} {{", failover.name);
    for (index, (place, priority)) in ground.directors.iter().zip(failover.priorities).enumerate() {
        let source = match failover.source {
            Some((from, true)) if from == index => {
                format!(" {{ source-address \"{}\" }}", address(six, place.number.into()))
            }
            _ => String::new(),
        };
        let _ = writeln!(out, "    director {:?} priority={priority}{source}", place.name);
    }
    let _ = writeln!(out, "    virtual-router-id {}", router_id(six));
    if failover.version != 2 {
        let _ = writeln!(out, "    version {}", failover.version);
    }
    if let Some(interval) = failover.interval.0 {
        let _ = writeln!(out, "    advert-interval {interval:?}");
    }
    match failover.preemption {
        Preemption::Immediate if failover.unicast => out.push_str("    preempt #true\n"),
        Preemption::Immediate => {}
        Preemption::After(seconds) => writeln!(out, "    preempt delay=\"{seconds}s\"").expect("a text grows"),
        Preemption::Never => out.push_str("    preempt #false\n"),
    }
    if failover.unicast {
        out.push_str("    unicast #true\n");
    }
    if failover.virtual_mac {
        out.push_str("    virtual-mac #true\n");
    }
    if let Some((from, false)) = failover.source {
        let _ = writeln!(out, "    source-address \"{}\"", address(six, ground.directors[from].number.into()));
    }
    if let Some((written, _)) = failover.password {
        let _ = writeln!(out, "    auth-pass {written}");
    }
    if let Some(number) = failover.unadvertised {
        let _ = writeln!(out, "    exclude-from-advert \"{}\"", address(six, number.into()));
    }
    for way in failover.ways.iter().chain(&failover.sync) {
        let text = filled(way.kdl, six, &failover.name);
        text.lines().for_each(|line| writeln!(out, "    {line}").expect("a text grows"));
    }
    out.push_str("}\n");
}

/// Returns the virtual router's number.
pub fn router_id(six: bool) -> u8 {
    61 + u8::from(six)
}

fn vip(out: &mut String, vip: &Vip, ground: &Ground) {
    let holder = match vip.holder {
        Holder::Failover => format!("failover={:?}", failover_name(vip.six)),
        Holder::Director(index) => format!("director={:?}", ground.directors[index].name),
    };
    let _ = write!(out, "vip \"{}\" {holder}", vip.address());
    let properties = [
        ("forwarding", vip.forwarding),
        ("delivery", vip.delivery),
        ("interface", vip.interface),
        ("label", vip.label),
    ];
    for (name, value) in properties {
        value.iter().for_each(|value| write!(out, " {name}={value:?}").expect("a text grows"));
    }
    out.push_str(" {\n");
    vip.services.iter().for_each(|service| self::service(out, vip, service));
    out.push_str("}\n");
}

fn service(out: &mut String, vip: &Vip, service: &Service) {
    let _ = writeln!(out, "    service {:?} {{", service.name);
    let ports: Vec<String> = service.ports.iter().map(u16::to_string).collect();
    let _ = writeln!(out, "        listen {:?} {}", service.protocol, ports.join(" "));
    if let Some((first, last)) = service.range {
        let _ = writeln!(out, "        listen {:?} \"{first}-{last}\"", service.protocol);
    }
    if let Some(mark) = service.mark {
        let _ = writeln!(out, "        fwmark {mark}");
    }
    let (fallback, port) = service.flags;
    let flags = if fallback || port { format!(" fallback=#{fallback} port=#{port}") } else { String::new() };
    let _ = writeln!(out, "        scheduler {:?}{flags}", service.scheduler);
    if let Some((timeout, netmask)) = service.persistence {
        let netmask = netmask.map(|netmask| format!(" netmask={netmask}")).unwrap_or_default();
        let engine = if service.sip { " engine=\"sip\"" } else { "" };
        let _ = writeln!(out, "        persistence \"{timeout}s\"{netmask}{engine}");
    }
    let flags = [
        ("one-packet", service.one_packet),
        ("syn-proxy", service.syn_proxy),
        ("alpha", service.watch.alpha),
        ("omega", service.watch.omega),
    ];
    for (name, _) in flags.iter().filter(|(_, on)| *on) {
        let _ = writeln!(out, "        {name} #true");
    }
    if let Some(drain) = service.drain {
        let _ = writeln!(out, "        drain {drain:?}");
    }
    if let Some(inhibit) = service.on_failure {
        let _ = writeln!(out, "        on-failure {:?}", if inhibit { "inhibit" } else { "remove" });
    }
    if let Some((weight, hysteresis, told)) = service.watch.quorum {
        let hysteresis = if hysteresis > 0 { format!(" hysteresis={hysteresis}") } else { String::new() };
        let _ = writeln!(out, "        quorum {weight}{hysteresis} {}", TOLD[told].kdl);
    }
    if let Some(port) = service.watch.sorry {
        let port = port.map(|port| format!(" port={port}")).unwrap_or_default();
        let _ = writeln!(out, "        sorry-server \"{}\"{port}", address(vip.six, SORRY));
    }
    match service.pooled {
        true => writeln!(out, "        pool \"{}-{}\"", vip.number, service.name).expect("a text grows"),
        false => {
            service.check.iter().for_each(|check| self::check(out, "        ", check));
            servers(out, vip, service);
        }
    }
    out.push_str("    }\n");
}

fn check(out: &mut String, indent: &str, check: &Check) {
    let _ = write!(out, "{indent}check {}", check.way.kdl);
    let (interval, timeout, retries, delay) = TIMES[check.times];
    for (name, seconds) in [("interval", interval), ("timeout", timeout), ("retry-delay", delay)] {
        if seconds > 0 {
            let _ = write!(out, " {name}=\"{seconds}s\"");
        }
    }
    retries.iter().for_each(|retries| write!(out, " retries={retries}").expect("a text grows"));
    check.port.iter().for_each(|port| write!(out, " port={port}").expect("a text grows"));
    out.push('\n');
}

fn servers(out: &mut String, vip: &Vip, service: &Service) {
    for (index, server) in &service.servers {
        let name = if server.by_address { server_address(vip.six, *index) } else { server_name(*index) };
        let _ = write!(out, "        server {name:?}");
        if server.weight != 1 {
            let _ = write!(out, " weight={}", server.weight);
        }
        for (name, number) in [("upper", server.upper), ("lower", server.lower)] {
            if number > 0 {
                let _ = write!(out, " {name}={number}");
            }
        }
        server.port.iter().for_each(|port| write!(out, " port={port}").expect("a text grows"));
        if let (method, true) = server.method {
            let _ = write!(out, " forwarding={method:?}");
        }
        if let Some((tunnel, checksum)) = server.tunnel {
            let port = if tunnel == "gue" { " tunnel-port=6080" } else { "" };
            let checksum = if checksum { " checksum=#true" } else { "" };
            let _ = write!(out, " tunnel={tunnel:?}{port}{checksum}");
        }
        out.push_str(" {\n");
        server.check.iter().for_each(|check| self::check(out, "            ", check));
        if server.told > 0 {
            let _ = writeln!(out, "            notify {}", TOLD[server.told].kdl);
        }
        out.push_str("        }\n");
    }
}
