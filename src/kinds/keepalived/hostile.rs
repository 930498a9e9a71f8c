//! No text of an operator gets out of its place in `keepalived.conf`.

use proptest::prelude::ProptestConfig;

use super::tests::{compiled, failover, text};
use crate::resource::Resource;
use crate::topology::fixture::*;
use crate::topology::{CheckKind, DnsCheck, HttpCheck, Script, ScriptCheck, Secret, Topology, VipHolder};

/// Each case is one text in one of this many fields.
const FIELDS: usize = 19;

/// Two hundred texts a field.
const CASES: u32 = 200 * FIELDS as u32;

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// Whatever stands in a field of the topology, the file keeps its lines, and every value is where it belongs.
    #[test]
    fn no_text_breaks_out_of_its_place(
        hostile in "(?s)([a-z/@~$_]|SEQ|[{}!#\"'\\\\\n\r\t ;=\u{0}\u{85}\u{2028}é]){0,12}",
        field in 0..FIELDS,
    ) {
        let mut harmless = full_site();
        set_field(&mut harmless, field, "plain");
        let plain = text(&harmless, "lb01");
        let mut topology = full_site();
        set_field(&mut topology, field, &hostile);
        let (entries, problems) = compiled(&topology, "lb01");
        if problems.has_errors() {
            return Ok(());
        }
        let Resource::File { text, .. } = &entries[0].resource else { panic!() };
        let shown = text.expose().unwrap();
        assert_eq!(shown.lines().count(), plain.lines().count(), "{shown}");
        for (line, like) in shown.lines().zip(plain.lines()) {
            let (words, pattern) = (words(line).unwrap(), words(like).unwrap());
            assert_eq!(words.len(), pattern.len(), "{line}");
            for (word, like) in words.iter().zip(&pattern) {
                assert!(word == like || *word == hostile, "{word:?} in {line:?} instead of {like:?}");
            }
        }
    }
}

/// Returns the reference site with the words that it does without.
fn full_site() -> Topology {
    let mut topology = reference_site();
    let options = &mut failover(&mut topology).options;
    options.tracked_interfaces = vec![at("eth1".into())];
    options.tracked_scripts = vec![at("chk".into())];
    options.scripts = vec![Script {
        name: at("chk".into()),
        run: at("/bin/true".into()),
        interval: std::time::Duration::from_secs(1),
        weight: at(0),
        rise: 1,
        fall: 1,
        user: "nobody".into(),
    }];
    options.notify.any = Some(at("/bin/true".into()));
    topology
}

/// Puts a text where an operator's own words can stand.
fn set_field(topology: &mut Topology, field: usize, text: &str) {
    let page = |topology: &mut Topology, change: &dyn Fn(&mut HttpCheck)| {
        let services = topology.vips.values_mut().flat_map(|vip| &mut vip.services);
        for check in services.flat_map(|service| &mut service.servers).filter_map(|server| server.check.as_mut()) {
            if let CheckKind::Http(page) | CheckKind::Https(page) = &mut check.kind {
                change(page);
            }
        }
    };
    let kind = |topology: &mut Topology, kind: CheckKind| {
        let services = topology.vips.values_mut().flat_map(|vip| &mut vip.services);
        for check in services.flat_map(|service| &mut service.servers).filter_map(|server| server.check.as_mut()) {
            check.kind = kind.clone();
        }
    };
    match field {
        7 => page(topology, &|page| page.regex = Some(text.into())),
        8 => kind(topology, CheckKind::Script(ScriptCheck { run: text.into(), user: "nobody".into() })),
        9 => kind(topology, CheckKind::Script(ScriptCheck { run: "/bin/true".into(), user: text.into() })),
        10 => kind(topology, CheckKind::Dns(DnsCheck { name: text.into(), record: "A".into() })),
        11 => kind(topology, CheckKind::Smtp(Some(text.into()))),
        12 => page(topology, &|page| page.digest = Some(text.into())),
        0 => page(topology, &|page| page.path = text.into()),
        1 => page(topology, &|page| page.host = Some(text.into())),
        2 => topology.email.as_mut().unwrap().value.to = vec![text.into()],
        3 => topology.email.as_mut().unwrap().value.from = text.into(),
        4 => topology.email.as_mut().unwrap().value.smtp = text.into(),
        5 => failover(topology).auth_pass = Some(at(Secret::Literal(text.into()))),
        6 => failover(topology).interface = Some(at(text.into())),
        13 => failover(topology).options.tracked_interfaces = vec![at(text.into())],
        14 => failover(topology).options.scripts[0].run = at(text.into()),
        15 => failover(topology).options.scripts[0].user = text.into(),
        16 => failover(topology).options.notify.any = Some(at(text.into())),
        17 => failover(topology).options.notify.user = Some(text.into()),
        _ => {
            let mut group = topology.failovers.remove("ext").unwrap();
            group.name = at(text.into());
            topology.failovers.insert(text.into(), group);
            topology.vips.values_mut().for_each(|vip| vip.holder = VipHolder::Failover(at(text.into())));
        }
    }
}

/// Splits a line as keepalived does: at spaces outside quotes, up to a comment outside quotes.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), line.trim_start_matches(' '));
    while !rest.is_empty() && !rest.starts_with(['#', '!']) {
        let (word, after) = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"')?,
            None => rest.split_at(rest.find([' ', '#', '!']).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start_matches(' ');
    }
    Some(words)
}
