//! Writes a [`Configuration`] as `keepalived.conf`, and cuts a virtual server out of a written one.
//!
//! The same configuration always gives the same bytes. Each setting is a line of its own and each block closes on a line of
//! its own, which is what [`without`] relies on.

use std::time::Duration;

use super::instance_text::{vrrp_instance, vrrp_script};
use super::model::{Checker, CheckerKind, Configuration, GlobalDefs, Page, RealServer, VirtualServer};
use super::supervision;
use crate::effect::{DestinationKey, ServiceKey};
use crate::topology::{Family, Forwarding, SecretText, SyncOptions, TextPiece, Tunnel};

/// The first line of a configuration that lvsctl wrote.
pub const HEADER: &str = "# Written by lvsctl; changes here are overwritten";

/// Writes a configuration.
pub fn render(configuration: &Configuration) -> SecretText {
    let mut writer = Writer::default();
    writer.line(HEADER);
    writer.line("");
    global_defs(&mut writer, &configuration.global);
    for script in &configuration.scripts {
        writer.line("");
        vrrp_script(&mut writer, script);
    }
    for (name, instances) in &configuration.sync_groups {
        writer.line("");
        writer.block(&format!("vrrp_sync_group {}", name.written()), |writer| {
            writer.block("group", |writer| instances.iter().for_each(|one| writer.line(&one.written())));
        });
    }
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

/// A text that grows line by line.
#[derive(Default)]
pub(super) struct Writer {
    text: SecretText,
    depth: usize,
}

impl Writer {
    /// Writes a line, indented.
    pub(super) fn line(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&"    ".repeat(self.depth));
        }
        self.text.push_str(line);
        self.text.push_str("\n");
    }

    /// Writes a keyword with a secret.
    pub(super) fn secret_line(&mut self, keyword: &str, pieces: &[TextPiece]) {
        self.text.push_str(&"    ".repeat(self.depth));
        self.text.push_str(keyword);
        self.text.push_str(" ");
        pieces.iter().for_each(|piece| self.text.push(piece.clone()));
        self.text.push_str("\n");
    }

    /// Writes a block in braces.
    pub(super) fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
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
    if server.one_packet {
        writer.line("ops");
    }
    if let Some((timeout, granularity)) = server.persistence {
        writer.line(&format!("persistence_timeout {timeout}"));
        if let Some(engine) = &server.engine {
            writer.line(&format!("persistence_engine {}", engine.written()));
        }
        if let Some(prefix) = granularity {
            writer.line(&format!("persistence_granularity {}", granularity_text(server.key.family(), prefix)));
        }
    }
    supervision::write(writer, server);
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
        if let Some((forwarding, tunnel)) = real.method {
            writer.line(&format!("lvs_method {}{}", method(forwarding), wrapped(tunnel)));
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
        supervision::write_notify(writer, "notify", &real.notify);
        if let Some(checker) = &real.checker {
            check(writer, checker);
        }
    });
}

fn check(writer: &mut Writer, checker: &Checker) {
    let keyword = match &checker.kind {
        CheckerKind::Tcp => "TCP_CHECK",
        CheckerKind::Http(_) => "HTTP_GET",
        CheckerKind::Https(_) => "SSL_GET",
        CheckerKind::Udp(..) => "UDP_CHECK",
        CheckerKind::Dns(..) => "DNS_CHECK",
        CheckerKind::Smtp(_) => "SMTP_CHECK",
        CheckerKind::Ping => "PING_CHECK",
        CheckerKind::Script(..) => "MISC_CHECK",
    };
    writer.block(keyword, |writer| {
        checked(writer, &checker.kind);
        if let Some(port) = checker.port {
            writer.line(&format!("connect_port {port}"));
        }
        match checker.kind {
            // keepalived refuses a fraction here.
            CheckerKind::Script(..) => {
                writer.line(&format!("misc_timeout {}", checker.timeout.as_millis().div_ceil(1000)));
            }
            _ => writer.line(&format!("connect_timeout {}", seconds(checker.timeout))),
        }
        if let Some(interval) = checker.interval {
            writer.line(&format!("delay_loop {}", seconds(interval)));
        }
        writer.line(&format!("retry {}", checker.retries));
        writer.line(&format!("delay_before_retry {}", seconds(checker.retry_delay)));
    });
}

/// Writes what a checker asks and expects.
fn checked(writer: &mut Writer, kind: &CheckerKind) {
    match kind {
        CheckerKind::Tcp | CheckerKind::Ping => {}
        CheckerKind::Http(page) | CheckerKind::Https(page) => {
            writer.block("url", |writer| url(writer, page));
            if page.sni {
                writer.line("enable_sni");
            }
        }
        CheckerKind::Udp(payload, reply) => {
            if let Some(payload) = payload {
                writer.line(&format!("payload {}", payload.written()));
            }
            if *reply {
                writer.line("require_reply");
            }
        }
        CheckerKind::Dns(name, record) => {
            writer.line(&format!("type {}", record.written()));
            writer.line(&format!("name {}", name.written()));
        }
        CheckerKind::Smtp(helo) => {
            if let Some(helo) = helo {
                writer.line(&format!("helo_name {}", helo.written()));
            }
        }
        CheckerKind::Script(run, user) => {
            writer.line(&format!("misc_path {}", run.written()));
            writer.line(&format!("user {}", user.written()));
        }
    }
}

fn url(writer: &mut Writer, page: &Page) {
    writer.line(&format!("path {}", page.path.written()));
    if let Some(digest) = &page.digest {
        writer.line(&format!("digest {}", digest.written()));
    }
    if let Some(status) = page.status {
        writer.line(&format!("status_code {status}"));
    }
    if let Some(host) = &page.host {
        writer.line(&format!("virtualhost {}", host.written()));
    }
    if let Some(regex) = &page.regex {
        writer.line(&format!("regex {}", regex.written()));
    }
}

/// Writes how packets are wrapped; IP in IP is what keepalived takes by itself.
fn wrapped(tunnel: Tunnel) -> String {
    let checksum = |flags| match flags {
        0 => " nocsum",
        Tunnel::CHECKSUM => " csum",
        _ => " remcsum",
    };
    match tunnel {
        Tunnel::Ipip => String::new(),
        Tunnel::Gue { port, flags } => format!(" type gue port {port}{}", checksum(flags)),
        Tunnel::Gre { flags } => format!(" type gre{}", checksum(flags)),
    }
}

fn method(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Nat | Forwarding::FullNat => "NAT",
        Forwarding::Tun => "TUN",
        Forwarding::Dr | Forwarding::Local | Forwarding::Bypass => "DR",
    }
}

/// Writes seconds with as many decimals as are needed, at most six, which is what keepalived keeps.
pub(super) fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:06}", duration.as_secs(), duration.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
