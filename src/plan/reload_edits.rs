//! What a reload does to the servers of a virtual server that stays (tried on keepalived 2.2.7).
//!
//! Weight and forwarding are set in place. A check that asks something else starts anew as one that succeeds, unless its
//! virtual server says `alpha`: a server that has failed gets connections again until the new check has failed as well. How often
//! a check asks makes no other check of it, but how long it waits for an answer does.

use std::collections::{BTreeMap, BTreeSet};

use super::reload::ReloadAct;
use crate::effect::DestinationKey;
use crate::kinds::keepalived::Block;

/// What a server gets of its own, with what it gets where it says nothing.
const SETTINGS: [(&str, &str); 2] = [("weight", "weight"), ("lvs_method", "forwarding")];

/// What a real server's block holds beside its checks.
const NO_CHECKS: [&str; 7] =
    ["weight", "lvs_method", "uthreshold", "lthreshold", "inhibit_on_failure", "notify_up", "notify_down"];

/// What of a check may change without making another one of it.
const TIMING: [&str; 4] = ["delay_loop", "retry", "delay_before_retry", "warmup"];

/// Returns what becomes of the servers that a virtual server keeps.
pub(super) fn edits(before: &Block, after: &Block) -> Vec<ReloadAct> {
    let (old, new) = (servers(before), servers(after));
    let both = || old.iter().filter_map(|(key, old)| Some((old, new.get(key)?)));
    let (mut edited, mut settings, mut anew) = (0, BTreeSet::new(), 0);
    for (old, new) in both() {
        let differs = |keyword: &str| words(old, keyword) != words(new, keyword);
        let changed: Vec<&str> =
            SETTINGS.iter().filter(|(keyword, _)| differs(keyword)).map(|(_, name)| *name).collect();
        edited += usize::from(!changed.is_empty());
        settings.extend(changed);
        let (was, is) = (checks(old), checks(new));
        anew += usize::from(!is.is_empty() && was != is);
    }
    let is_alpha = after.child("alpha").is_some();
    let edits = (edited > 0).then_some(ReloadAct::EditsServers(edited, settings));
    edits.into_iter().chain((anew > 0).then_some(ReloadAct::ChecksAnew { servers: anew, is_alpha })).collect()
}

fn servers(service: &Block) -> BTreeMap<DestinationKey, &Block> {
    service.named("real_server").filter_map(|server| Some((server.destination()?, server))).collect()
}

fn words<'a>(server: &'a Block, keyword: &str) -> Option<&'a [String]> {
    server.child(keyword).map(|line| line.words.as_slice())
}

/// Returns what the checks of a server ask, without how often they do.
fn checks(server: &Block) -> Vec<Block> {
    let all = server.children.iter().filter(|child| !NO_CHECKS.contains(&child.name()));
    let asked = |check: &Block| {
        let children = check.children.iter().filter(|line| !TIMING.contains(&line.name())).cloned().collect();
        Block { words: check.words.clone(), children }
    };
    all.map(asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::keepalived::blocks;

    const BEFORE: &str = "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n weight 1\n TCP_CHECK {\n connect_timeout 1\n}\n}\n\
                          real_server 10.0.0.3 80 {\n weight 1\n}\n}\n";

    #[track_caller]
    fn told(from: &str, to: &str, expected: &[&str]) {
        assert!(BEFORE.contains(from), "{from}");
        let after = BEFORE.replace(from, to);
        let edits = edits(&blocks(BEFORE).children[0], &blocks(&after).children[0]);
        assert_eq!(edits.iter().map(|act| format!("{act:?}")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_becomes_of_servers_is_told() {
        told("weight 1", "weight 2", &["EditsServers(2, {\"weight\"})"]);
        told("weight 1\n T", "weight 1\n lvs_method NAT\n T", &["EditsServers(1, {\"forwarding\"})"]);
        told("connect_timeout 1", "connect_timeout 1\n retry 7", &[]);
        told("connect_timeout 1", "connect_timeout 2", &["ChecksAnew { servers: 1, is_alpha: false }"]);
        told("TCP_CHECK", "PING_CHECK", &["ChecksAnew { servers: 1, is_alpha: false }"]);
        told("connect_timeout 1", "connect_port 2", &["ChecksAnew { servers: 1, is_alpha: false }"]);
        told(
            "weight 1\n}",
            "weight 1\n uthreshold 7\n PING_CHECK {\n}\n}",
            &["ChecksAnew { servers: 1, is_alpha: false }"],
        );
        told("TCP_CHECK {\n connect_timeout 1\n}", "", &[]);
    }

    #[test]
    fn a_new_check_leaves_out_what_has_failed_under_alpha() {
        let alpha = |text: &str| blocks(&text.replacen('{', "{\n alpha", 1)).children[0].clone();
        let edits = edits(&alpha(BEFORE), &alpha(&BEFORE.replace("TCP", "PING")));
        assert_eq!(edits, [ReloadAct::ChecksAnew { servers: 1, is_alpha: true }]);
    }
}
