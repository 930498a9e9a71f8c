//! A plan as JSON, for pipelines.

use schemars::JsonSchema;
use serde::Serialize;

use super::FORMAT_VERSION;
use super::problems::Diagnostic;
use super::resource_json::{ActionDocument, ReasonDocument, ResourceDocument, resource};
use crate::effect::ServiceKey;
use crate::plan::{Election, Guard, HostStatus, Plan, ReloadAct, Step, reload};
use crate::resource::{Action, Resource, ResourceKey};
use crate::source::{Problems, SourceMap};

/// The document that `lvsctl plan --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument<'a> {
    /// The version of this format.
    pub format_version: &'static str,
    /// The version of lvsctl.
    pub lvsctl_version: &'static str,
    /// The plan's digest.
    pub plan_id: String,
    /// Whether the topology has no error and every host was read.
    pub complete: bool,
    /// What the topology was read from.
    pub source: Source,
    /// Every managed host.
    pub hosts: Vec<HostDocument>,
    /// The changes, by host and key.
    pub changes: Vec<ChangeDocument>,
    /// The changes that somebody made on a host.
    pub drift: Vec<Drift>,
    /// What differs and is not lvsctl's business.
    pub runtime: Vec<Runtime>,
    /// What is neither wanted nor owned.
    pub foreign: Vec<ForeignDocument>,
    /// The guards that changes meet.
    pub guards: Vec<GuardDocument>,
    /// The ids of the changes, wave by wave.
    pub waves: Vec<Vec<String>>,
    /// What the plan does to virtual services.
    pub impact: Vec<ImpactDocument>,
    /// The failovers whose VIPs will change their director by themselves, or begin on another one than the preferred.
    pub elections: Vec<ElectionDocument>,
    /// How many changes of which sort.
    pub summary: Summary,
    /// What is wrong with the topology; after an error there are no changes to go by.
    pub diagnostics: Vec<Diagnostic<'a>>,
}

/// A failover whose VIPs will change their director by themselves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ElectionDocument {
    /// The failover.
    pub failover: String,
    /// Whether no director had it before.
    pub begins: bool,
    /// The directors that start first, or the one that holds the VIPs.
    pub from: Vec<String>,
    /// The director with the highest priority.
    pub to: String,
    /// After how many seconds that one takes over from another master; `null` if it leaves it alone.
    pub takeover_seconds: Option<u64>,
    /// The same in words.
    pub text: String,
}

/// A guard that was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GuardDocument {
    /// Its name.
    pub id: String,
    /// `blocked`: the change is not made unless the guard is allowed.
    pub result: String,
    /// The change.
    pub change: String,
    /// What would happen.
    pub text: String,
}

/// What a topology was read from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Source {
    /// The revision of the repository that the topology is in, if it is in one.
    pub revision: Option<String>,
    /// Its files.
    pub files: Vec<SourceDocument>,
}

/// A file of a topology.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SourceDocument {
    /// Its path.
    pub path: String,
    /// The digest of its content.
    pub sha256: String,
}

/// How reading a host went.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HostDocument {
    /// The host.
    pub name: String,
    /// `read` or `unread`.
    #[schemars(extend("enum" = ["read", "unread"]))]
    pub status: &'static str,
    /// The digest of what was read.
    pub observed_digest: Option<String>,
    /// Why it was not read.
    pub error: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeDocument {
    /// The identity, such as `lb01/ipvs/fwm:1`.
    pub id: String,
    /// The host.
    pub host: String,
    /// The VIP and the virtual service that it is part of, where it is part of one.
    pub service: Option<ServiceDocument>,
    /// What is done.
    pub action: ActionDocument,
    /// Why.
    pub reason: ReasonDocument,
    /// How it is.
    pub before: Option<ResourceDocument>,
    /// How it is to be.
    pub after: Option<ResourceDocument>,
    /// The names of the parts that are masked.
    pub sensitive: Vec<&'static str>,
    /// Where the topology asks for it.
    pub origin: Option<Origin>,
    /// What traffic feels of it.
    pub impact: ChangeImpact,
    /// What keepalived does with its virtual servers when it reads the new file; at its reload only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Vec<ReloadDocument>>,
    /// The ids of the changes that come before it.
    pub requires: Vec<String>,
}

/// A virtual service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceDocument {
    /// What identifies it in the kernel, such as `fwm:1` or `tcp:192.0.2.1:80`.
    pub key: String,
    /// The VIP, unless it is a mark that the topology no longer has.
    pub vip: Option<String>,
    /// Its name in the topology.
    pub name: Option<String>,
}

/// A place in a topology.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// What traffic feels of a change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeImpact {
    /// Established connections that are drained first.
    pub connections_drained: u32,
    /// Connections that are cut.
    pub connections_cut: u32,
    /// Whether traffic feels it.
    pub disruptive: bool,
    /// In what way, if it does.
    pub disruption: Option<String>,
}

/// One thing that keepalived does when it reads its new file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReloadDocument {
    /// `replaces-service`, `hands-service-over`, `removes-service`, `edits-service`, `edits-servers`, `checks-servers-anew`,
    /// `removes-server-drained` or `removes-server-undrained`.
    pub does: &'static str,
    /// The virtual server, as `ipvs` identities write it.
    pub service: String,
    /// What comes in its place, if anything does.
    pub replacement: Option<String>,
    /// The real server, if one goes.
    pub server: Option<String>,
    /// Whether traffic is cut.
    pub cuts: bool,
    /// All of this in words.
    pub text: String,
}

/// A change that somebody made on a host.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Drift {
    /// The identity.
    pub id: String,
    /// What happened to it.
    pub reason: ReasonDocument,
}

/// A state that is not lvsctl's business.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Runtime {
    /// The identity.
    pub id: String,
    /// What is to be said of it.
    pub state: String,
}

/// A thing that lvsctl neither wants nor put there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ForeignDocument {
    /// The identity.
    pub id: String,
    /// The host.
    pub host: String,
    /// How it is.
    pub resource: ResourceDocument,
}

/// What a plan does to a virtual service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImpactDocument {
    /// The director.
    pub host: String,
    /// The service.
    pub service: String,
    /// Destinations with a weight above 0 now.
    pub servers_before: usize,
    /// And afterwards.
    pub servers_after: usize,
    /// The sum of weights now.
    pub weight_before: u64,
    /// And afterwards.
    pub weight_after: u64,
    /// Established connections that are drained.
    pub connections_drained: u64,
    /// Connections that are cut.
    pub connections_cut: u64,
}

/// How many changes of which sort.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// Things that are put there.
    pub create: usize,
    /// Things that are changed in place.
    pub update: usize,
    /// Things that are taken away and put back.
    pub replace: usize,
    /// Things that are taken away.
    pub delete: usize,
    /// Things that are as desired.
    pub noop: usize,
}

/// Makes the document of a plan.
pub fn document<'a>(plan: &Plan, sources: &SourceMap, source: Source, problems: &'a Problems) -> PlanDocument<'a> {
    let drifted = plan.steps.iter().filter(|step| step.change.reason.is_drift());
    PlanDocument {
        format_version: FORMAT_VERSION,
        lvsctl_version: env!("CARGO_PKG_VERSION"),
        plan_id: plan.id.clone(),
        complete: plan.is_complete() && !problems.has_errors(),
        source,
        hosts: plan.hosts.iter().map(|(name, status)| host(name.as_str(), status)).collect(),
        changes: plan.steps.iter().map(|step| change(plan, step, sources)).collect(),
        drift: drifted
            .map(|step| Drift { id: step.change.id.to_string(), reason: step.change.reason.into() })
            .collect(),
        runtime: plan
            .runtime
            .iter()
            .map(|state| Runtime { id: state.id.to_string(), state: state.state.clone() })
            .collect(),
        foreign: plan
            .foreign
            .iter()
            .map(|foreign| ForeignDocument {
                id: foreign.id.to_string(),
                host: foreign.id.host.to_string(),
                resource: resource(&foreign.resource),
            })
            .collect(),
        guards: plan.guards.iter().map(guard).collect(),
        waves: plan
            .waves
            .iter()
            .map(|wave| {
                wave.iter().filter_map(|index| plan.steps.get(*index)).map(|step| step.change.id.to_string()).collect()
            })
            .collect(),
        impact: plan.impact.iter().map(impact).collect(),
        elections: plan.elections.iter().map(election).collect(),
        summary: Summary {
            create: plan.count(Action::Create),
            update: plan.count(Action::Update),
            replace: plan.count(Action::Replace),
            delete: plan.count(Action::Delete),
            noop: plan.unchanged,
        },
        diagnostics: super::problems::diagnostics(problems, sources),
    }
}

fn guard(guard: &Guard) -> GuardDocument {
    let (id, result) = (guard.name.to_owned(), "blocked".to_owned());
    GuardDocument { id, result, change: guard.id.to_string(), text: guard.text.clone() }
}

fn host(name: &str, status: &HostStatus) -> HostDocument {
    let (status, observed_digest, error, help) = match status {
        HostStatus::Read { digest } => ("read", Some(digest.clone()), None, None),
        HostStatus::Unread { error, help } => ("unread", None, Some(error.clone()), help.clone()),
    };
    HostDocument { name: name.to_owned(), status, observed_digest, error, help }
}

fn change(plan: &Plan, step: &Step, sources: &SourceMap) -> ChangeDocument {
    let change = &step.change;
    let secret =
        |resource: &Option<Resource>| matches!(resource, Some(Resource::File { text, .. }) if text.is_sensitive());
    let (active, inactive) = step.connections.unwrap_or_default();
    ChangeDocument {
        id: change.id.to_string(),
        host: change.id.host.to_string(),
        service: match change.key() {
            ResourceKey::IpvsService(key) | ResourceKey::IpvsDestination(key, _) => Some(service(plan, key)),
            _ => None,
        },
        action: change.action.into(),
        reason: change.reason.into(),
        before: change.before.as_ref().map(resource),
        after: change.after.as_ref().map(resource),
        sensitive: if secret(&change.before) || secret(&change.after) { vec!["auth_pass"] } else { Vec::new() },
        origin: change
            .origin
            .and_then(|span| sources.position(span))
            .map(|place| Origin { file: place.file, line: place.line }),
        impact: ChangeImpact {
            connections_drained: if change.action == Action::Delete && !step.is_cut { active } else { 0 },
            connections_cut: if step.is_cut { active.saturating_add(inactive) } else { 0 },
            disruptive: step.disruption().is_some(),
            disruption: step.disruption(),
        },
        reload: reloads(plan, step),
        requires: step.requires.iter().map(ToString::to_string).collect(),
    }
}

fn reloads(plan: &Plan, step: &Step) -> Option<Vec<ReloadDocument>> {
    let effects = reload(plan, step);
    let documents = effects.iter().map(|effect| ReloadDocument {
        does: effect.name(),
        service: effect.service.to_string(),
        replacement: match &effect.act {
            ReloadAct::Replaces(by) | ReloadAct::HandsOver(by) => Some(by.to_string()),
            _ => None,
        },
        server: match &effect.act {
            ReloadAct::RemovesDrained(server) | ReloadAct::RemovesUndrained(server) => Some(server.to_string()),
            _ => None,
        },
        cuts: effect.cuts(),
        text: effect.text(),
    });
    (!effects.is_empty()).then(|| documents.collect())
}

fn election(election: &Election) -> ElectionDocument {
    ElectionDocument {
        failover: election.failover.clone(),
        begins: election.begins,
        from: election.from.iter().map(ToString::to_string).collect(),
        to: election.to.to_string(),
        takeover_seconds: election.takeover.map(|delay| delay.as_secs()),
        text: election.text(),
    }
}

fn impact(impact: &crate::plan::Impact) -> ImpactDocument {
    ImpactDocument {
        host: impact.host.to_string(),
        service: impact.service.to_string(),
        servers_before: impact.servers.0,
        servers_after: impact.servers.1,
        weight_before: impact.weight.0,
        weight_after: impact.weight.1,
        connections_drained: impact.draining,
        connections_cut: impact.cut,
    }
}

fn service(plan: &Plan, key: &ServiceKey) -> ServiceDocument {
    ServiceDocument {
        key: key.to_string(),
        vip: super::plan_changes::vip_of(plan, key).map(|vip| vip.to_string()),
        name: plan.names.services.get(key).map(|name| name.name.clone()),
    }
}
