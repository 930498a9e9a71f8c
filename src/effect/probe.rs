//! The questions that can be put to a host, and the changes that can be made on one.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DestinationConfig, DestinationKey, IpvsCommand, ServiceKey, SyncDaemonConfig};
use crate::topology::{Family, Offload, SecretText, SyncState, SysctlKey};

/// Asks a host one thing and changes nothing: no module is loaded, no table or file comes into being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Which of these modules are loaded or built in. Answered by `Answer::Modules`.
    Modules(Vec<String>),
    /// The values of these parameters. Answered by `Answer::Sysctls`.
    Sysctls(Vec<SysctlKey>),
    /// Every interface with its addresses. Answered by `Answer::Links`.
    Links,
    /// The UDP ports at which packets come out of their envelopes. Answered by `Answer::FouPorts`.
    FouPorts,
    /// The default routes of the main table. Answered by `Answer::DefaultRoutes`.
    DefaultRoutes,
    /// What `iptables-save` or `ip6tables-save` prints. Answered by `Answer::Iptables`.
    Iptables(Family),
    /// The whole IPVS table. Answered by `Answer::Ipvs`.
    Ipvs,
    /// The timeouts of IPVS. Answered by `Answer::IpvsTimeouts`.
    IpvsTimeouts,
    /// What this interface offloads. Answered by `Answer::Offloads`.
    Offloads(String),
    /// The daemons that synchronise connections. Answered by `Answer::SyncDaemons`.
    SyncDaemons,
    /// A file's mode and text. Answered by `Answer::File`.
    File(String),
    /// What a symbolic link names. Answered by `Answer::Link`.
    Link(String),
    /// The state of keepalived. Answered by `Answer::Daemon`.
    Keepalived,
}

/// Changes one thing on a host, or waits for one.
///
/// Paths are absolute; a host whose files lie below a folder of its own puts that folder in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Loads a module with its dependencies (modprobe(8)).
    LoadModule(String),
    /// Writes a kernel parameter.
    WriteSysctl {
        /// The parameter.
        key: SysctlKey,
        /// The text to write, without a newline.
        value: String,
    },
    /// Makes an interface that is down (`RTM_NEWLINK` with `NLM_F_EXCL`).
    AddLink {
        /// Its name.
        device: String,
        /// The sort, as the kernel calls it (`IFLA_INFO_KIND`), such as `dummy`.
        sort: String,
    },
    /// Takes an interface away with its addresses and parameters (`RTM_DELLINK`).
    RemoveLink {
        /// Its name.
        device: String,
    },
    /// Brings an interface up or down.
    SetLink {
        /// Its name.
        device: String,
        /// Whether it is to be up.
        is_up: bool,
    },
    /// Opens a UDP port for Generic UDP Encapsulation (`FOU_CMD_ADD`); `EADDRINUSE` if something has the port.
    AddFouPort {
        /// The family of the envelopes.
        family: Family,
        /// The port.
        port: u16,
    },
    /// Closes one, whatever it expects (`FOU_CMD_DEL`); `EINVAL` if there is none.
    RemoveFouPort {
        /// The family of the envelopes.
        family: Family,
        /// The port.
        port: u16,
    },
    /// Switches an offload of an interface (`ETHTOOL_MSG_FEATURES_SET`).
    SetOffload {
        /// The interface's name.
        device: String,
        /// Which one.
        offload: Offload,
        /// On or off.
        on: bool,
    },
    /// Adds an address (`RTM_NEWADDR` with `NLM_F_EXCL`).
    AddAddress {
        /// The interface's name.
        device: String,
        /// The address.
        address: IpAddr,
        /// The prefix length.
        prefix: u8,
        /// The label (`IFA_LABEL`), IPv4 only.
        label: Option<String>,
    },
    /// Takes an address away (`RTM_DELADDR`).
    RemoveAddress {
        /// The interface's name.
        device: String,
        /// The address.
        address: IpAddr,
        /// The prefix length.
        prefix: u8,
    },
    /// Changes the gateway of the default route that is used, whose metric and protocol stay, or makes one
    /// (`RTM_NEWROUTE` with `NLM_F_REPLACE`).
    ReplaceDefaultRoute {
        /// The gateway.
        via: IpAddr,
        /// The interface's name; `None` lets the kernel find it.
        device: Option<String>,
    },
    /// Takes a default route away.
    RemoveDefaultRoute {
        /// The gateway.
        via: IpAddr,
    },
    /// Feeds a text to `iptables-restore --noflush` or `ip6tables-restore --noflush`.
    IptablesRestore {
        /// Which of the two.
        family: Family,
        /// The text, one table from `*` to `COMMIT` or several.
        text: String,
    },
    /// Changes the IPVS table. Neighbouring effects of this sort are sent as one batch.
    Ipvs(IpvsCommand),
    /// Takes a destination out of the table, lets the kernel forget its connections, and adds it again: where it is to be sent
    /// to directly from now on. The kernel keeps one route a destination, for all of its connections (`dest_dst` in
    /// `net/netfilter/ipvs/ip_vs_xmit.c`); one that a connection of NAT or of a tunnel has put there leads those that are
    /// routed directly nowhere, as long as it stands.
    ReplaceDestination {
        /// The service.
        service: ServiceKey,
        /// The destination.
        destination: DestinationKey,
        /// How it is to be.
        config: DestinationConfig,
        /// Whether the destination is keepalived's: one that it has taken out meanwhile stays out, and the weight that it has
        /// set stays.
        only_if_there: bool,
        /// How long keepalived is given to change it first, when it has been told to; a deadline that passes is no error.
        within: Duration,
    },
    /// Starts a daemon that synchronises connections (`IPVS_CMD_NEW_DAEMON`); `EEXIST` if one of that state runs.
    StartSyncDaemon(SyncState, SyncDaemonConfig),
    /// Stops one (`IPVS_CMD_DEL_DAEMON`); `ESRCH` if none of that state runs.
    StopSyncDaemon(SyncState),
    /// Waits until a service is in the kernel's table, because keepalived is about to add it.
    AwaitService {
        /// The service.
        service: ServiceKey,
        /// Whether to wait for it to be there or to be gone.
        present: bool,
        /// How long at most; an error after that.
        within: Duration,
    },
    /// Waits until a destination has no connection left, at most until the deadline, which is no error.
    AwaitDrained {
        /// The service.
        service: ServiceKey,
        /// The destination.
        destination: DestinationKey,
        /// How long at most.
        within: Duration,
    },
    /// Waits until an interface lacks an address, because keepalived is about to let go of it, at most until the deadline,
    /// which is no error.
    AwaitNoAddress {
        /// The interface's name.
        device: String,
        /// The address.
        address: IpAddr,
        /// How long at most.
        within: Duration,
    },
    /// Waits until no daemon synchronises connections, because keepalived is about to stop its own, at most until the
    /// deadline, which is no error.
    AwaitNoSyncDaemon {
        /// How long at most.
        within: Duration,
    },
    /// Replaces a file: writes a temporary one beside it, tests it, and renames it, so that no reader sees a half.
    WriteFile {
        /// The path.
        path: String,
        /// The content.
        text: SecretText,
        /// The mode bits, such as `0o600`.
        mode: u32,
        /// Whether `keepalived -t` must accept the temporary file first.
        keepalived_test: bool,
        /// Whether a file that is there now is kept beside it as `PATH.before-lvsctl`, or with a number after that where
        /// another one is kept already.
        keep_previous: bool,
    },
    /// Puts a symbolic link in the place of whatever is there, in one step.
    WriteLink {
        /// The path.
        path: String,
        /// What it names.
        target: String,
    },
    /// Makes systemd read its units again (`systemctl daemon-reload`).
    ReloadUnits,
    /// Removes a file or a link; a missing one is fine.
    RemoveFile {
        /// The path.
        path: String,
    },
    /// Starts keepalived and notes which configuration it has read.
    StartKeepalived {
        /// The digest of that configuration.
        configuration: String,
    },
    /// Makes keepalived read its configuration again and notes which one it was.
    ReloadKeepalived {
        /// The digest of that configuration.
        configuration: String,
    },
    /// Stops keepalived and waits until it is gone, with its VIPs and virtual servers.
    StopKeepalived,
}
