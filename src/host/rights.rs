//! Which rights this process has, so that a refusal is put down to a missing one only if it is missing.

use std::fs;

/// A right that changing a host takes (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// To change addresses, routes, rules, the IPVS table and the network's parameters.
    NetworkAdministration,
    /// To load modules.
    ModuleLoading,
}

impl Right {
    /// Returns the capability's name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Right::NetworkAdministration => "CAP_NET_ADMIN",
            Right::ModuleLoading => "CAP_SYS_MODULE",
        }
    }

    /// Returns the number of the capability (`uapi/linux/capability.h`).
    fn bit(self) -> u32 {
        match self {
            Right::NetworkAdministration => 12,
            Right::ModuleLoading => 16,
        }
    }

    /// Returns the right without which a program cannot do its work, if there is one.
    pub(super) fn of_program(program: &str) -> Option<Self> {
        match program {
            "modprobe" => Some(Right::ModuleLoading),
            name if name.starts_with("iptables") || name.starts_with("ip6tables") => Some(Right::NetworkAdministration),
            _ => None,
        }
    }

    /// Tells whether this thread lacks the right; one that cannot be told is not said to be missing.
    pub(super) fn is_missing(self) -> bool {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        held(&status).is_some_and(|held| held & (1 << self.bit()) == 0)
    }
}

/// Reads the effective capabilities out of `/proc/PID/status`.
fn held(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_capabilities_are_read() {
        assert_eq!(held("Name:\tx\nCapPrm:\t0000\nCapEff:\t0000000000001000\n"), Some(1 << 12));
        assert_eq!(held("Name:\tx\n"), None);
        assert_eq!(Right::of_program("ip6tables-legacy-restore"), Some(Right::NetworkAdministration));
        assert_eq!(Right::of_program("keepalived"), None);
    }
}
