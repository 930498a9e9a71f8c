//! iptables by its own programs: `iptables-save` to read, `iptables-restore --noflush` to change.
//!
//! Two kernels' worth of rules hide behind one name. Which one the operator's `iptables` means is told by the file that
//! it is a link to, without running it: the nf_tables one loads modules even to print its version. Where the kernel
//! cannot do nf_tables after all, `iptables-legacy` is taken. Nothing here ever passes `-t` to `iptables-save`, because
//! that would make the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{HostError, module, program};
use crate::effect::IptablesVariant;
use crate::topology::Family;

/// How long a program may take; it waits for another one's lock at most half of it.
const WITHIN: Duration = Duration::from_secs(30);
const LOCK_SECONDS: &str = "15";

/// The module whose half of the kernel the newer programs speak to.
const NF_TABLES: &str = "nf_tables";

/// What an nf_tables program prints where the kernel lacks its half.
const NO_NFT: &str = "Failed to initialize nft";

/// Tells which iptables is in use, if any is installed.
pub(super) fn variant(family: Family) -> Option<IptablesVariant> {
    let path = program::find(name(family))?;
    let path = fs::canonicalize(&path).unwrap_or(path);
    let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
    if file.contains("legacy") {
        return Some(IptablesVariant::Legacy);
    }
    if file.contains("nft") && module::is_loadable(NF_TABLES) {
        return Some(IptablesVariant::Nft);
    }
    // Every look at the rules asks, on every host of a laboratory; the answer is the program's and the kernel's.
    type Known = BTreeMap<(Family, PathBuf, bool), IptablesVariant>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let key = (family, path, module::is_present(NF_TABLES));
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(variant) = known().get(&key) {
        return Some(*variant);
    }
    let variant = asked(family)?;
    known().insert(key, variant);
    Some(variant)
}

/// Asks the program itself, which fails where the kernel lacks its half.
fn asked(family: Family) -> Option<IptablesVariant> {
    let version = program::run("ask for the version", name(family), &[&"--version"], None, WITHIN).ok()?;
    if !version.is_complete {
        return None;
    }
    match (version.text().contains("nf_tables"), version.status.success()) {
        (true, true) => Some(IptablesVariant::Nft),
        (_, false) if has_legacy(family) => Some(IptablesVariant::Legacy),
        (_, false) => None,
        (false, true) => Some(IptablesVariant::Legacy),
    }
}

/// Returns what `iptables-save` prints, empty where no table is.
pub(super) fn save(family: Family) -> Result<String, HostError> {
    let doing = format!("read the rules of {}", name(family));
    let saved = match variant(family) {
        // One that is installed and does not work has rules that nobody can see.
        None if program::find(name(family)).is_some() => return Err(unusable(&doing, family)),
        None => return Ok(String::new()),
        // Where the kernel's half is not loaded there are no rules, and asking would load it.
        Some(IptablesVariant::Nft) if module::is_loadable(NF_TABLES) => return Ok(String::new()),
        Some(IptablesVariant::Legacy) if !has_tables(family)? => return Ok(String::new()),
        Some(variant) => tool(family, variant, "save"),
    };
    let text = program::succeed(&doing, &saved, &[], None, WITHIN)?;
    Ok(without_times(&text))
}

fn unusable(doing: &str, family: Family) -> HostError {
    let text =
        "it is installed, and neither its legacy variant nor its nf_tables variant works with this kernel".into();
    HostError::Program { doing: doing.into(), program: name(family).into(), exit: "an error".into(), text }
}

/// Tells whether somebody has rules in x_tables while the host's programs mean nf_tables.
pub(super) fn has_legacy_rules() -> Result<bool, HostError> {
    for family in [Family::Ipv4, Family::Ipv6] {
        // Asking `iptables-legacy-save` where there is no table makes none, and is spared all the same.
        let is_hidden = variant(family) == Some(IptablesVariant::Nft) && has_tables(family)? && has_legacy(family);
        if !is_hidden {
            continue;
        }
        let program = legacy(family, "save");
        let text = program::succeed(&format!("read the rules of {program}"), &program, &[], None, WITHIN)?;
        if text.lines().any(|line| line.starts_with("-A ")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes out the comments: they hold the time of day, and the same question is to have the same answer.
///
/// Those about a whole table stay, because such a table looks empty and is not (`__do_output` in
/// `iptables/xtables-save.c`).
fn without_times(text: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with('#') || line.starts_with("# Table `");
    text.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect()
}

/// Feeds a text to `iptables-restore --noflush`.
pub(super) fn restore(family: Family, text: &str) -> Result<(), HostError> {
    let doing = format!("change the rules of {}", name(family));
    let variant = variant(family).unwrap_or(IptablesVariant::Legacy);
    let run = |program: &str| {
        let arguments: [&dyn AsRef<std::ffi::OsStr>; 3] = [&"--noflush", &"-w", &LOCK_SECONDS];
        program::run(&doing, program, &arguments, Some(text), WITHIN)
    };
    let mut program = tool(family, variant, "restore");
    let mut output = run(&program)?;
    if variant == IptablesVariant::Nft && output.stderr.contains(NO_NFT) && has_legacy(family) {
        program = legacy(family, "restore");
        output = run(&program)?;
    }
    if output.status.success() { Ok(()) } else { Err(program::failure(&doing, &program, &output)) }
}

/// Tells whether the kernel has any legacy table in this namespace.
fn has_tables(family: Family) -> Result<bool, HostError> {
    let path = match family {
        Family::Ipv4 => "/proc/thread-self/net/ip_tables_names",
        Family::Ipv6 => "/proc/thread-self/net/ip6_tables_names",
    };
    match fs::read_to_string(path) {
        Ok(names) => Ok(!names.trim().is_empty()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(HostError::file("read", path, &error)),
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// Returns the name of a program of a variant: the plain one where that is the variant that it means.
fn tool(family: Family, variant: IptablesVariant, what: &str) -> String {
    let plain = format!("{}-{what}", name(family));
    let means_legacy = program::find(&plain)
        .and_then(|path| fs::canonicalize(path).ok())
        .is_none_or(|path| !path.to_string_lossy().contains("nft"));
    if variant == IptablesVariant::Legacy && !means_legacy { legacy(family, what) } else { plain }
}

fn legacy(family: Family, what: &str) -> String {
    format!("{}-legacy-{what}", name(family))
}

fn has_legacy(family: Family) -> bool {
    program::find(&legacy(family, "save")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_be_shown_is_not_taken_for_an_empty_one() {
        let told = "# Table `nat' is incompatible, use 'nft' tool.\n";
        let text =
            format!("# Generated by iptables-nft-save v1.8.9 on Sat\n{told}*mangle\nCOMMIT\n# Completed on Sat\n");
        assert_eq!(without_times(&text), format!("{told}*mangle\nCOMMIT\n"));
    }
}
