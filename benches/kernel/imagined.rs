//! Whole commands on a host in memory: what they cost on this machine itself, without a guest's kernel around them.
//!
//! The texts, the plan and the lines that are printed are those of the real command; only the answers to the probes come
//! out of memory instead of out of a kernel.

use std::collections::BTreeMap;
use std::process::ExitCode;

use lvsctl::apply::{self, OnFailure, Outcome};
use lvsctl::cli::files::DiskReader;
use lvsctl::host::Host;
use lvsctl::host::fake::FakeHost;
use lvsctl::lint;
use lvsctl::survey::{Goal, Hosts, Survey};
use lvsctl::topology::{Loaded, SecretValues};
use lvsctl::view::paint::Paint;
use lvsctl::view::plan_human;

use crate::{commands, site};

/// The name under which this program plans for a host in memory.
pub const NAME: &str = "lvsctl-imagined";

/// Measures each command in a process of its own.
pub fn measure(sites: &[usize], tell: &dyn Fn(String) -> Result<(), String>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut before = Vec::new();
    for services in sites {
        let path = folder.path().join(format!("site-{services}.kdl"));
        std::fs::write(&path, site::topology(*services)).map_err(|error| error.to_string())?;
        let path = path.to_string_lossy();
        tell(format!("a site of {} objects:", services * (site::SERVERS + 1)))?;
        let rows = [
            ("lvsctl check", commands::LVSCTL, "check"),
            ("plan, all to be created", NAME, "plan"),
            ("plan, nothing to do", NAME, "again"),
            ("apply", NAME, "apply"),
            ("destroy", NAME, "destroy"),
        ];
        let mut taken = Vec::new();
        for (at, (what, name, command)) in rows.into_iter().enumerate() {
            taken.push(commands::run(name, &[command, &path], folder.path())?);
            tell(commands::row(what, taken[at], before.get(at)))?;
        }
        before = taken;
    }
    Ok(())
}

/// Does what a child of [`measure`] is for.
pub fn run_if_imagined() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    if arguments.next()? != NAME {
        return None;
    }
    let (command, path) = (arguments.next()?, arguments.next()?);
    Some(match run(&command, &path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn run(command: &str, path: &str) -> Result<(), String> {
    let host = FakeHost::new().with_link("eth0", Some("02:00:00:00:00:01"), &["10.0.0.1/16"]);
    if command != "plan" && command != "apply" {
        converge(path, &host, Goal::Converge)?;
    }
    let before = commands::user_ticks().map_err(|error| error.to_string())?;
    match command {
        "apply" => converge(path, &host, Goal::Converge)?,
        "destroy" => converge(path, &host, Goal::Destroy)?,
        _ => plan(path, &host)?,
    }
    commands::note_usage(before).map_err(|error| error.to_string())
}

fn plan(path: &str, host: &FakeHost) -> Result<(), String> {
    let Loaded { topology, sources, .. } = lint::load(path, &DiskReader);
    let topology = topology.ok_or("the topology cannot be read")?;
    let secrets = SecretValues::default();
    let mut survey = Survey::over(&topology, &secrets, Goal::Converge, hosts(host));
    let surveyed = survey.plan().map_err(|error| error.to_string())?;
    print!("{}", plan_human::render(&surveyed.plan, path, &sources, Paint { colour: false }));
    Ok(())
}

fn converge(path: &str, host: &FakeHost, goal: Goal) -> Result<(), String> {
    let topology = lint::load(path, &DiskReader).topology.ok_or("the topology cannot be read")?;
    let secrets = SecretValues::default();
    let mut survey = Survey::over(&topology, &secrets, goal, hosts(host));
    let surveyed = survey.plan().map_err(|error| error.to_string())?;
    let report = apply::apply(&mut survey, surveyed, OnFailure::Undo, &mut |_, _| {});
    (report.outcome == Outcome::Converged).then_some(()).ok_or(format!("the apply ended as {:?}", report.outcome))
}

fn hosts(host: &FakeHost) -> Hosts {
    let host: Box<dyn Host> = Box::new(host.clone());
    BTreeMap::from([(lvsctl::topology::HostName::new("d1"), host)])
}
