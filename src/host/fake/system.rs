//! Modules, kernel parameters and files.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::State;
use crate::effect::FileState;
use crate::host::HostError;
use crate::host::files::kept_suffix;
use crate::topology::{SecretText, SysctlKey};

/// The parameters that every interface has, with the kernel's own defaults.
const INTERFACE_SYSCTLS: [(&str, &str); 6] = [
    ("arp_announce", "0"),
    ("arp_filter", "0"),
    ("arp_ignore", "0"),
    ("forwarding", "0"),
    ("rp_filter", "0"),
    ("send_redirects", "1"),
];

/// Parameters of the whole host, with the kernel's own defaults.
const SYSCTLS: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/ip_local_port_range", "32768 60999"),
    ("net/ipv6/conf/all/forwarding", "0"),
];

/// Parameters that come with the module ip_vs, with the kernel's own defaults.
const IPVS_SYSCTLS: [(&str, &str); 6] = [
    ("net/ipv4/vs/backup_only", "0"),
    ("net/ipv4/vs/conn_reuse_mode", "1"),
    ("net/ipv4/vs/conntrack", "0"),
    ("net/ipv4/vs/expire_nodest_conn", "0"),
    ("net/ipv4/vs/expire_quiescent_template", "0"),
    ("net/ipv4/vs/sloppy_tcp", "0"),
];

/// The parameter of nf_conntrack that lvsctl sets, with the kernel's own default.
const CONNTRACK_SYSCTLS: [(&str, &str); 1] = [("net/netfilter/nf_conntrack_tcp_loose", "1")];

/// Returns the parameters of a host without interfaces and modules.
pub(super) fn sysctls() -> BTreeMap<SysctlKey, String> {
    SYSCTLS.map(|(path, value)| (SysctlKey::from_path(path), value.to_owned())).into()
}

impl State {
    pub(super) fn load_module(&mut self, name: &str) -> Result<(), HostError> {
        if name.starts_with("no_such") {
            return Err(HostError::Program {
                doing: format!("load the module {name}"),
                program: "modprobe".into(),
                exit: "exit status 1".into(),
                text: format!("modprobe: FATAL: Module {name} not found"),
            });
        }
        if !self.modules.insert(name.into()) {
            return Ok(());
        }
        match name {
            "ip_vs" => {
                self.add_sysctls(&IPVS_SYSCTLS);
                Ok(())
            }
            "nf_conntrack" => {
                self.add_sysctls(&CONNTRACK_SYSCTLS);
                Ok(())
            }
            "ipip" => self.add_link("tunl0", "ipip"),
            "ip6_tunnel" => self.add_link("ip6tnl0", "ip6tnl"),
            "ip_gre" => self.add_link("gre0", "gre"),
            "ip6_gre" => self.add_link("ip6gre0", "ip6gre"),
            _ => Ok(()),
        }
    }

    fn add_sysctls(&mut self, all: &[(&str, &str)]) {
        self.sysctls.extend(all.iter().map(|(path, value)| (SysctlKey::from_path(path), (*value).to_owned())));
    }

    pub(super) fn add_link(&mut self, device: &str, sort: &str) -> Result<(), HostError> {
        self.network.add_link(device, sort)?;
        self.add_interface_sysctls(device);
        Ok(())
    }

    pub(super) fn remove_link(&mut self, device: &str) -> Result<(), HostError> {
        self.network.remove_link(device)?;
        let folder = format!("net/ipv4/conf/{device}/");
        self.sysctls.retain(|key, _| !key.path().starts_with(&folder));
        Ok(())
    }

    pub(super) fn add_interface_sysctls(&mut self, interface: &str) {
        let values = INTERFACE_SYSCTLS;
        self.sysctls.extend(values.map(|(name, value)| (SysctlKey::interface(interface, name), value.to_owned())));
    }

    pub(super) fn write_sysctl(&mut self, key: &SysctlKey, value: &str) -> Result<(), HostError> {
        let doing = format!("set {key} to {value:?}");
        let Some(held) = self.sysctls.get_mut(key) else {
            return Err(HostError::kernel(&doing, Errno::NOENT, |_| Some("the kernel has no such parameter")));
        };
        let is_number = |word: &str| word.parse::<i64>().is_ok();
        let words: Vec<&str> = value.split_whitespace().collect();
        if held.split(' ').all(is_number) && !words.iter().all(|word| is_number(word)) {
            return Err(HostError::kernel(&doing, Errno::INVAL, |_| Some("the kernel refuses this value")));
        }
        *held = words.join(" ");
        Ok(())
    }

    pub(super) fn write_file(
        &mut self,
        path: &str,
        text: &SecretText,
        mode: u32,
        test: bool,
        keep: bool,
    ) -> Result<(), HostError> {
        let doing = format!("write {path}");
        let content = text.expose().ok_or_else(|| HostError::MissingSecret { doing: doing.clone() })?;
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            let text = "the path must be absolute and without \"..\"".into();
            return Err(HostError::Io { doing: "use".into(), path: path.into(), text });
        }
        if test {
            self.test_configuration(&doing, &content)?;
        }
        if keep && let Some(previous) = self.files.get(path).cloned() {
            let kept = FileState { mode: previous.mode & 0o600, ..previous };
            let mut names = (1..).map(|number| format!("{path}{}", kept_suffix(number)));
            let free = names.find(|name| self.files.get(name).is_none_or(|there| there.text == kept.text));
            free.into_iter().for_each(|name| _ = self.files.entry(name).or_insert(kept.clone()));
        }
        self.links.remove(path);
        self.files.insert(path.into(), FileState { mode, text: content });
        Ok(())
    }
}
