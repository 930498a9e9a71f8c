//! The files that bring a host back to its state after a reboot.

use serde::{Deserialize, Serialize};

/// One of the files that the host's own tools read at boot; the order is that of listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootFile {
    /// Modules, for modules-load.d(5).
    Modules,
    /// Kernel parameters, for sysctl.d(5).
    Parameters,
    /// The rules of lvsctl's IPv4 chains, for iptables-restore(8).
    Iptables,
    /// The rules of lvsctl's IPv6 chains, for ip6tables-restore(8).
    Ip6tables,
    /// Where the kernel's own chains jump to lvsctl's.
    Jumps,
    /// Virtual services and destinations, for `ipvsadm -R`.
    Ipvs,
    /// Interfaces that are made or brought up.
    Links,
    /// UDP ports at which packets come out of their envelopes.
    FouPorts,
    /// Timeouts, for `ipvsadm --set`.
    Timeouts,
    /// Daemons that synchronise connections.
    SyncDaemons,
    /// What interfaces offload, for ethtool(8).
    Offloads,
    /// Addresses on interfaces.
    Addresses,
    /// Default routes.
    Routes,
    /// The program that restores all of it.
    Script,
    /// The unit of systemd that runs the program.
    Unit,
    /// The link by which systemd starts the unit at boot.
    Enablement,
}

/// What is at the place of one of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootContent {
    /// A file.
    File {
        /// The content.
        text: String,
        /// The mode bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// What it names; empty for something that is no link.
        target: String,
    },
}

/// The first line of every file that lvsctl writes and in which a comment may stand.
pub const BOOT_HEADER: &str = "# Written by lvsctl";

impl BootContent {
    /// Returns the content of a file, or what a link names.
    pub fn text(&self) -> &str {
        match self {
            BootContent::File { text, .. } => text,
            BootContent::Link { target } => target,
        }
    }
}

impl BootFile {
    /// Every file, in the order of listings.
    pub const ALL: [BootFile; 16] = [
        BootFile::Modules,
        BootFile::Parameters,
        BootFile::Iptables,
        BootFile::Ip6tables,
        BootFile::Jumps,
        BootFile::Ipvs,
        BootFile::Links,
        BootFile::FouPorts,
        BootFile::Timeouts,
        BootFile::SyncDaemons,
        BootFile::Offloads,
        BootFile::Addresses,
        BootFile::Routes,
        BootFile::Script,
        BootFile::Unit,
        BootFile::Enablement,
    ];

    /// Returns the file's path.
    pub fn path(self) -> &'static str {
        match self {
            BootFile::Modules => "/etc/modules-load.d/lvsctl.conf",
            BootFile::Parameters => "/etc/sysctl.d/90-lvsctl.conf",
            BootFile::Iptables => "/etc/lvsctl/restore/iptables.rules",
            BootFile::Ip6tables => "/etc/lvsctl/restore/ip6tables.rules",
            BootFile::Jumps => "/etc/lvsctl/restore/jumps",
            BootFile::Ipvs => "/etc/lvsctl/restore/ipvsadm.rules",
            BootFile::Links => "/etc/lvsctl/restore/links",
            BootFile::FouPorts => "/etc/lvsctl/restore/fou-ports",
            BootFile::Timeouts => "/etc/lvsctl/restore/timeouts",
            BootFile::SyncDaemons => "/etc/lvsctl/restore/sync-daemons",
            BootFile::Offloads => "/etc/lvsctl/restore/offloads",
            BootFile::Addresses => "/etc/lvsctl/restore/addresses",
            BootFile::Routes => "/etc/lvsctl/restore/routes",
            BootFile::Script => "/etc/lvsctl/restore/restore.sh",
            BootFile::Unit => "/etc/systemd/system/lvsctl-restore.service",
            BootFile::Enablement => "/etc/systemd/system/multi-user.target.wants/lvsctl-restore.service",
        }
    }

    /// Tells whether somebody else has written what is there, as far as its text shows.
    pub fn is_foreign(self, content: &BootContent) -> bool {
        match content {
            // That of ipvsadm takes no comment; it is in a folder of lvsctl's own.
            BootContent::File { text, .. } => {
                let is_own = text.is_empty() || text.lines().take(2).any(|line| line.starts_with(BOOT_HEADER));
                !is_own && self != BootFile::Ipvs
            }
            BootContent::Link { .. } => false,
        }
    }

    /// Returns the few words by which a plan names the file.
    pub fn short_name(self) -> &'static str {
        match self {
            BootFile::Modules => "modules-load.d",
            BootFile::Parameters => "sysctl.d",
            BootFile::Iptables => "iptables.rules",
            BootFile::Ip6tables => "ip6tables.rules",
            BootFile::Jumps => "jumps",
            BootFile::Ipvs => "ipvsadm.rules",
            BootFile::Links => "links",
            BootFile::FouPorts => "fou-ports",
            BootFile::Timeouts => "timeouts",
            BootFile::SyncDaemons => "sync-daemons",
            BootFile::Offloads => "offloads",
            BootFile::Addresses => "addresses",
            BootFile::Routes => "routes",
            BootFile::Script => "restore.sh",
            BootFile::Unit => "unit",
            BootFile::Enablement => "enabled",
        }
    }
}
