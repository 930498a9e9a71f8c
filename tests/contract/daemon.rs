//! keepalived.

use std::time::Duration;

use lvsctl::effect::{Answer, DaemonState, Effect, Probe, ServiceKey};
use lvsctl::host::{Host, HostError};
use lvsctl::topology::{Protocol, SecretText};

use super::ipvs::{key, server, table};
use super::{Bench, ask, failure, mismatch, succeed};

/// Long enough for keepalived in a slow guest; it is waited for and not slept through.
const WITHIN: Duration = Duration::from_secs(60);

fn write(text: &str) -> Effect {
    Effect::WriteFile {
        path: "/etc/keepalived/keepalived.conf".into(),
        text: SecretText::plain(text),
        mode: 0o600,
        keepalived_test: true,
        keep_previous: true,
    }
}

fn virtual_server(port: u16, weights: &[u32]) -> String {
    let servers: String = weights
        .iter()
        .enumerate()
        .map(|(place, weight)| {
            let last = 20 + place;
            format!("    real_server 192.0.2.{last} 80 {{\n        weight {weight}\n        inhibit_on_failure\n        TCP_CHECK {{\n            connect_timeout 4\n        }}\n    }}\n")
        })
        .collect();
    format!(
        "virtual_server 192.0.2.10 {port} {{\n    delay_loop 60\n    lb_algo wrr\n    lb_kind NAT\n    protocol TCP\n{servers}}}\n"
    )
}

const GLOBAL: &str = "global_defs {\n    router_id contract\n}\n";

fn start(digest: &str) -> Effect {
    Effect::StartKeepalived { configuration: digest.into() }
}

fn reload(digest: &str) -> Effect {
    Effect::ReloadKeepalived { configuration: digest.into() }
}

fn service(port: u16) -> ServiceKey {
    key(Protocol::Tcp, "192.0.2.10", port)
}

fn wait(port: u16, present: bool) -> Effect {
    Effect::AwaitService { service: service(port), present, within: WITHIN }
}

fn state(host: &mut dyn Host) -> DaemonState {
    let Answer::Daemon(state) = ask(host, &Probe::Keepalived) else { mismatch(&"daemon") };
    state
}

pub fn keepalived_starts_reloads_and_stops(bench: &dyn Bench) {
    let mut host = bench.connect();
    assert!(host.capabilities().unwrap().keepalived.is_some_and(|version| version.starts_with('2')));
    assert_eq!(state(&mut *host), DaemonState::default());
    succeed(&mut *host, &[Effect::LoadModule("ip_vs".into()), Effect::LoadModule("ip_vs_wrr".into())]);
    let first = format!("{GLOBAL}{}{}", virtual_server(80, &[3, 1]), virtual_server(81, &[1]));
    succeed(&mut *host, &[write(&first), start("aaaa"), wait(80, true), wait(81, true)]);
    let running = state(&mut *host);
    assert!(running.pid.is_some());
    assert_eq!(running.configuration.as_deref(), Some("aaaa"));
    // Another connection, as another run of lvsctl, sees the same.
    assert_eq!(state(&mut *bench.connect()), running);
    let live = table(&mut *host);
    assert_eq!(live.iter().map(|service| service.key).collect::<Vec<_>>(), [service(80), service(81)]);
    assert_eq!(live[0].config.scheduler, "wrr");
    assert_eq!(live[0].destinations[0].key, server("192.0.2.20", 80));
    assert_eq!(live[0].destinations[0].config.weight, 3);
    let second = format!("{GLOBAL}{}{}", virtual_server(80, &[3, 1]), virtual_server(82, &[1, 1]));
    succeed(&mut *host, &[write(&second), reload("bbbb"), wait(82, true), wait(81, false)]);
    let reloaded = state(&mut *host);
    assert_eq!((reloaded.pid, reloaded.configuration.as_deref()), (running.pid, Some("bbbb")));
    // Who edits the file may have had it read: what has been read is known again when it says what it said.
    succeed(&mut *host, &[write(&first)]);
    assert_eq!(state(&mut *host), DaemonState { pid: running.pid, configuration: None });
    succeed(&mut *host, &[write(&second)]);
    assert_eq!(state(&mut *host), reloaded);
    succeed(&mut *host, &[Effect::StopKeepalived]);
    assert_eq!(state(&mut *host), DaemonState::default());
    assert_eq!(table(&mut *host), [], "its services go with it");
}

pub fn keepalived_runs_with_vrrp(bench: &dyn Bench) {
    let mut host = bench.connect();
    let vrrp = "vrrp_instance ext {\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority 100\n    advert_int 1\n    nopreempt\n    virtual_ipaddress {\n        192.0.2.100/32\n    }\n}\n";
    succeed(&mut *host, &[write(&format!("{GLOBAL}{vrrp}")), start("cccc")]);
    assert_eq!(state(&mut *host).configuration.as_deref(), Some("cccc"));
    succeed(&mut *host, &[Effect::StopKeepalived]);
    assert_eq!(state(&mut *host).pid, None);
}

pub fn keepalived_is_started_and_stopped_twice(bench: &dyn Bench) {
    let mut host = bench.connect();
    let refused = failure(&mut *host, &reload("aaaa"));
    assert!(matches!(&refused, HostError::Program { program, .. } if program == "keepalived"), "{refused}");
    let refused = failure(&mut *host, &start("aaaa"));
    assert!(matches!(&refused, HostError::Program { .. }), "without a configuration: {refused}");
    assert_eq!(state(&mut *host), DaemonState::default());
    succeed(&mut *host, &[Effect::StopKeepalived, Effect::LoadModule("ip_vs_wrr".into())]);
    succeed(&mut *host, &[write(&format!("{GLOBAL}{}", virtual_server(80, &[1]))), start("aaaa")]);
    let running = state(&mut *host);
    // A start of what runs makes it read its configuration again.
    succeed(&mut *host, &[start("bbbb")]);
    let again = state(&mut *host);
    assert_eq!((again.pid, again.configuration.as_deref()), (running.pid, Some("bbbb")));
    succeed(&mut *host, &[Effect::StopKeepalived, Effect::StopKeepalived, start("cccc"), wait(80, true)]);
    let anew = state(&mut *host);
    assert!(anew.pid.is_some() && anew.pid != running.pid, "{anew:?}");
    succeed(&mut *host, &[Effect::StopKeepalived]);
}
