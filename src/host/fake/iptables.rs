//! The tables of one family as `iptables-restore --noflush` changes them and `iptables-save` prints them.
//!
//! A rule is its text. A table is changed as a whole at its `COMMIT`, or not at all.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::host::HostError;
use crate::topology::Family;

/// The tables with their own chains, each of which starts with the policy ACCEPT.
const TABLES: [(&str, &[&str]); 4] = [
    ("raw", &["PREROUTING", "OUTPUT"]),
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("mangle", &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
];

/// Targets that are no chains.
const TARGETS: [&str; 13] = [
    "ACCEPT",
    "DROP",
    "RETURN",
    "MARK",
    "REDIRECT",
    "DNAT",
    "SNAT",
    "MASQUERADE",
    "CONNMARK",
    "LOG",
    "CT",
    "SYNPROXY",
    "TCPMSS",
];

/// The tables that somebody has touched.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    tables: BTreeMap<String, Vec<Chain>>,
}

#[derive(Clone, Debug)]
struct Chain {
    name: String,
    /// `-` for one that somebody made.
    policy: String,
    rules: Vec<String>,
}

impl Rules {
    /// Prints every table.
    pub(super) fn save(&self) -> String {
        let mut text = String::new();
        for (name, chains) in &self.tables {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "*{name}");
            for chain in chains {
                let _ = writeln!(text, ":{} {} [0:0]", chain.name, chain.policy);
            }
            for chain in chains {
                chain.rules.iter().for_each(|rule| {
                    let _ = writeln!(text, "-A {} {rule}", chain.name);
                });
            }
            text.push_str("COMMIT\n");
        }
        text
    }

    /// Performs the lines of a restore.
    pub(super) fn restore(&mut self, family: Family, text: &str) -> Result<(), HostError> {
        let program = match family {
            Family::Ipv4 => "iptables-restore",
            Family::Ipv6 => "ip6tables-restore",
        };
        let mut open: Option<(String, Vec<Chain>)> = None;
        for (number, line) in text.lines().map(str::trim).enumerate() {
            let failed = |why: &str| HostError::Program {
                doing: "change the rules".into(),
                program: program.into(),
                exit: "exit status 2".into(),
                text: format!("{program}: {why}\nError occurred at line: {}", number + 1),
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            } else if let Some(name) = line.strip_prefix('*') {
                let chains = self.tables.get(name).cloned().or_else(|| fresh(name));
                open = Some((name.to_owned(), chains.ok_or_else(|| failed("no such table"))?));
            } else if line == "COMMIT" {
                let (name, chains) = open.take().ok_or_else(|| failed("COMMIT expected no table"))?;
                self.tables.insert(name, chains);
            } else {
                let (_, chains) = open.as_mut().ok_or_else(|| failed("no table"))?;
                perform(chains, line).map_err(|why| failed(&why))?;
            }
        }
        Ok(())
    }
}

fn fresh(table: &str) -> Option<Vec<Chain>> {
    let (_, names) = TABLES.iter().find(|(name, _)| *name == table)?;
    let chain = |name: &&str| Chain { name: (*name).to_owned(), policy: "ACCEPT".into(), rules: Vec::new() };
    Some(names.iter().map(chain).collect())
}

fn perform(chains: &mut Vec<Chain>, line: &str) -> Result<(), String> {
    if let Some(declared) = line.strip_prefix(':') {
        let mut words = declared.split_whitespace();
        let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or("-"));
        match chains.iter_mut().find(|chain| chain.name == name) {
            Some(chain) if chain.policy == "-" => chain.rules.clear(),
            Some(chain) if policy != "-" => chain.policy = policy.to_owned(),
            Some(_) => {}
            None => chains.push(Chain { name: name.into(), policy: "-".into(), rules: Vec::new() }),
        }
        return Ok(());
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (name, rule) = rest.trim().split_once(' ').map_or((rest.trim(), ""), |(name, rule)| (name, rule.trim()));
    match verb {
        "-N" if chains.iter().any(|chain| chain.name == name) => Err("Chain already exists.".into()),
        "-N" => {
            chains.push(Chain { name: name.into(), policy: "-".into(), rules: Vec::new() });
            Ok(())
        }
        "-X" => delete(chains, name),
        "-A" | "-I" | "-D" => {
            check_target(chains, rule)?;
            change(find(chains, name)?, verb, rule)
        }
        "-F" => {
            find(chains, name)?.rules.clear();
            Ok(())
        }
        other => Err(format!("unknown option {other:?}")),
    }
}

fn change(chain: &mut Chain, verb: &str, rule: &str) -> Result<(), String> {
    let (first, after) = rule.split_once(' ').unwrap_or((rule, ""));
    let number = first.parse::<usize>().ok();
    match (verb, number) {
        ("-A", _) => chain.rules.push(rule.to_owned()),
        ("-I", Some(number)) if (1..=chain.rules.len() + 1).contains(&number) => {
            chain.rules.insert(number - 1, after.trim().to_owned());
        }
        ("-I", Some(_)) => return Err("Index of insertion too big.".into()),
        ("-I", None) => chain.rules.insert(0, rule.to_owned()),
        (_, number) => {
            let by_number = number.and_then(|number| number.checked_sub(1)).filter(|place| *place < chain.rules.len());
            let place = by_number.or_else(|| chain.rules.iter().position(|held| held == rule));
            chain.rules.remove(place.ok_or("Bad rule (does a matching rule exist in that chain?).")?);
        }
    }
    Ok(())
}

fn delete(chains: &mut Vec<Chain>, name: &str) -> Result<(), String> {
    let chain = find(chains, name)?;
    if chain.policy != "-" {
        return Err("Invalid argument".into());
    }
    if !chain.rules.is_empty() {
        return Err("Directory not empty".into());
    }
    if chains.iter().flat_map(|chain| &chain.rules).any(|rule| target(rule) == Some(name)) {
        return Err("Too many links".into());
    }
    chains.retain(|chain| chain.name != name);
    Ok(())
}

fn find<'a>(chains: &'a mut [Chain], name: &str) -> Result<&'a mut Chain, String> {
    chains.iter_mut().find(|chain| chain.name == name).ok_or_else(|| "No chain/target/match by that name.".to_owned())
}

fn check_target(chains: &[Chain], rule: &str) -> Result<(), String> {
    match target(rule) {
        Some(name) if !TARGETS.contains(&name) && chains.iter().all(|chain| chain.name != name) => {
            Err(format!("Couldn't load target `{name}'"))
        }
        _ => Ok(()),
    }
}

fn target(rule: &str) -> Option<&str> {
    let mut words = rule.split_whitespace();
    words.by_ref().find(|word| *word == "-j")?;
    words.next()
}
