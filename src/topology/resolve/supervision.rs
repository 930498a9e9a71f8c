//! Quorum, sorry server and programs: what keepalived would change about them, and what only it can do.

use crate::source::{Problem, Problems, Span};
use crate::topology::decode::VipDraft;
use crate::topology::{Family, Forwarding, Service};

/// Checks a service's supervision against its servers.
pub fn check(vip: &VipDraft, service: &Service, problems: &mut Problems) {
    if service.is_checked() {
        check_quorum(service, problems);
        check_omega(service, problems);
    } else if !service.servers.is_empty() {
        refuse_unchecked(service, problems);
    }
    check_sorry(vip, service, problems);
}

/// Refuses what nobody would act on.
fn refuse_unchecked(service: &Service, problems: &mut Problems) {
    let watch = &service.supervision;
    let wants: [(&str, Option<Span>); 4] = [
        ("quorum", watch.quorum.as_ref().map(|quorum| quorum.span)),
        ("sorry-server", watch.sorry.map(|sorry| sorry.span)),
        ("alpha", watch.alpha),
        ("omega", watch.omega),
    ];
    let notified = service.servers.iter().map(|server| ("notify", server.notify.span));
    for (name, span) in wants.into_iter().chain(notified) {
        let Some(span) = span else { continue };
        problems.push(
            Problem::error("needs-check", format!("`{name}` needs a check"))
                .label(span, "nobody watches the servers")
                .label(service.name.span, "no server of this service has a check")
                .help("Add a `check` to the service, or take this away"),
        );
    }
}

fn check_quorum(service: &Service, problems: &mut Problems) {
    let Some(quorum) = &service.supervision.quorum else { return };
    let total: u64 = service.servers.iter().map(|server| u64::from(server.weight)).sum();
    let (weight, regained) = (u64::from(quorum.weight), u64::from(quorum.weight) + u64::from(quorum.hysteresis));
    let wrong = if weight > total {
        Some(("The quorum is above the weight of all servers", "keepalived would lower it"))
    } else if regained > total {
        Some(("A lost quorum could not be regained", "with its hysteresis it is above the weight of all servers"))
    } else {
        None
    };
    if let Some((message, label)) = wrong {
        problems.push(
            Problem::error("quorum-above-weight", message)
                .label(quorum.span, label)
                .label(service.name.span, format!("the servers' weights sum up to {total}"))
                .help("It counts weight, not servers; lower it or raise the weights"),
        );
    }
}

fn check_omega(service: &Service, problems: &mut Problems) {
    let Some(span) = service.supervision.omega else { return };
    let quorum = service.supervision.quorum.as_ref().is_some_and(|quorum| quorum.notify.down.is_some());
    if !quorum && service.servers.iter().all(|server| server.notify.down.is_none()) {
        problems.push(
            Problem::warning("omega-without-program", "`omega` has nobody to tell")
                .label(span, "no `down=` program is named")
                .label(service.name.span, "neither its quorum nor its servers have one")
                .help("Add `notify down=\"…\"` to the servers, or take `omega` away"),
        );
    }
}

fn check_sorry(vip: &VipDraft, service: &Service, problems: &mut Problems) {
    let Some(sorry) = service.supervision.sorry else { return };
    let family = Family::of(vip.address.value);
    if vip.usable && Family::of(sorry.address) != family {
        problems.push(
            Problem::error("family", "A VIP and its sorry server must be of the same address family")
                .label(sorry.span, Family::of(sorry.address).to_string())
                .label(vip.address.span, family.to_string())
                .help("Give an address of the VIP's family"),
        );
    }
    if let Some(server) = service.servers.iter().find(|server| server.address == sorry.address) {
        problems.push(
            Problem::error("duplicate-server", "The sorry server is one of the service's servers")
                .label(sorry.span, "steps in when too few servers are left")
                .label(server.host.span, "this server")
                .help("Name another host"),
        );
    }
    let method = service.servers.first().map(|server| server.forwarding);
    let differs = |port| service.listens.iter().find(|listen| listen.ports.as_single() != Some(port));
    if matches!(method, Some(Forwarding::Dr | Forwarding::Tun))
        && let Some(listen) = sorry.port.and_then(differs)
    {
        problems.push(
            Problem::error("port-remap", "Direct routing cannot change the port")
                .label(sorry.span, "another port on the sorry server")
                .label(listen.span, format!("port {} on the VIP", listen.ports))
                .help("Take `port=` away, or use forwarding=\"nat\""),
        );
    }
}
