//! The same state after a reboot: files for the host's own tools, and a unit of systemd that runs them.
//!
//! Nothing of lvsctl is needed at boot. `restore.sh` is the same everywhere and holds no text of a topology; it reads the
//! files beside it, each in the form of one tool. What they say follows from everything else that is desired on a host, so
//! they are not compiled from the topology but from the desired state, by [`add`], and all of them are one thing of a plan.
//! To have a further sort of thing restored, add a file to `resource::BootFile`, its text to `render` and its step to
//! `restore.sh`.

mod render;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{Context, Kind, ParseError, Scope, Site};
use crate::effect::{Answer, BOOT_PROGRAMS, Capabilities, Effect, Probe};
use crate::resource::{BootContent, BootFile, Change, Entry, HostState, Resource, ResourceKey};
use crate::source::{Problem, Problems};
use crate::topology::{Host, SecretText};

pub use render::{modules, offloads, sysctls, timeouts};

/// The mode of what is read, and of what is run.
const MODE: u32 = 0o644;
const SCRIPT_MODE: u32 = 0o755;

/// The files of a host, those of them that it has.
type Files = BTreeMap<BootFile, BootContent>;

/// The kind of the files that restore a host.
#[derive(Clone, Copy, Debug)]
pub struct BootKind;

/// Puts the files into the desired state of a host, or brings them up to date when something else of it was altered.
/// There are none where nothing is to be restored.
pub fn add(host: &Host, state: &mut HostState) {
    let key = ResourceKey::BootFiles;
    state.remove(&key);
    if !state.is_empty() {
        let files = Resource::BootFiles(files(state));
        state.insert(key.clone(), Entry::new(key, files).origin(host.name.span));
    }
}

/// Reports the programs that the files of a host need at boot and that it does not have: lvsctl itself does without them.
pub fn missing_programs(host: &Host, state: &HostState, capabilities: &Capabilities, problems: &mut Problems) {
    let Some(Resource::BootFiles(files)) = state.get(&ResourceKey::BootFiles).map(|entry| &entry.resource) else {
        return;
    };
    let is_needed = |program: &str| files.keys().any(|file| programs(*file).contains(&program));
    let is_missing = |program: &str| capabilities.missing_boot_programs.iter().any(|missing| missing == program);
    let needed: Vec<(&str, &str)> =
        BOOT_PROGRAMS.into_iter().filter(|(program, _)| is_needed(program) && is_missing(program)).collect();
    if needed.is_empty() {
        return;
    }
    let list =
        |pick: fn(&(&str, &str)) -> String, between: &str| needed.iter().map(pick).collect::<Vec<_>>().join(between);
    let names = list(|(program, _)| (*program).to_owned(), ", ");
    let packages = list(|(_, package)| (*package).to_owned(), " ");
    let message = format!("After a reboot {} comes back only in part: it lacks {names}", host.name.value);
    problems.push(
        Problem::warning("boot-programs", message)
            .label(host.name.span, "its state is restored with its own programs")
            .help(format!("apt-get install {packages}")),
    );
}

/// Returns the programs that read a file.
fn programs(file: BootFile) -> &'static [&'static str] {
    match file {
        BootFile::Modules => &["modprobe"],
        BootFile::Parameters => &["sysctl"],
        BootFile::Ipvs => &["ipvsadm", "awk"],
        BootFile::Timeouts | BootFile::SyncDaemons => &["ipvsadm"],
        BootFile::Offloads => &["ethtool"],
        BootFile::Links | BootFile::FouPorts | BootFile::Addresses | BootFile::Routes => &["ip"],
        // Of these nothing but iptables is needed, which lvsctl needs as well.
        BootFile::Iptables | BootFile::Ip6tables | BootFile::Jumps => &[],
        BootFile::Script | BootFile::Unit | BootFile::Enablement => &[],
    }
}

fn files(state: &HostState) -> Files {
    let texts = BootFile::ALL.into_iter().filter_map(|file| {
        let text = render::content(file, state);
        let mode = if file == BootFile::Script { SCRIPT_MODE } else { MODE };
        (!text.is_empty()).then_some((file, BootContent::File { text, mode }))
    });
    let unit = BootContent::Link { target: BootFile::Unit.path().to_owned() };
    texts.chain([(BootFile::Enablement, unit)]).collect()
}

fn of(resource: Option<&Resource>) -> Files {
    match resource {
        Some(Resource::BootFiles(files)) => files.clone(),
        _ => Files::new(),
    }
}

/// Returns the files that a change overwrites although lvsctl did not write them, as far as their text shows.
pub fn foreign(change: &Change) -> impl Iterator<Item = BootFile> {
    let (before, after) = (of(change.before.as_ref()), of(change.after.as_ref()));
    before.into_iter().filter_map(move |(file, content)| {
        let is_replaced = after.get(&file).is_some_and(|after| *after != content);
        (is_replaced && file.is_foreign(&content)).then_some(file)
    })
}

/// Returns what puts one of the files back as it was.
pub fn put_back(path: &str, files: &Files) -> Effect {
    let before = files.iter().find(|(file, _)| file.path() == path);
    before.map_or_else(|| Effect::RemoveFile { path: path.to_owned() }, |(file, content)| write(*file, content, false))
}

fn write(file: BootFile, content: &BootContent, keep_previous: bool) -> Effect {
    let path = file.path().to_owned();
    match content {
        BootContent::File { text, mode } => Effect::WriteFile {
            path,
            text: SecretText::plain(text),
            mode: *mode,
            keepalived_test: false,
            keep_previous,
        },
        BootContent::Link { target } => Effect::WriteLink { path, target: target.clone() },
    }
}

impl Kind for BootKind {
    fn name(&self) -> &'static str {
        "boot"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::BootFiles)
    }

    fn compile(&self, _site: &Site<'_>, _host: &Host, _problems: &mut Problems) -> Vec<Entry> {
        Vec::new()
    }

    /// Asks for every file, because one that is no longer needed is to go.
    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let probe = |file: BootFile| match file {
            BootFile::Enablement => Probe::Link(file.path().to_owned()),
            _ => Probe::File(file.path().to_owned()),
        };
        match scope.keys.contains(&ResourceKey::BootFiles) {
            true => BootFile::ALL.into_iter().map(probe).collect(),
            false => Vec::new(),
        }
    }

    fn parse(&self, _scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        let mut files = Files::new();
        for answer in answers {
            let (path, content) = match answer {
                Answer::File(path, file) => {
                    let content = |text: &str, mode| BootContent::File { text: text.to_owned(), mode };
                    (path, file.as_ref().map(|file| content(&file.text, file.mode)))
                }
                Answer::Link(path, target) => {
                    (path, target.as_ref().map(|target| BootContent::Link { target: target.clone() }))
                }
                _ => return Err(ParseError { kind: self.name(), message: "expected a file or a link".into() }),
            };
            let file = BootFile::ALL.into_iter().find(|file| file.path() == path);
            files.extend(file.zip(content));
        }
        let is_there = !files.is_empty();
        Ok(is_there.then(|| Entry::new(ResourceKey::BootFiles, Resource::BootFiles(files))).into_iter().collect())
    }

    fn effects(&self, change: &Change, context: &Context<'_>) -> Vec<Effect> {
        let (before, after) = (of(change.before.as_ref()), of(change.after.as_ref()));
        let kept: Vec<BootFile> = foreign(change).collect();
        let differing: Vec<BootFile> =
            BootFile::ALL.into_iter().filter(|file| before.get(file) != after.get(file)).collect();
        let mut effects: Vec<Effect> = differing
            .iter()
            .map(|file| match after.get(file) {
                Some(content) => write(*file, content, kept.contains(file)),
                None => Effect::RemoveFile { path: file.path().to_owned() },
            })
            .collect();
        let is_unit = differing.iter().any(|file| matches!(file, BootFile::Unit | BootFile::Enablement));
        if is_unit && context.capabilities.systemd {
            effects.push(Effect::ReloadUnits);
        }
        effects
    }
}
