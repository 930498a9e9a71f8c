//! Writes a [`Configuration`] as `keepalived.conf`, and cuts a virtual server out of a written one.
//!
//! The same configuration always gives the same bytes. Each setting is a line of its own and each block closes on a line of
//! its own, which is what [`without`] relies on.

use std::time::Duration;

use super::model::{Checker, CheckerKind, Configuration, GlobalDefs, RealServer, VirtualServer, VrrpInstance};
use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::{Family, Forwarding, Preemption, SecretText, SyncOptions, TextPiece, VrrpVersion};

/// The first line of a configuration that lvsctl wrote.
pub const HEADER: &str = "# Written by lvsctl; changes here are overwritten";

/// Writes a configuration.
pub fn render(configuration: &Configuration) -> SecretText {
    let mut writer = Writer::default();
    writer.line(HEADER);
    writer.line("");
    global_defs(&mut writer, &configuration.global);
    for instance in &configuration.instances {
        writer.line("");
        vrrp_instance(&mut writer, instance);
    }
    for server in &configuration.servers {
        writer.line("");
        virtual_server(&mut writer, server);
    }
    writer.text
}

/// Returns a written configuration without one virtual server, or `None` if it has none of that identity.
pub fn without(text: &SecretText, service: ServiceKey) -> Option<SecretText> {
    let start = format!("\n{}\n", virtual_server_head(service).join("\n"));
    let mut cut = false;
    let mut rest = SecretText::default();
    for piece in text.pieces() {
        match piece {
            TextPiece::Plain(plain) => match plain.split_once(&start) {
                Some((before, after)) if !cut => {
                    let (_, after) = after.split_once("\n}\n")?;
                    rest.push_str(before);
                    rest.push_str(after);
                    cut = true;
                }
                _ => rest.push_str(plain),
            },
            secret => rest.push(secret.clone()),
        }
    }
    cut.then_some(rest)
}

#[derive(Default)]
struct Writer {
    text: SecretText,
    depth: usize,
}

impl Writer {
    fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&"    ".repeat(self.depth));
        }
        self.text.push_str(line);
        self.text.push_str("\n");
    }

    fn secret_line(&mut self, keyword: &str, pieces: &[TextPiece]) {
        self.text.push_str(&"    ".repeat(self.depth));
        self.text.push_str(keyword);
        self.text.push_str(" ");
        pieces.iter().for_each(|piece| self.text.push(piece.clone()));
        self.text.push_str("\n");
    }

    fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line("}");
    }
}

fn global_defs(writer: &mut Writer, global: &GlobalDefs) {
    writer.block("global_defs", |writer| {
        writer.line(&format!("router_id {}", global.router_id.written()));
        writer.line("enable_script_security");
        if let Some(mail) = &global.mail {
            writer.block("notification_email", |writer| mail.to.iter().for_each(|to| writer.line(&to.written())));
            writer.line(&format!("notification_email_from {}", mail.from.written()));
            writer.line(&format!("smtp_server {} {}", mail.smtp.written(), mail.port));
            writer.line(&format!("smtp_connect_timeout {}", seconds(mail.timeout)));
        }
        if let Some(daemon) = &global.sync_daemon {
            let (interface, instance) = (daemon.interface.written(), daemon.instance.written());
            let mut line = format!("lvs_sync_daemon {interface} {instance} id {}", daemon.id);
            let SyncOptions { group, port, ttl, maxlen } = &daemon.options;
            line.extend(maxlen.map(|maxlen| format!(" maxlen {maxlen}")));
            line.extend(port.map(|port| format!(" port {port}")));
            line.extend(ttl.map(|ttl| format!(" ttl {ttl}")));
            line.extend(group.map(|group| format!(" group {group}")));
            writer.line(&line);
        }
    });
}

fn vrrp_instance(writer: &mut Writer, instance: &VrrpInstance) {
    writer.block(&format!("vrrp_instance {}", instance.name.written()), |writer| {
        writer.line(if instance.starts_as_master { "state MASTER" } else { "state BACKUP" });
        writer.line(&format!("interface {}", instance.interface.written()));
        writer.line(&format!("virtual_router_id {}", instance.virtual_router_id));
        writer.line(&format!("priority {}", instance.priority));
        writer.line(&format!("advert_int {}", seconds(instance.advert_interval)));
        writer.line(match instance.version {
            VrrpVersion::V2 => "version 2",
            VrrpVersion::V3 => "version 3",
        });
        match instance.preemption {
            Preemption::Immediate => {}
            Preemption::After(delay) => writer.line(&format!("preempt_delay {}", seconds(delay))),
            Preemption::Never => writer.line("nopreempt"),
        }
        if instance.smtp_alert {
            writer.line("smtp_alert");
        }
        if let Some(auth_pass) = &instance.auth_pass {
            writer.block("authentication", |writer| {
                writer.line("auth_type PASS");
                writer.secret_line("auth_pass", auth_pass.written());
            });
        }
        if let Some(unicast) = &instance.unicast {
            writer.line(&format!("unicast_src_ip {}", unicast.source));
            writer.block("unicast_peer", |writer| unicast.peers.iter().for_each(|peer| writer.line(&peer.to_string())));
        }
        writer.block("virtual_ipaddress", |writer| {
            for address in &instance.addresses {
                let label =
                    address.label.as_ref().map(|label| format!(" label {}", label.written())).unwrap_or_default();
                let device = address.device.written();
                writer.line(&format!("{}/{} dev {device}{label}", address.address, address.prefix));
            }
        });
    });
}

/// Returns the first lines of a virtual server; a mark needs its family, and the address form its protocol.
fn virtual_server_head(key: ServiceKey) -> Vec<String> {
    match key {
        ServiceKey::Address { protocol, address, port } => vec![
            format!("virtual_server {address} {port} {{"),
            format!("    protocol {}", protocol.as_str().to_uppercase()),
        ],
        ServiceKey::Mark { mark, family } => {
            let family = match family {
                Family::Ipv4 => "inet",
                Family::Ipv6 => "inet6",
            };
            vec![format!("virtual_server fwmark {mark} {{"), format!("    ip_family {family}")]
        }
    }
}

fn virtual_server(writer: &mut Writer, server: &VirtualServer) {
    virtual_server_head(server.key).iter().for_each(|line| writer.line(line));
    writer.depth += 1;
    writer.line(&format!("delay_loop {}", seconds(server.interval)));
    let scheduler = &server.scheduler;
    writer.line(&format!("lb_algo {}", scheduler.name));
    if scheduler.fallback {
        writer.line(&format!("{}-fallback", scheduler.name));
    }
    if scheduler.port {
        writer.line(&format!("{}-port", scheduler.name));
    }
    writer.line(&format!("lb_kind {}", method(server.forwarding)));
    if let Some((timeout, granularity)) = server.persistence {
        writer.line(&format!("persistence_timeout {timeout}"));
        if let Some(prefix) = granularity {
            writer.line(&format!("persistence_granularity {}", granularity_text(server.key.family(), prefix)));
        }
    }
    server.servers.iter().for_each(|real| real_server(writer, server.key, real));
    writer.depth -= 1;
    writer.line("}");
}

/// Writes the mask as keepalived takes it: dotted for IPv4, where `24` would become 0.0.0.24 without a complaint.
fn granularity_text(family: Family, prefix: u8) -> String {
    match family {
        Family::Ipv4 => crate::kinds::ipvs::dotted_mask(prefix).to_string(),
        Family::Ipv6 => prefix.to_string(),
    }
}

fn real_server(writer: &mut Writer, service: ServiceKey, real: &RealServer) {
    let DestinationKey { address, port } = real.key;
    let head = match (service, port) {
        (ServiceKey::Mark { .. }, 0) => format!("real_server {address}"),
        _ => format!("real_server {address} {port}"),
    };
    writer.block(&head, |writer| {
        writer.line(&format!("weight {}", real.weight));
        if let Some(forwarding) = real.forwarding {
            writer.line(&format!("lvs_method {}", method(forwarding)));
        }
        if real.inhibit {
            writer.line("inhibit_on_failure");
        }
        if real.upper > 0 {
            writer.line(&format!("uthreshold {}", real.upper));
        }
        if real.lower > 0 {
            writer.line(&format!("lthreshold {}", real.lower));
        }
        if let Some(checker) = &real.checker {
            check(writer, checker);
        }
    });
}

fn check(writer: &mut Writer, checker: &Checker) {
    let (keyword, page) = match &checker.kind {
        CheckerKind::Tcp => ("TCP_CHECK", None),
        CheckerKind::Http(page) => ("HTTP_GET", Some(page)),
        CheckerKind::Https(page) => ("SSL_GET", Some(page)),
    };
    writer.block(keyword, |writer| {
        if let Some(page) = page {
            writer.block("url", |writer| {
                writer.line(&format!("path {}", page.path.written()));
                if let Some(status) = page.status {
                    writer.line(&format!("status_code {status}"));
                }
                if let Some(host) = &page.host {
                    writer.line(&format!("virtualhost {}", host.written()));
                }
            });
        }
        writer.line(&format!("connect_port {}", checker.port));
        writer.line(&format!("connect_timeout {}", seconds(checker.timeout)));
        if let Some(interval) = checker.interval {
            writer.line(&format!("delay_loop {}", seconds(interval)));
        }
        writer.line(&format!("retry {}", checker.retries));
        writer.line(&format!("delay_before_retry {}", seconds(checker.retry_delay)));
    });
}

fn method(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Nat => "NAT",
        Forwarding::Tun => "TUN",
        Forwarding::Dr | Forwarding::Local | Forwarding::Bypass => "DR",
    }
}

/// Writes seconds with as many decimals as are needed, at most six, which is what keepalived keeps.
fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:06}", duration.as_secs(), duration.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
