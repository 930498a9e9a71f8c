//! The knobs that need no more than a line or two: how each is written, and what it comes to on the host.
//!
//! A knob is a list of ways to write it. What a way comes to is said in the words of the tool that shows it, so that the
//! table is a meaning of its own. `$1` and `$2` stand for the directors' addresses, `$N` for the address N of the family,
//! `$name` for the failover, `$mac` for the host's hardware address, `$on` for the interface of its addresses, and `$dev` for what
//! names that in keepalived.conf.

use std::collections::BTreeMap;

use proptest::collection::btree_map;
use proptest::prelude::*;

/// One way to write a knob.
#[derive(Debug)]
pub struct Way {
    /// Its lines in the topology.
    pub kdl: &'static str,
    /// What they come to; each table says in which words.
    pub facts: &'static [&'static str],
}

/// The ways to write one knob.
pub type Knob = &'static [Way];

const fn way(kdl: &'static str, facts: &'static [&'static str]) -> Way {
    Way { kdl, facts }
}

/// Which knobs of a table are turned, and which way.
pub type Turns = BTreeMap<usize, usize>;

/// Draws which knobs are turned, at most so many.
pub fn turns(table: &'static [Knob], most: usize) -> impl Strategy<Value = Turns> + use<> {
    btree_map(0..table.len(), 0..64usize, 0..=most)
}

/// Returns the ways that were drawn.
pub fn ways(table: &'static [Knob], turns: &Turns) -> Vec<&'static Way> {
    let drawn = turns.iter().filter_map(|(knob, number)| table.get(*knob).map(|ways| (ways, number)));
    drawn.filter_map(|(ways, number)| ways.get(number % ways.len())).collect()
}

/// On both sorts of hosts; facts are `NAME = VALUE` of a parameter, or of what `reading::tuned` reads.
const OFFLOAD: Knob = &[
    way("offload gro=#true gso=#true", &["offload gro = true", "offload gso = true"]),
    way("offload interface=\"eth0\" gro=#false gso=#false", &["offload gro = false", "offload gso = false"]),
    way("offload gso=#false lro=#false", &["offload gso = false", "offload lro = false"]),
];

const INTERFACE: Knob = &[way("interface \"eth0\" mac=\"$mac\"", &[]), way("// the interface is found", &[])];

/// Of directors.
pub const DIRECTOR: &[Knob] = &[
    INTERFACE,
    OFFLOAD,
    &[
        way("timeouts tcp=\"1200s\"", &["timeouts = 1200 120 300"]),
        way("timeouts tcp=\"1200s\" tcp-fin=\"60s\" udp=\"10s\"", &["timeouts = 1200 60 10"]),
        way("timeouts tcp-fin=\"0s\" udp=\"5m\"", &["timeouts = 900 120 300"]),
    ],
    &[
        way("connection-table-bits 10", &["options = options ip_vs conn_tab_bits=10"]),
        way("connection-table-bits 15", &["options = options ip_vs conn_tab_bits=15"]),
    ],
    &[
        way(
            "sync-daemon \"master\"",
            &["daemons = master sync daemon (mcast=eth0, syncid=0, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"],
        ),
        way(
            "sync-daemon \"backup\" interface=\"eth1\" id=3 group=\"224.0.0.99\" port=9000 ttl=2 maxlen=1100",
            &["daemons = backup sync daemon (mcast=eth1, syncid=3, maxlen=1100, group=224.0.0.99, port=9000, ttl=2)"],
        ),
        way(
            "sync-daemon \"master\" id=4 group=\"ff02::81\" maxlen=700\nsync-daemon \"backup\" id=5",
            &["daemons = master sync daemon (mcast=eth0, syncid=4, maxlen=700, group=ff02::81, port=8848, ttl=1); \
               backup sync daemon (mcast=eth0, syncid=5, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"],
        ),
    ],
    &[
        way("sysctl \"net.ipv4.vs.expire_nodest_conn\" 0", &["net.ipv4.vs.expire_nodest_conn = 0"]),
        way("sysctl \"net.ipv4.vs.expire_nodest_conn\" 1", &["net.ipv4.vs.expire_nodest_conn = 1"]),
    ],
    &[
        way("sysctl \"net.ipv4.vs.sync_threshold\" \"3 60\"", &["net.ipv4.vs.sync_threshold = 3 60"]),
        way("sysctl \"net.ipv4.vs.sync_threshold\" \"0 1\"", &["net.ipv4.vs.sync_threshold = 0 1"]),
    ],
    &[
        way("sysctl \"net.ipv4.vs.drop_entry\" 1", &["net.ipv4.vs.drop_entry = 1"]),
        way("sysctl \"net.ipv4.vs.sloppy_tcp\" \"1\"", &["net.ipv4.vs.sloppy_tcp = 1"]),
        way("sysctl \"net.ipv4.vs.conn_reuse_mode\" 0", &["net.ipv4.vs.conn_reuse_mode = 0"]),
        way("sysctl \"net.ipv4.vs.amemthresh\" 2048", &["net.ipv4.vs.amemthresh = 2048"]),
        way("sysctl \"net.ipv4.vs.snat_reroute\" 0", &["net.ipv4.vs.snat_reroute = 0"]),
    ],
];

/// The knob of [`DIRECTOR`] that a failover's own sync daemon excludes.
pub const OWN_SYNC_DAEMON: usize = 4;

/// Of real servers.
pub const REAL_SERVER: &[Knob] = &[
    INTERFACE,
    OFFLOAD,
    &[
        way("sysctl \"net.core.somaxconn\" 1000", &["net.core.somaxconn = 1000"]),
        way("sysctl \"net.core.somaxconn\" \"2000\"", &["net.core.somaxconn = 2000"]),
    ],
    &[way("managed #true", &[])],
];

/// What is looked at besides the fixed parameters, because the tables above may change it.
pub fn tuned() -> impl Iterator<Item = &'static str> {
    let knobs = DIRECTOR.iter().chain(REAL_SERVER).flat_map(|knob| knob.iter());
    knobs.flat_map(|way| way.facts).filter_map(|fact| fact.split_once(" = ")).map(|(name, _)| name)
}

/// Of failovers; facts are lines of the `vrrp_instance`, those with `^` of the file, and `floating` what the master holds.
pub const FAILOVER: &[Knob] = &[
    &[way("interface \"eth0\"", &[])],
    &[
        way("garp delay=\"1s\"", &["garp_master_delay 1"]),
        way("garp repeat=2 refresh=\"60s\"", &["garp_master_repeat 2", "garp_master_refresh 60"]),
        way(
            "garp delay=\"2s\" repeat=1 refresh=\"30s\"",
            &["garp_master_delay 2", "garp_master_repeat 1", "garp_master_refresh 30"],
        ),
    ],
    &[
        way("track interface=\"eth1\"", &["track_interface", "track_interface / eth1"]),
        way(
            "track interface=\"eth1\"\ntrack interface=\"lo\"",
            &["track_interface", "track_interface / eth1", "track_interface / lo"],
        ),
    ],
    &[
        way(
            "script \"$name-watch\" run=\"/bin/true\"\ntrack script=\"$name-watch\"",
            &[
                "track_script",
                "track_script / $name-watch",
                "^vrrp_script $name-watch",
                "^vrrp_script $name-watch / script \"/bin/true\"",
                "^vrrp_script $name-watch / interval 1",
                "^vrrp_script $name-watch / weight 0",
                "^vrrp_script $name-watch / rise 1",
                "^vrrp_script $name-watch / fall 1",
                "^vrrp_script $name-watch / user root",
            ],
        ),
        way(
            "script \"$name-other\" run=\"/bin/test -d /\" interval=\"2s\" weight=0 rise=2 fall=3 user=\"nobody\"\n\
             track script=\"$name-other\"",
            &[
                "track_script",
                "track_script / $name-other",
                "^vrrp_script $name-other",
                "^vrrp_script $name-other / script \"/bin/test -d /\"",
                "^vrrp_script $name-other / interval 2",
                "^vrrp_script $name-other / weight 0",
                "^vrrp_script $name-other / rise 2",
                "^vrrp_script $name-other / fall 3",
                "^vrrp_script $name-other / user nobody",
            ],
        ),
    ],
    &[
        way("notify any=\"/bin/true\"", &["notify \"/bin/true\" root"]),
        way(
            "notify master=\"/bin/true m\" backup=\"/bin/true b\" fault=\"/bin/true f\" any=\"/bin/true a\" user=\"nobody\"",
            &[
                "notify_master \"/bin/true m\" nobody",
                "notify_backup \"/bin/true b\" nobody",
                "notify_fault \"/bin/true f\" nobody",
                "notify \"/bin/true a\" nobody",
            ],
        ),
    ],
    &[
        way("address \"$251/$length\"", &["virtual_ipaddress / $251/$length$dev", "floating $on $251/$length"]),
        way(
            "address \"$other/$length\" interface=\"eth1\"",
            &["virtual_ipaddress / $other/$length dev eth1", "floating eth1 $other/$length"],
        ),
        way(
            "address \"$251/$length\"\nexclude-from-advert \"$251\"",
            &[
                "virtual_ipaddress_excluded",
                "virtual_ipaddress_excluded / $251/$length$dev",
                "floating $on $251/$length",
            ],
        ),
    ],
    &[way(
        "route \"$network\" via=\"$201\"",
        &["virtual_routes", "virtual_routes / $network via $201 dev eth0", "floating route $network via $201"],
    )],
    &[
        way("raw \"dont_track_primary\"", &["dont_track_primary"]),
        way(
            "raw \"garp_lower_prio_repeat 2\"\nraw \"garp_lower_prio_delay 3\"",
            &["garp_lower_prio_repeat 2", "garp_lower_prio_delay 3"],
        ),
    ],
    &[way("email #true", &["smtp_alert"])],
];

/// Ways of a tracked script that has a weight, which a sync group does not admit.
pub const WEIGHTED: Knob = &[way(
    "script \"$name-weight\" run=\"/bin/false\" weight=-20\ntrack script=\"$name-weight\"",
    &[
        "track_script",
        "track_script / $name-weight",
        "^vrrp_script $name-weight",
        "^vrrp_script $name-weight / script \"/bin/false\"",
        "^vrrp_script $name-weight / interval 1",
        "^vrrp_script $name-weight / weight -20",
        "^vrrp_script $name-weight / rise 1",
        "^vrrp_script $name-weight / fall 1",
        "^vrrp_script $name-weight / user root",
    ],
)];

/// The synchronisation of a failover; facts are the line of `global_defs` after the instance's name.
pub const SYNC_DAEMON: Knob = &[
    way("sync-daemon", &["eth0", "id $id"]),
    way(
        "sync-daemon interface=\"eth1\" id=9 group=\"224.0.0.90\" port=9001 ttl=3 maxlen=1100",
        &["eth1", "id 9 maxlen 1100 port 9001 ttl 3 group 224.0.0.90"],
    ),
];

/// Where mail goes; facts are lines of `global_defs`.
pub const EMAIL: Knob = &[
    way(
        "email to=\"ops@example.org\" from=\"lvs@example.org\" smtp=\"127.0.0.1\"",
        &[
            "notification_email",
            "notification_email / ops@example.org",
            "notification_email_from lvs@example.org",
            "smtp_server 127.0.0.1 25",
            "smtp_connect_timeout 30",
        ],
    ),
    way(
        "email to=\"ops@example.org, net@example.org\" from=\"lvs@example.org\" smtp=\"127.0.0.1:2525\" timeout=\"2s\"",
        &[
            "notification_email",
            "notification_email / ops@example.org",
            "notification_email / net@example.org",
            "notification_email_from lvs@example.org",
            "smtp_server 127.0.0.1 2525",
            "smtp_connect_timeout 2",
        ],
    ),
];

/// Puts the names and addresses of a failover into a text.
pub fn filled(text: &str, six: bool, name: &str) -> String {
    let length = if six { "64" } else { "24" };
    let (other, network) = if six { ("fd00:8::254", "2001:db8:77::/48") } else { ("10.8.0.254", "203.0.113.0/24") };
    let mut text = text.replace("$name", name).replace("$length", length).replace("$other", other);
    text = text.replace("$network", network);
    for number in [201, 251, 16] {
        text = text.replace(&format!("${number}"), &super::site::address(six, number));
    }
    text
}
