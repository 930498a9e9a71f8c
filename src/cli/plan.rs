//! `lvsctl plan`.

use clap::{Args, ValueEnum};

use super::progress::{Progress, ReachArguments};
use super::site::{Site, SiteArguments};
use super::{CHANGES, ERROR, Output};
use crate::plan::Plan;
use crate::survey::{Goal, Stage, Survey};
use crate::topology::HostName;
use crate::view::{plan_human, plan_json};

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For pipelines
    Json,
}

/// What `lvsctl plan` takes.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 1 error or a host that could not be read, 2 changes (with \
    --detailed-exitcode).\n\nExample:\n  lvsctl plan prod/ --detailed-exitcode --format json")]
pub struct PlanArguments {
    #[command(flatten)]
    site: SiteArguments,
    #[command(flatten)]
    reach: ReachArguments,
    /// How to print the plan: human, json
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT", hide_possible_values = true)]
    format: Format,
    /// Exit with 2 if there are changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Plans.
pub fn run(arguments: &PlanArguments, output: &Output) -> u8 {
    let is_json = arguments.format == Format::Json;
    let mut site = match Site::load(&arguments.site, output) {
        Ok(site) => site,
        Err(refused) => {
            if is_json {
                let source = refused.source();
                output.json(&plan_json::document(&Plan::default(), &refused.sources, source, &refused.problems));
            }
            return ERROR;
        }
    };
    let progress = Progress::new(&site.topology, output);
    let hears = |name: &HostName, stage: Stage| progress.hear(name, stage);
    let reach = progress.reach(&arguments.reach, &hears);
    let mut survey = Survey::connect(&site.topology, &site.secrets, Goal::Converge, site.only.as_ref(), reach);
    let surveyed = site.survey(&mut survey, output);
    drop(survey);
    let source = site.source();
    let surveyed = match surveyed {
        Ok(surveyed) => surveyed,
        Err(surveyed) => {
            if let (true, Some(surveyed)) = (is_json, surveyed) {
                site.problems.extend(surveyed.problems);
                output.json(&plan_json::document(&surveyed.plan, &site.sources, source, &site.problems));
            }
            return ERROR;
        }
    };
    let plan = &surveyed.plan;
    site.problems.extend(surveyed.problems);
    match arguments.format {
        Format::Human => output.result(&plan_human::render(plan, &site.path, &site.sources, output.paint)),
        Format::Json => output.json(&plan_json::document(plan, &site.sources, source, &site.problems)),
    }
    match (plan.is_complete(), plan.is_empty()) {
        (false, _) => ERROR,
        (true, false) if arguments.detailed_exitcode => CHANGES,
        (true, _) => 0,
    }
}
