//! Makes the scripts that instances track, and the programs that are told of a change of state.
//!
//! Each names its user: without one keepalived takes `keepalived_script`, and complains where there is no such user.

use super::build::word;
use super::model::{StateNotify, VrrpScript};
use super::quote::Word;
use crate::kinds::Site;
use crate::source::{Problems, Spanned};
use crate::topology::{self, Host};

/// Who runs what names nobody.
const ROOT: &str = "root";

/// Makes the scripts of all failovers of a director; failovers that name the same script share it.
pub(super) fn scripts(site: &Site<'_>, host: &Host, problems: &mut Problems) -> Option<Vec<VrrpScript>> {
    let mut all: Vec<&topology::Script> = Vec::new();
    for failover in site.topology.failovers_of(&host.name.value) {
        for script in &failover.options.scripts {
            if all.iter().all(|other| other.name.value != script.name.value) {
                all.push(script);
            }
        }
    }
    let made: Vec<_> = all.into_iter().map(|one| script(one, problems)).collect();
    made.into_iter().collect()
}

fn script(script: &topology::Script, problems: &mut Problems) -> Option<VrrpScript> {
    let name = word(Word::solid(&script.name.value), "script's name", script.name.span, problems);
    let run = word(Word::new(&script.run.value), "script", script.run.span, problems);
    let user = word(Word::solid(&script.user), "script's user", script.name.span, problems);
    Some(VrrpScript {
        name: name?,
        run: run?,
        interval: script.interval,
        weight: script.weight.value,
        rise: script.rise,
        fall: script.fall,
        user: user?,
    })
}

/// Makes the lines that name programs to be told.
pub(super) fn notify(notify: &topology::StateNotify, problems: &mut Problems) -> Option<Vec<StateNotify>> {
    let topology::StateNotify { master, backup, fault, any, user } = notify;
    let user = user.as_deref().unwrap_or(ROOT);
    let programs: [(&'static str, &Option<Spanned<String>>); 4] =
        [("notify_master", master), ("notify_backup", backup), ("notify_fault", fault), ("notify", any)];
    let mut lines = Vec::new();
    for (keyword, program) in programs {
        let Some(program) = program else { continue };
        let run = word(Word::new(&program.value), "program", program.span, problems)?;
        let user = word(Word::solid(user), "program's user", program.span, problems)?;
        lines.push(StateNotify { keyword, run, user });
    }
    Some(lines)
}
