//! The options with which the kernel loads modules: the size of IPVS's connection table.
//!
//! They are a file for modprobe.d(5) and take effect when the module is loaded, which is at once where it is not there yet.
//! A loaded module keeps its table; the plan then says so for as long as the two differ.

use super::{Context, Kind, ParseError, Scope, Site, ids, module};
use crate::effect::{Answer, Capabilities, Effect, Probe};
use crate::resource::{Action, Change, Entry, HostState, Reason, Resource, ResourceKey};
use crate::source::{Problem, Problems, Spanned};
use crate::topology::{Host, SecretText};

/// Where the options are.
pub const PATH: &str = "/etc/modprobe.d/lvsctl.conf";
const MODE: u32 = 0o644;

/// What stands before the number in the file.
const OPTION: &str = "options ip_vs conn_tab_bits=";

/// The most bits that every kernel takes; an older one with less room takes what it was built with (`ip_vs_conn_init`).
const MOST_OF_ALL: u8 = 20;

/// Since which kernel the table may be larger. Later releases of some older ones have it as well: 6.1.176 was seen to.
const SINCE: (u32, u32) = (6, 5);

/// Warns of a table that the host's kernel may not make, unless it has made it.
fn warn_of_size(site: &Site<'_>, host: &Host, bits: &Spanned<u8>, problems: &mut Problems) {
    let Some(facts) = site.facts.get(&host.name.value) else { return };
    let is_old = facts.kernel_version().is_some_and(|version| version < SINCE);
    if bits.value > MOST_OF_ALL && is_old && facts.connection_table_bits != Some(bits.value.into()) {
        let (name, release) = (&host.name.value, &facts.kernel);
        let message =
            format!("The kernel of {name}, Linux {release}, may take no connection table of {} bits", bits.value);
        problems.push(
            Problem::warning("connection-table-too-large", message)
                .label(bits.span, "it would take the size that it was built with instead")
                .help(format!(
                    "Use at most {MOST_OF_ALL}; Linux {}.{} and later take up to 27, earlier ones only where that was added",
                    SINCE.0, SINCE.1
                )),
        );
    }
}

/// The kind of modules' options.
#[derive(Clone, Copy, Debug)]
pub struct ModuleOptionsKind;

/// Says that a loaded module has another table than its options ask for, if that is so.
pub fn waits_for_load(desired: &HostState, observed: &HostState, capabilities: &Capabilities) -> Option<String> {
    let entry = desired.get(&ResourceKey::ModuleOptions)?;
    let Resource::File { text, .. } = &entry.resource else { return None };
    let text = text.masked();
    let wanted: u32 = text.lines().find_map(|line| line.strip_prefix(OPTION))?.trim().parse().ok()?;
    let is_loaded = observed.contains_key(&ids::module_key(module::IP_VS));
    let live = capabilities.connection_table_bits.filter(|live| is_loaded && *live != wanted)?;
    Some(format!("{wanted} bits take effect when ip_vs is next loaded; now it has {live}"))
}

impl Kind for ModuleOptionsKind {
    fn name(&self) -> &'static str {
        "module-options"
    }

    fn owns(&self, key: &ResourceKey) -> bool {
        matches!(key, ResourceKey::ModuleOptions)
    }

    fn compile(&self, site: &Site<'_>, host: &Host, problems: &mut Problems) -> Vec<Entry> {
        let bits = host.tuning.connection_table_bits.as_ref().filter(|_| host.managed);
        bits.into_iter().for_each(|bits| warn_of_size(site, host, bits, problems));
        let entry = bits.map(|bits| {
            let text = SecretText::plain(format!("# Written by lvsctl\n{OPTION}{}\n", bits.value));
            Entry::new(ResourceKey::ModuleOptions, Resource::File { text, mode: MODE }).origin(bits.span)
        });
        entry.into_iter().collect()
    }

    fn probes(&self, scope: &Scope<'_>) -> Vec<Probe> {
        let asked = scope.keys.contains(&ResourceKey::ModuleOptions);
        asked.then(|| Probe::File(PATH.to_owned())).into_iter().collect()
    }

    fn parse(&self, _scope: &Scope<'_>, answers: &[Answer]) -> Result<Vec<Entry>, ParseError> {
        match answers.first() {
            Some(Answer::File(_, Some(file))) => {
                let resource = Resource::File { text: SecretText::plain(&file.text), mode: file.mode };
                Ok(vec![Entry::new(ResourceKey::ModuleOptions, resource)])
            }
            Some(Answer::File(_, None)) | None => Ok(Vec::new()),
            Some(_) => Err(ParseError { kind: self.name(), message: "expected a file".into() }),
        }
    }

    fn effects(&self, change: &Change, _context: &Context<'_>) -> Vec<Effect> {
        let path = PATH.to_owned();
        match (change.action, &change.after) {
            (Action::Delete, _) => vec![Effect::RemoveFile { path }],
            (_, Some(Resource::File { text, mode })) => vec![Effect::WriteFile {
                path,
                text: text.clone(),
                mode: *mode,
                keepalived_test: false,
                keep_previous: change.reason == Reason::Adopted,
            }],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::fixture::*;
    use crate::topology::HostName;
    use crate::topology::fixture::{at, reference_site};

    #[test]
    fn the_file_comes_before_the_module_and_a_loaded_one_waits() {
        let mut topology = reference_site();
        let director = topology.hosts.get_mut(&HostName::new("lb01")).unwrap();
        director.tuning.connection_table_bits = Some(at(20));
        let (entries, _) = compile(&ModuleOptionsKind, &topology, &Facts::new(), "lb01");
        let Resource::File { text, mode } = &entries[0].resource else { panic!("{entries:?}") };
        assert_eq!((text.masked().as_str(), *mode), ("# Written by lvsctl\noptions ip_vs conn_tab_bits=20\n", 0o644));
        let (modules, _) = compile(&module::ModuleKind, &topology, &Facts::new(), "lb01");
        assert_eq!(required(&modules[0]), ["lb01/module-options"]);
        let desired: HostState = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let module = ids::module_key(module::IP_VS);
        let loaded = HostState::from([(module.clone(), Entry::new(module, Resource::Module))]);
        let with = |bits| Capabilities { connection_table_bits: bits, ..Capabilities::default() };
        assert_eq!(waits_for_load(&desired, &loaded, &with(Some(20))), None);
        assert_eq!(waits_for_load(&desired, &HostState::new(), &with(Some(12))), None);
        let waits = waits_for_load(&desired, &loaded, &with(Some(12))).unwrap();
        assert_eq!(waits, "20 bits take effect when ip_vs is next loaded; now it has 12");
    }

    #[test]
    fn a_table_that_the_kernel_may_not_make_is_warned_of() {
        let mut topology = reference_site();
        let mut warned = |bits, kernel: &str| {
            let director = topology.hosts.get_mut(&HostName::new("lb01")).unwrap();
            director.tuning.connection_table_bits = Some(at(bits));
            let (kernel, live) = kernel.split_once(' ').unwrap_or((kernel, "12"));
            let (kernel, connection_table_bits) = (kernel.to_owned(), live.parse().ok());
            let facts = Capabilities { kernel, connection_table_bits, ..Capabilities::default() };
            let facts = Facts::from([(HostName::new("lb01"), facts)]);
            let (_, problems) = compile(&ModuleOptionsKind, &topology, &facts, "lb01");
            problems
        };
        assert_eq!(warned(21, "6.1.0-18-amd64"), ["Warning connection-table-too-large"]);
        assert_eq!(warned(27, "5.10.0").len(), 1);
        for (bits, kernel) in
            [(20, "6.1.0-18-amd64"), (27, "6.5.0"), (27, "6.12.3"), (27, "7.0"), (27, "odd"), (27, "6.1.176 27")]
        {
            assert!(warned(bits, kernel).is_empty(), "{bits} {kernel}");
        }
    }
}
