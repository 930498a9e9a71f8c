//! `lvsctl apply` and `lvsctl destroy`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::operator::{Window, duration, new_id, operator, window};
use super::plan::Format;
use super::progress::{Progress, ReachArguments};
use super::site::{Site, SiteArguments};
use super::{ERROR, GUARDED, Level, Output, STALE};
use crate::apply::{self, Conduct, Earlier, OnFailure, Outcome};
use crate::host::Transaction;
use crate::plan::GUARDS;
use crate::survey::{Goal, Stage, Survey, Surveyed};
use crate::topology::{Connection, Host, HostName};
use crate::view::{apply as view, plan_human};

/// What happens to what was applied when a later step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Failure {
    /// It is taken back
    Undo,
    /// It is kept, and the report says what it is
    Keep,
}

/// What both commands take.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    site: SiteArguments,
    #[command(flatten)]
    reach: ReachArguments,
    /// Ask no question
    #[arg(long)]
    auto_approve: bool,
    /// How to print the report: human, json
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT", hide_possible_values = true)]
    format: Format,
    /// What to do with what was applied when a later step fails: undo, keep
    #[arg(long, value_enum, default_value = "undo", value_name = "WHAT", hide_possible_values = true)]
    on_failure: Failure,
    /// How long to wait for another lvsctl that works on a host
    #[arg(long, value_parser = duration, default_value = "0s", value_name = "TIME")]
    lock_timeout: Duration,
    /// Take everything back when nothing is heard of this command for so long; none, or 0, for never
    #[arg(long, value_parser = window, value_name = "TIME")]
    confirm: Option<Window>,
    /// Make changes that this guard refuses; repeatable: management-address
    #[arg(long, value_name = "GUARD", value_parser = PossibleValuesParser::new(GUARDS), hide_possible_values = true)]
    allow: Vec<String>,
}

/// What `lvsctl apply` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 converged, 1 error and nothing changed, 3 a guard refused, 4 the plan is stale, 5 partly applied, \
    6 rolled back, 7 unknown.\n\nExample:\n  lvsctl apply prod/ --auto-approve"
)]
pub struct ApplyArguments {
    #[command(flatten)]
    common: Common,
}

/// What `lvsctl destroy` takes.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: as of apply.\n\nExample:\n  lvsctl destroy lab/ --auto-approve")]
pub struct DestroyArguments {
    #[command(flatten)]
    common: Common,
}

/// Returns what others are told of a command.
fn command_name(goal: Goal) -> &'static str {
    match goal {
        Goal::Converge => "lvsctl apply",
        Goal::Destroy => "lvsctl destroy",
    }
}

/// Applies.
pub fn run(arguments: &ApplyArguments, output: &Output) -> u8 {
    converge(&arguments.common, Goal::Converge, output)
}

/// Takes away what lvsctl put there.
pub fn destroy(arguments: &DestroyArguments, output: &Output) -> u8 {
    converge(&arguments.common, Goal::Destroy, output)
}

fn converge(arguments: &Common, goal: Goal, output: &Output) -> u8 {
    // What is taken away needs no secret but those that lead to its host.
    let loaded = match goal {
        Goal::Converge => Site::load(&arguments.site, output),
        Goal::Destroy => Site::load_to_destroy(&arguments.site, output),
    };
    let Ok(site) = loaded else {
        return ERROR;
    };
    let progress = Progress::new(&site.topology, output);
    let hears = |name: &HostName, stage: Stage| progress.hear(name, stage);
    let reach = progress.reach(&arguments.reach, &hears);
    let mut survey = Survey::connect(&site.topology, &site.secrets, goal, site.only.as_ref(), reach);
    let operator = operator(command_name(goal));
    if let Err((host, error)) = survey.lock(&operator, arguments.lock_timeout) {
        output.error(&format!("{host}: {error}"), error.help().as_deref());
        return ERROR;
    }
    if let Err(code) = take_up(&mut survey, output) {
        return code;
    }
    let Ok(surveyed) = site.survey(&mut survey, output) else {
        return ERROR;
    };
    let shown = plan_human::render(&surveyed.plan, &site.path, &site.sources, output.paint);
    match arguments.format {
        Format::Human => output.result(&shown),
        Format::Json => output.message(Level::Info, &shown),
    }
    if !surveyed.plan.is_complete() {
        output.error("Nothing was changed, because a host could not be read", None);
        return ERROR;
    }
    let on_failure = match arguments.on_failure {
        Failure::Undo => OnFailure::Undo,
        Failure::Keep => OnFailure::Keep,
    };
    let (id, plan) = (new_id(&surveyed.plan.id), surveyed.plan.id.clone());
    let window = arguments.confirm.unwrap_or_else(|| default_window(&site)).0;
    let transaction = Transaction { id, plan, operator, window };
    let conduct = Conduct { on_failure, transaction, allow: arguments.allow.clone(), awaits_elections: true };
    if let Some(guard) = conduct.refusal(&surveyed.plan) {
        let text = format!("Nothing was changed, because of the guard {}: {}", guard.name, guard.text);
        output.error(&text, Some(&guard.help()));
        return GUARDED;
    }
    let lasting = view::irreversible(&surveyed.plan);
    if !lasting.is_empty() {
        output.message(Level::Info, &format!("Going back would not undo:\n  {}", lasting.join("\n  ")));
    }
    let surveyed = match approve(arguments, &site, &mut survey, surveyed, output) {
        Ok(surveyed) => surveyed,
        Err(code) => return code,
    };
    if let (Some(window), false) = (window, surveyed.plan.is_empty()) {
        let text =
            format!("Hosts go back by themselves when nothing is heard of this command for {} s", window.as_secs());
        output.message(Level::Info, &text);
    }
    let report = apply::apply(&mut survey, surveyed, conduct, &mut |_, steps| {
        // All lines of a wave are one write: a large site has tens of thousands.
        let lines: Vec<String> = steps.iter().map(|step| view::step(step, output.messages)).collect();
        output.message(Level::Info, &lines.join("\n"));
    });
    match arguments.format {
        Format::Human => output.result(&view::human(&report, output.paint)),
        Format::Json => output.json(&view::document(&report)),
    }
    report.outcome.exit_code()
}

/// How long hosts behind SSH wait for a confirmation if nothing else is said: their connection may be what a change cuts.
const SSH_WINDOW: Duration = Duration::from_secs(60);

fn default_window(site: &Site) -> Window {
    let is_wanted = |host: &Host| site.only.as_ref().is_none_or(|only| only.contains(&host.name.value));
    let mut hosts = site.topology.managed_hosts().filter(|host| is_wanted(host));
    let over_ssh = hosts.any(|host| matches!(host.connection.value, Connection::Ssh { .. }));
    Window(site.topology.confirm.or(over_ssh.then_some(SSH_WINDOW)))
}

/// Ends what earlier applies have left, and tells of it before any host forgets it.
fn take_up(survey: &mut Survey<'_>, output: &Output) -> Result<(), u8> {
    let mut taken_up = apply::take_up(survey);
    tell(&taken_up.told, output);
    taken_up.forget(survey);
    for (host, error) in &taken_up.failures {
        output.error(&format!("{host}: {error}"), error.help().as_deref());
    }
    match (taken_up.failures.is_empty(), taken_up.has_changed) {
        (true, _) => Ok(()),
        // Hosts went back just now, so that nobody may be told that nothing was changed.
        (false, true) => Err(Outcome::Unknown.exit_code()),
        (false, false) => Err(ERROR),
    }
}

/// Tells of applies that did not end, each of which is over now.
fn tell(earlier: &[(HostName, Earlier)], output: &Output) {
    for (host, earlier) in earlier {
        let text = match earlier {
            Earlier::TakenBack(taken_back) => format!("{host}: {}", taken_back.tell()),
            Earlier::Confirmed(pending) => format!("{host}: {}", pending.tell()),
            Earlier::Left(pending) => {
                format!("{host}: {}; the plan starts from what it left", pending.tell())
            }
        };
        output.message(Level::Warn, &format!("{} {text}", output.messages.bad("warning:")));
    }
}

/// Asks, and reads the hosts again after a wait, because they may have changed meanwhile.
fn approve(
    arguments: &Common,
    site: &Site,
    survey: &mut Survey<'_>,
    surveyed: Surveyed,
    output: &Output,
) -> Result<Surveyed, u8> {
    if arguments.auto_approve || surveyed.plan.is_empty() {
        return Ok(surveyed);
    }
    match output.ask("Apply this plan? [y/N]") {
        None => {
            output.error(
                "Nothing was changed, because nobody could be asked",
                Some("Give --auto-approve where standard input is not a terminal"),
            );
            Err(ERROR)
        }
        Some(false) => {
            output.message(Level::Info, "Nothing was changed");
            Err(ERROR)
        }
        Some(true) => {
            let again = site.survey(survey, output).map_err(|_| ERROR)?;
            if again.plan.id == surveyed.plan.id {
                return Ok(again);
            }
            output.error("The hosts have changed since the plan was shown, and nothing was done", Some("Plan again"));
            Err(STALE)
        }
    }
}
