//! `lvsctl compile`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::folder::{Written, remove};
use super::site::{Site, SiteArguments};
use super::{ERROR, Level, Output, write};
use crate::compile::{Desired, compile};
use crate::kinds;
use crate::native::{self, NativeFile};
use crate::source::Problems;
use crate::topology::HostName;

/// What `lvsctl compile` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lvsctl compile prod/ --host lb01 --to out")]
pub struct CompileArguments {
    #[command(flatten)]
    site: SiteArguments,
    /// Write DIR/HOST/FILE, mode 0600, with secrets, instead of printing them masked
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Compiles.
pub fn run(arguments: &CompileArguments, output: &Output) -> u8 {
    let loaded = match arguments.to {
        Some(_) => Site::load(&arguments.site, output),
        None => Site::load_without_secrets(&arguments.site, output),
    };
    let Ok(site) = loaded else {
        return ERROR;
    };
    let mut problems = Problems::default();
    let facts = BTreeMap::new();
    let desired =
        compile(&kinds::Site { topology: &site.topology, facts: &facts, secrets: &site.secrets }, &mut problems);
    super::site::show(&problems, &site.sources, output);
    if problems.has_errors() {
        return ERROR;
    }
    if problems.iter().any(|problem| problem.code.ends_with("interface-unknown")) {
        // Without it a block is left out, and a file that lacks one is worse than none.
        output.error("Nothing was compiled, because an interface is only known on the live host", Some("Declare it"));
        return ERROR;
    }
    let hosts = desired.iter().filter(|(name, _)| site.only.as_ref().is_none_or(|only| only.contains(*name)));
    let hosts: Desired = hosts.map(|(name, state)| (name.clone(), state.clone())).collect();
    match &arguments.to {
        None => print(&hosts, output),
        Some(folder) => match write_all(&hosts, folder, site.only.is_none(), output) {
            Ok(()) => 0,
            Err(error) => {
                output.error(&error, None);
                ERROR
            }
        },
    }
}

fn print(hosts: &Desired, output: &Output) -> u8 {
    for (name, state) in hosts {
        for NativeFile { name: file, about, text } in native::files(name, state) {
            output.result(&output.paint.heading(&format!("# ==== {name}/{file}  ({about})\n")));
            output.result(&format!("{}\n", text.masked()));
        }
    }
    0
}

/// Writes the files and removes those of earlier runs; `whole` says that a host that is not here is in the topology no more.
fn write_all(hosts: &Desired, folder: &std::path::Path, whole: bool, output: &Output) -> Result<(), String> {
    let mut written = Written::load(folder)?;
    let mut stale = Vec::new();
    for (name, state) in hosts {
        for NativeFile { name: file, text, .. } in native::files(name, state) {
            let path = folder.join(name.as_str()).join(file);
            let text = text.expose().ok_or_else(|| format!("{}: a secret is not known", path.display()))?;
            write::private(&path, &text)?;
            output.message(Level::Info, &format!("wrote {}", path.display()));
        }
        let names = native::files(name, state).into_iter().map(|file| file.name.to_owned());
        stale.extend(written.replace(name.as_str(), names.collect()));
    }
    let gone = written.hosts().into_iter().filter(|name| whole && !hosts.contains_key(&HostName::new(name)));
    for name in gone.collect::<Vec<_>>() {
        stale.extend(written.replace(&name, BTreeSet::new()));
    }
    for file in stale {
        remove(folder, &file)?;
        output.message(Level::Info, &format!("removed {}", folder.join(&file).display()));
    }
    written.save(folder)
}
