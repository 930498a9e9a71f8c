//! How things on a host are, as JSON with types of its own.

use schemars::JsonSchema;
use serde::Serialize;

use super::describe;
use crate::effect::ServiceFlags;
use crate::resource::{Action, BootContent, BootFile, Programmer, Reason, Resource};

/// What is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionDocument {
    /// It is not there and is put there.
    Create,
    /// It is there and is changed in place.
    Update,
    /// It is there and is taken away and put there again.
    Replace,
    /// It is there and is taken away, or gets the value that it had before lvsctl.
    Delete,
}

impl From<Action> for ActionDocument {
    fn from(action: Action) -> Self {
        match action {
            Action::Create => ActionDocument::Create,
            Action::Update => ActionDocument::Update,
            Action::Replace => ActionDocument::Replace,
            Action::Delete => ActionDocument::Delete,
        }
    }
}

/// Why there is a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonDocument {
    /// lvsctl never put it there.
    New,
    /// lvsctl put it there and the topology now says otherwise.
    TopologyChanged,
    /// lvsctl put it there, and somebody changed it on the host.
    AlteredOnHost,
    /// lvsctl put it there, and it is gone from the host.
    RemovedOnHost,
    /// It was there, different, before lvsctl first came.
    Adopted,
    /// lvsctl put it there and the topology no longer asks for it.
    RemovedFromTopology,
}

impl From<Reason> for ReasonDocument {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::New => ReasonDocument::New,
            Reason::TopologyChanged => ReasonDocument::TopologyChanged,
            Reason::AlteredOnHost => ReasonDocument::AlteredOnHost,
            Reason::RemovedOnHost => ReasonDocument::RemovedOnHost,
            Reason::Adopted => ReasonDocument::Adopted,
            Reason::RemovedFromTopology => ReasonDocument::RemovedFromTopology,
        }
    }
}

/// How a thing on a host is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResourceDocument {
    /// A few words for people; they may change with any version.
    pub text: String,
    /// The thing itself.
    #[serde(flatten)]
    pub value: ResourceValue,
}

/// The sorts of things.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResourceValue {
    /// A kernel module that is loaded or built in.
    Module,
    /// An interface.
    Link {
        /// Its sort, as `ip -d link` names it; a network card has none.
        sort: Option<String>,
        /// Whether it is up.
        up: bool,
    },
    /// A UDP port at which packets come out of their envelopes.
    FouPort {
        /// Whether it expects Generic UDP Encapsulation rather than bare packets.
        gue: bool,
    },
    /// A kernel parameter.
    Sysctl {
        /// Its value.
        value: String,
    },
    /// A timeout of IPVS.
    Timeout {
        /// How long.
        seconds: u32,
    },
    /// Something that is on or off.
    Switch {
        /// Whether it is on.
        on: bool,
    },
    /// A daemon that synchronises connections.
    SyncDaemon {
        /// The interface of the multicast.
        interface: String,
        /// The sync id.
        id: u8,
        /// The multicast group.
        group: String,
        /// The UDP port.
        port: u16,
        /// The time to live of a message.
        ttl: u8,
        /// The longest message, if it is not the kernel's choice.
        maxlen: Option<u16>,
    },
    /// An address on an interface.
    Address {
        /// The prefix length.
        prefix: u8,
        /// The label, if it differs from the interface's name.
        label: Option<String>,
    },
    /// A default route.
    DefaultRoute {
        /// The gateway, unless it leads through an interface only.
        via: Option<String>,
    },
    /// A chain of iptables.
    Chain {
        /// Its rules, as iptables shows them.
        rules: Vec<String>,
        /// How often the built-in chain of its place jumps to it; 1 is wanted.
        jumps: usize,
    },
    /// A virtual service.
    IpvsService {
        /// The scheduler.
        scheduler: String,
        /// `fallback`, `port` and `one-packet`.
        flags: Vec<String>,
        /// The persistence, if there is any.
        persistence: Option<PersistenceDocument>,
        /// Who programs it.
        programmer: ProgrammerDocument,
    },
    /// A destination of a virtual service.
    IpvsDestination {
        /// `nat`, `dr`, `tun`, `local` or `bypass`.
        forwarding: String,
        /// The weight.
        weight: u32,
        /// Connections at which it is taken out, 0 for no limit.
        upper: u32,
        /// Connections at which it is taken in again.
        lower: u32,
        /// Who programs it.
        programmer: ProgrammerDocument,
    },
    /// A file.
    File {
        /// Its mode in octal, such as `0600`.
        mode: String,
        /// Its content with every secret masked.
        content: String,
    },
    /// The files that restore a host after a reboot.
    BootFiles {
        /// Those of them that are there.
        files: Vec<BootFileDocument>,
    },
    /// A running daemon.
    Daemon,
    /// The record of what lvsctl put on a host.
    Manifest {
        /// The identities of those things.
        owned: Vec<String>,
        /// Whether others than root may read it.
        exposed: bool,
    },
}

/// A file that restores a host after a reboot.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BootFileDocument {
    /// Where it is.
    pub path: String,
    /// Its mode in octal, such as `0644`; none for a symbolic link.
    pub mode: Option<String>,
    /// Its content, or what the link names.
    pub content: String,
}

/// Persistence of a virtual service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PersistenceDocument {
    /// How long a client stays with its server after its last connection, in seconds.
    pub seconds: u32,
    /// The prefix length of the mask that makes clients one.
    pub netmask: u8,
    /// The engine, such as `sip`.
    pub engine: Option<String>,
}

/// Who puts a virtual service into the kernel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgrammerDocument {
    /// lvsctl.
    Lvsctl,
    /// keepalived.
    Keepalived,
}

impl From<Programmer> for ProgrammerDocument {
    fn from(programmer: Programmer) -> Self {
        match programmer {
            Programmer::Lvsctl => ProgrammerDocument::Lvsctl,
            Programmer::Keepalived => ProgrammerDocument::Keepalived,
        }
    }
}

/// Makes the document of a resource.
pub fn resource(resource: &Resource) -> ResourceDocument {
    let value = match resource {
        Resource::Module => ResourceValue::Module,
        Resource::Link { sort, is_up } => ResourceValue::Link { sort: sort.clone(), up: *is_up },
        Resource::FouPort { is_gue } => ResourceValue::FouPort { gue: *is_gue },
        Resource::Sysctl(value) => ResourceValue::Sysctl { value: value.clone() },
        Resource::Timeout(seconds) => ResourceValue::Timeout { seconds: *seconds },
        Resource::SyncDaemon(config) => ResourceValue::SyncDaemon {
            interface: config.interface.clone(),
            id: config.id,
            group: config.group.to_string(),
            port: config.port,
            ttl: config.ttl,
            maxlen: config.maxlen,
        },
        Resource::Switch(on) => ResourceValue::Switch { on: *on },
        Resource::Address { prefix, label } => ResourceValue::Address { prefix: *prefix, label: label.clone() },
        Resource::DefaultRoute { via } => ResourceValue::DefaultRoute { via: via.map(|via| via.to_string()) },
        Resource::Chain { rules, jumps } => {
            ResourceValue::Chain { rules: rules.iter().map(describe::rule).collect(), jumps: *jumps }
        }
        Resource::IpvsService { config, programmer } => ResourceValue::IpvsService {
            scheduler: config.scheduler.clone(),
            flags: describe::flags(config).into_iter().map(str::to_owned).collect(),
            persistence: config.flags.has(ServiceFlags::PERSISTENT).then(|| PersistenceDocument {
                seconds: config.timeout,
                netmask: config.netmask,
                engine: config.engine.clone(),
            }),
            programmer: (*programmer).into(),
        },
        Resource::IpvsDestination { config, programmer } => ResourceValue::IpvsDestination {
            forwarding: describe::forwarding(config.forwarding).to_owned(),
            weight: config.weight,
            upper: config.upper,
            lower: config.lower,
            programmer: (*programmer).into(),
        },
        Resource::File { text, mode } => ResourceValue::File { mode: format!("{mode:04o}"), content: text.masked() },
        Resource::BootFiles(files) => {
            let document = |(file, content): (&BootFile, &BootContent)| BootFileDocument {
                path: file.path().to_owned(),
                mode: match content {
                    BootContent::File { mode, .. } => Some(format!("{mode:04o}")),
                    BootContent::Link { .. } => None,
                },
                content: content.text().to_owned(),
            };
            ResourceValue::BootFiles { files: files.iter().map(document).collect() }
        }
        Resource::Daemon { .. } => ResourceValue::Daemon,
        Resource::Manifest(manifest) => ResourceValue::Manifest {
            owned: manifest.owned.keys().map(ToString::to_string).collect(),
            exposed: manifest.is_exposed,
        },
    };
    ResourceDocument { text: describe::resource(resource), value }
}
