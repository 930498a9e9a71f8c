//! Checks and what they come to: how each is written, and its lines in `keepalived.conf`.

use super::knobs::{Knob, Way};

const fn way(kdl: &'static str, facts: &'static [&'static str]) -> Way {
    Way { kdl, facts }
}

/// The checks; the first fact is the name of the block, the others are lines in it. `ping` and `script` have no port.
pub const CHECKS: Knob = &[
    way("\"tcp\"", &["TCP_CHECK"]),
    way("\"tcp\"", &["TCP_CHECK"]),
    way("\"http\"", &["HTTP_GET", "url", "url / path /"]),
    way(
        "\"http\" path=\"/ok?a=1\" status=204 host=\"www.example.org\" digest=\"0123456789abcdef0123456789abcdef\"",
        &[
            "HTTP_GET",
            "url",
            "url / path /ok?a=1",
            "url / digest 0123456789abcdef0123456789abcdef",
            "url / status_code 204",
            "url / virtualhost www.example.org",
        ],
    ),
    way("\"http\" regex=\"^HTTP\"", &["HTTP_GET", "url", "url / path /", "url / regex ^HTTP"]),
    way(
        "\"https\" path=\"/s\" host=\"www.example.org\" sni=#true status=200",
        &[
            "SSL_GET",
            "url",
            "url / path /s",
            "url / status_code 200",
            "url / virtualhost www.example.org",
            "enable_sni",
        ],
    ),
    way("\"udp\"", &["UDP_CHECK"]),
    way("\"udp\" payload=\"cafe01\" reply=#true", &["UDP_CHECK", "payload cafe01", "require_reply"]),
    way("\"dns\"", &["DNS_CHECK", "type SOA", "name ."]),
    way("\"dns\" name=\"example.org\" type=\"A\"", &["DNS_CHECK", "type A", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"NS\"", &["DNS_CHECK", "type NS", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"CNAME\"", &["DNS_CHECK", "type CNAME", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"SOA\"", &["DNS_CHECK", "type SOA", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"MX\"", &["DNS_CHECK", "type MX", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"TXT\"", &["DNS_CHECK", "type TXT", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"AAAA\"", &["DNS_CHECK", "type AAAA", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"RRSIG\"", &["DNS_CHECK", "type RRSIG", "name example.org"]),
    way("\"dns\" name=\"example.org\" type=\"DNSKEY\"", &["DNS_CHECK", "type DNSKEY", "name example.org"]),
    way("\"smtp\"", &["SMTP_CHECK"]),
    way("\"smtp\" helo=\"lb.example.org\"", &["SMTP_CHECK", "helo_name lb.example.org"]),
    way("\"ping\"", &["PING_CHECK"]),
    way("\"ping\"", &["PING_CHECK"]),
    way("\"script\" run=\"/bin/true\"", &["MISC_CHECK", "misc_path /bin/true", "user root"]),
    way(
        "\"script\" run=\"/bin/test -d /nowhere\" user=\"nobody\"",
        &["MISC_CHECK", "misc_path \"/bin/test -d /nowhere\"", "user nobody"],
    ),
];

/// When checks run: interval, timeout, further tries, and the time between those; 0 where nothing is written.
pub const TIMES: &[(u32, u32, Option<u32>, u32)] = &[
    (1, 1, Some(0), 0),
    (1, 1, Some(0), 0),
    (2, 1, Some(0), 0),
    (1, 2, Some(1), 2),
    (1, 1, Some(2), 1),
    (0, 0, None, 0),
];

/// What is written of a check's time where nothing is: interval, timeout, further tries, time between.
pub const USUAL: (u32, u32, u32, u32) = (5, 3, 2, 1);

/// The quorum; facts are lines of the `virtual_server`. The weight and hysteresis stand before.
pub const TOLD: Knob = &[
    way("", &[]),
    way("up=\"/bin/true up\"", &["up \"/bin/true up\" root"]),
    way("down=\"/bin/true\" user=\"nobody\"", &["down \"/bin/true\" nobody"]),
    way(
        "up=\"/bin/true a\" down=\"/bin/true b\" user=\"nobody\"",
        &["up \"/bin/true a\" nobody", "down \"/bin/true b\" nobody"],
    ),
];
