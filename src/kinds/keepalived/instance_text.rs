//! Writes a `vrrp_instance`.

use super::model::{StateNotify, VirtualAddress, VirtualRoute, VrrpInstance, VrrpScript};
use super::render::{Writer, seconds};
use crate::topology::{Garp, Preemption, VrrpVersion};

/// Writes a script that instances track.
pub(super) fn vrrp_script(writer: &mut Writer, script: &VrrpScript) {
    writer.block(&format!("vrrp_script {}", script.name.written()), |writer| {
        writer.line(&format!("script {}", script.run.quoted()));
        writer.line(&format!("interval {}", seconds(script.interval)));
        writer.line(&format!("weight {}", script.weight));
        writer.line(&format!("rise {}", script.rise));
        writer.line(&format!("fall {}", script.fall));
        writer.line(&format!("user {}", script.user.written()));
    });
}

/// Writes an instance.
pub(super) fn vrrp_instance(writer: &mut Writer, instance: &VrrpInstance) {
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
        garp(writer, instance.garp);
        if instance.smtp_alert {
            writer.line("smtp_alert");
        }
        if let Some(auth_pass) = &instance.auth_pass {
            writer.block("authentication", |writer| {
                writer.line("auth_type PASS");
                writer.secret_line("auth_pass", auth_pass.written());
            });
        }
        adverts(writer, instance);
        if !instance.tracked_interfaces.is_empty() {
            let tracked = instance.tracked_interfaces.iter();
            writer.block("track_interface", |writer| tracked.for_each(|device| writer.line(&device.written())));
        }
        if !instance.tracked_scripts.is_empty() {
            let tracked = instance.tracked_scripts.iter();
            writer.block("track_script", |writer| tracked.for_each(|script| writer.line(&script.written())));
        }
        for StateNotify { keyword, run, user } in &instance.notify {
            writer.line(&format!("{keyword} {} {}", run.quoted(), user.written()));
        }
        addresses(writer, "virtual_ipaddress", &instance.addresses);
        if !instance.excluded.is_empty() {
            addresses(writer, "virtual_ipaddress_excluded", &instance.excluded);
        }
        if !instance.routes.is_empty() {
            writer.block("virtual_routes", |writer| {
                for VirtualRoute { network, via, device } in &instance.routes {
                    writer.line(&format!("{network} via {via} dev {}", device.written()));
                }
            });
        }
        instance.raw.iter().flat_map(|raw| raw.lines()).for_each(|line| writer.line(&line));
    });
}

fn garp(writer: &mut Writer, garp: Garp) {
    let Garp { delay, repeat, refresh } = garp;
    if let Some(delay) = delay {
        writer.line(&format!("garp_master_delay {}", delay.as_secs()));
    }
    if let Some(repeat) = repeat {
        writer.line(&format!("garp_master_repeat {repeat}"));
    }
    if let Some(refresh) = refresh {
        writer.line(&format!("garp_master_refresh {}", refresh.as_secs()));
    }
}

fn adverts(writer: &mut Writer, instance: &VrrpInstance) {
    if let Some(name) = &instance.virtual_interface {
        writer.line(&format!("use_vmac {}", name.written()));
        // Otherwise `keepalived -t` complains that it has to set this by itself.
        instance.unicast.iter().for_each(|_| writer.line("vmac_xmit_base"));
    }
    match &instance.unicast {
        Some(unicast) => {
            writer.line(&format!("unicast_src_ip {}", unicast.source));
            writer.block("unicast_peer", |writer| unicast.peers.iter().for_each(|peer| writer.line(&peer.to_string())));
        }
        None => instance.source.iter().for_each(|source| writer.line(&format!("mcast_src_ip {source}"))),
    }
}

fn addresses(writer: &mut Writer, head: &str, addresses: &[VirtualAddress]) {
    writer.block(head, |writer| {
        for address in addresses {
            let label = address.label.as_ref().map(|label| format!(" label {}", label.written())).unwrap_or_default();
            let device = address.device.as_ref().map(|device| format!(" dev {}", device.written())).unwrap_or_default();
            writer.line(&format!("{}/{}{device}{label}", address.address, address.prefix));
        }
    });
}
