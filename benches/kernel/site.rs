//! The site that is measured: one director with many services by NAT, as a topology, as commands, and as a namespace.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};

use lvsctl::effect::{DestinationConfig, DestinationKey, IpvsCommand, ServiceConfig, ServiceFlags, ServiceKey};
use lvsctl::topology::{Forwarding, Protocol};

/// The director's namespace, and the folder with its files.
pub const NAMESPACE: &str = "bench";
pub const ROOT: &str = "/run/lab/bench";

/// The destinations of each service.
pub const SERVERS: usize = 10;

/// The services of each VIP.
const SERVICES_PER_VIP: usize = 100;

/// Makes a director: a namespace with an interface.
pub fn lay_out(namespace: &str) -> Result<(), String> {
    for folder in ["etc/keepalived", "var/lib", "run"] {
        fs::create_dir_all(format!("{ROOT}/{folder}")).map_err(|error| error.to_string())?;
    }
    run("ip", &["netns", "add", namespace])?;
    let commands =
        ["link set lo up", "link add eth0 type dummy", "link set eth0 up", "address add 10.0.0.1/16 dev eth0"];
    commands.iter().try_for_each(|command| {
        let arguments: Vec<&str> = ["-n", namespace].into_iter().chain(command.split(' ')).collect();
        run("ip", &arguments)
    })?;
    run("modprobe", &["-a", "ip_vs", "ip_vs_wrr"])
}

/// Runs ipvsadm in a namespace.
pub fn ipvsadm(namespace: &str, option: &str, input: Stdio, output: Stdio) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "ipvsadm", option]).stdin(input).stdout(output);
    ended(&mut command)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    ended(Command::new(program).args(arguments).stdin(Stdio::null()))
}

fn ended(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{command:?}: {other:?}")),
    }
}

fn vip(number: usize) -> [u8; 4] {
    [10, 0, 100 + (number / 200) as u8, (number % 200) as u8 + 1]
}

fn port(number: usize) -> u16 {
    1000 + (number % SERVICES_PER_VIP) as u16
}

/// Returns the topology.
pub fn topology(services: usize) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "director \"d1\" {{\n    address \"10.0.0.1/16\"\n    interface \"eth0\"\n    netns \"{NAMESPACE}\" root=\"{ROOT}\"\n}}"
    );
    for server in 0..SERVERS {
        let address = server + 1;
        let _ =
            writeln!(text, "real-server \"w{server}\" {{\n    address \"10.0.1.{address}/16\"\n    managed #false\n}}");
    }
    for number in 0..services {
        if number % SERVICES_PER_VIP == 0 {
            let [a, b, c, d] = vip(number / SERVICES_PER_VIP);
            let _ = writeln!(text, "vip \"{a}.{b}.{c}.{d}\" director=\"d1\" forwarding=\"nat\" {{");
        }
        let _ = writeln!(
            text,
            "    service \"s{number}\" {{\n        listen \"tcp\" {}\n        scheduler \"wrr\"",
            port(number)
        );
        for server in 0..SERVERS {
            let _ = writeln!(text, "        server \"w{server}\" weight={}", server + 1);
        }
        let _ = writeln!(text, "    }}");
        if (number + 1) % SERVICES_PER_VIP == 0 || number + 1 == services {
            let _ = writeln!(text, "}}");
        }
    }
    text
}

/// Returns the commands that make the same table.
pub fn commands(services: usize) -> Vec<IpvsCommand> {
    let config =
        ServiceConfig { scheduler: "wrr".into(), flags: ServiceFlags(0), timeout: 0, netmask: 32, engine: None };
    let mut commands = Vec::with_capacity(services * (SERVERS + 1));
    for number in 0..services {
        let address = vip(number / SERVICES_PER_VIP).into();
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address, port: port(number) };
        commands.push(IpvsCommand::NewService(key, config.clone()));
        commands.extend((0..SERVERS).map(|server| {
            let destination = DestinationKey { address: [10, 0, 1, server as u8 + 1].into(), port: port(number) };
            let weight = server as u32 + 1;
            let config = DestinationConfig {
                forwarding: Forwarding::Nat,
                weight,
                upper: 0,
                lower: 0,
                tunnel: Default::default(),
            };
            IpvsCommand::NewDestination(key, destination, config)
        }));
    }
    commands
}
