//! The hosts of the random topologies: two directors and four real servers on one switch, with things on them that are
//! somebody else's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::reading::{self, has_keepalived};
use super::site::{Ground, Place, address};
use crate::lab::{self, Namespace};

/// The foreign address on the loopback interface.
pub const FOREIGN_LOOPBACK: &str = "192.0.2.77";

/// The hardware address of a director, which the peer's rule names.
pub fn mac(number: u8) -> String {
    format!("02:00:00:09:00:{number:02x}")
}

/// The hardware address of a director's second interface.
pub fn second_mac(number: u8) -> String {
    format!("02:00:00:08:00:{number:02x}")
}

/// The laboratory.
pub struct Rig {
    pub ground: Ground,
    hosts: BTreeMap<String, Namespace>,
    _switch: Namespace,
}

/// Everything that can be seen of one host, by where it is seen.
pub type Snapshot = BTreeMap<String, String>;

impl Rig {
    /// Lays out the hosts and puts the foreign things there, with as few programs as can be: a guest takes tens of
    /// milliseconds to start one.
    pub fn new() -> Self {
        // Modules stay, and bring parameters with them: what a destroy leaves is compared without those.
        if !MODULES.iter().all(|name| Path::new("/sys/module").join(name).exists()) {
            lab::run(&[&["modprobe", "-a"], MODULES].concat());
        }
        let mut spaces = Namespace::several(1 + DIRECTORS.len() + REAL_SERVERS.len());
        let switch = spaces.pop().expect("the switch");
        let mut cables = BRIDGE.to_owned();
        for (number, host) in DIRECTORS.iter().chain(REAL_SERVERS).zip(&spaces) {
            let (host, hardware, port) = (host.name(), mac(*number), format!("port{number}"));
            cables += &format!(
                "link add eth0 netns {host} address {hardware} type veth peer name {port}\n\
                 link set {port} master bridge up\n"
            );
        }
        switch.feed(IP, &cables);
        let mut hosts = BTreeMap::new();
        let mut place = |name: String, number: u8| {
            let host = spaces.remove(0);
            furnish(&host, number);
            let root = host.root().to_string_lossy().into_owned();
            let place = Place { name: name.clone(), number, namespace: host.name().to_owned(), root };
            hosts.insert(name, host);
            place
        };
        let directors: Vec<Place> = DIRECTORS.iter().map(|number| place(format!("d{number}"), *number)).collect();
        let real_servers: Vec<Place> =
            REAL_SERVERS.iter().map(|number| place(format!("w{}", number - 10), *number)).collect();
        Rig { ground: Ground { directors, real_servers }, hosts, _switch: switch }
    }

    /// Returns a host by name.
    pub fn host(&self, name: &str) -> &Namespace {
        &self.hosts[name]
    }

    /// Returns all places with whether each is a director.
    pub fn places(&self) -> impl Iterator<Item = (bool, usize, &Place)> {
        let directors = self.ground.directors.iter().enumerate().map(|(index, place)| (true, index, place));
        directors.chain(self.ground.real_servers.iter().enumerate().map(|(index, place)| (false, index, place)))
    }

    /// Returns all that can be observed of every host, for a comparison as a whole.
    pub fn snapshot(&self) -> BTreeMap<String, Snapshot> {
        self.hosts.iter().map(|(name, host)| (name.clone(), snapshot(host))).collect()
    }
}

/// The last numbers of the hosts' addresses.
const DIRECTORS: &[u8] = &[1, 2];
const REAL_SERVERS: &[u8] = &[11, 12];

/// What topologies may need, and what the foreign things do.
const MODULES: &[&str] = &[
    "ipv6",
    "veth",
    "bridge",
    "ip_vs",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ipip",
    "ip6_tunnel",
    "ip_gre",
    "ip6_gre",
    "fou",
    "fou6",
    "nf_conntrack",
    "ip_vs_pe_sip",
];

/// ip with many commands at once.
const IP: &[&str] = &["ip", "-batch", "-"];

const BRIDGE: &str = "\
link set lo up
link add bridge type bridge mcast_snooping 0 forward_delay 0
link set bridge up
";

/// Brings the interfaces of a host up, and puts there what is somebody else's.
fn furnish(host: &Namespace, number: u8) {
    host.enter(|| {
        // An IPv6 address works as soon as it is there.
        for name in ["all", "default", "eth0"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0").expect("a parameter");
        }
    });
    let (four, six) = (address(false, number.into()), address(true, number.into()));
    let mut commands =
        format!("link set lo up\naddress add {four}/24 dev eth0\naddress add {six}/64 dev eth0\nlink set eth0 up\n");
    // The end of a tunnel has more parameters from the first time on that it is up.
    for way in ["up", "down"] {
        for device in ["tunl0", "ip6tnl0", "gre0", "ip6gre0"] {
            commands += &format!("link set {device} {way}\n");
        }
    }
    commands += &format!(
        "address add {FOREIGN_LOOPBACK}/32 dev lo label lo:mine\naddress add {} dev eth0 label eth0:mine\n",
        foreign_address(number)
    );
    let is_director = DIRECTORS.contains(&number);
    commands += &if is_director { second_interface(number) } else { foreign_routes(number) };
    host.feed(IP, &commands);
    if is_director {
        host.feed(&["ipvsadm", "-R"], FOREIGN_SERVICES);
    }
    if has_foreign_rules(number) {
        for program in ["iptables-restore", "ip6tables-restore"] {
            host.feed(&[program, "--noflush"], FOREIGN_RULES);
        }
    }
}

/// Makes a network that only a director is in, and that leads nowhere.
fn second_interface(number: u8) -> String {
    let hardware = second_mac(number);
    format!("link add eth1 address {hardware} type dummy\nlink set eth1 multicast on\nlink set eth1 up\n")
}

const FOREIGN_SERVICES: &str = "\
-A -t 10.9.9.9:99 -s wlc
-a -t 10.9.9.9:99 -r 10.9.0.99:99 -g -w 7
-A -f 77 -s sh -b sh-port
";

/// Half of the real servers route somewhere already, which destroy has to bring back.
fn foreign_routes(number: u8) -> String {
    let mut commands = format!("route add 198.51.100.0/24 via {}\n", address(false, 201));
    if number.is_multiple_of(2) {
        let (four, six) = (address(false, 200), address(true, 200));
        commands += &format!("route add default via {four} metric {number}\nroute add default via {six}\n");
    }
    commands
}

/// Tells whether a host has rules that are somebody else's. Half of them have none, and no table before lvsctl makes one.
pub fn has_foreign_rules(number: u8) -> bool {
    number % 2 == 1
}

const FOREIGN_RULES: &str = "\
*mangle
:FOREIGN - [0:0]
-A FOREIGN -p tcp --dport 22 -j RETURN
-A PREROUTING -i lo -j FOREIGN
-A PREROUTING -j FOREIGN
COMMIT
*nat
:FOREIGN - [0:0]
-A FOREIGN -p tcp --dport 22 -j RETURN
-A PREROUTING -i lo -j FOREIGN
-A PREROUTING -j FOREIGN
COMMIT
*filter
-A INPUT -i lo -m comment --comment \"it's \\\"mine\\\"\" -j ACCEPT
COMMIT
";

/// Returns the foreign address on a host's `eth0`.
pub fn foreign_address(number: u8) -> String {
    format!("10.9.0.{}/24", 220 + number)
}

fn snapshot(host: &Namespace) -> Snapshot {
    let mut seen = Snapshot::new();
    // The routes of all tables are those of both families.
    let shown = host.feed(IP, "address show\nroute show table all\nrule show\n");
    seen.insert("addresses, routes and rules".into(), steady(&shown));
    if reading::has_services(host) {
        for command in [&["ipvsadm", "-Sn"][..], &["ipvsadm", "-Ln", "--thresholds"]] {
            seen.insert(command.join(" "), steady(&host.run(command)));
        }
    }
    for program in ["iptables", "ip6tables"] {
        seen.insert(format!("{program}-save"), without_empty_tables(&rules(host, program)));
    }
    host.enter(|| parameters(Path::new("/proc/sys/net"), &mut seen));
    seen.extend(reading::tuned(host));
    seen.insert("keepalived runs".into(), has_keepalived(host).to_string());
    files(host.root(), &mut seen);
    seen
}

/// Returns what `iptables-save` prints, without asking where no table is.
pub fn rules(host: &Namespace, program: &str) -> String {
    let names = host.enter(|| {
        let name = program.trim_end_matches("tables");
        fs::read_to_string(format!("/proc/thread-self/net/{name}_tables_names")).unwrap_or_default()
    });
    if names.trim().is_empty() { String::new() } else { steady(&host.run(&[&format!("{program}-save")])) }
}

/// Takes out of saved rules the tables that say nothing: one that lvsctl was the first to use stays, empty.
pub fn without_empty_tables(saved: &str) -> String {
    let tables = saved.split_inclusive("COMMIT\n");
    let says = |table: &&str| table.lines().any(|line| line.starts_with("-A ") || line.ends_with(" -"));
    tables.filter(says).collect()
}

/// Takes out of a text what changes by itself: counters, and the times in comments and of addresses.
pub fn steady(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(" [").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// Reads every parameter that can be read; those that carry the machine's random numbers are left out.
fn parameters(folder: &Path, seen: &mut Snapshot) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            parameters(&path, seen);
        } else if let Ok(value) = fs::read_to_string(&path) {
            let name = path.to_string_lossy().into_owned();
            // keepalived opens the last one for its pings, and leaves it open.
            let restless = ["nf_conntrack_count", "stable_secret", "ping_group_range"];
            if !restless.iter().any(|word| name.ends_with(word)) {
                seen.insert(name, value);
            }
        }
    }
}

/// Reads every file of a host but the daemon's log and the lock, which outlive an apply on purpose.
fn files(folder: &Path, seen: &mut Snapshot) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, seen);
        } else if !path.ends_with("run/lvsctl.lock") && !path.ends_with("var/log/keepalived.log") {
            seen.insert(path.to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
