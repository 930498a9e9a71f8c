//! Kernel modules: looked up without loading anything, and loaded with modprobe(8).

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{HostError, program};

/// Tells whether a module is loaded or built in.
pub(super) fn is_present(name: &str) -> bool {
    let name = canonical(name);
    // A built-in module has a folder there only if it has parameters.
    Path::new("/sys/module").join(&name).exists() || is_loaded(&name) || is_built_in(&name)
}

/// Tells whether a module is not there and could come to be, by itself or by being asked for.
pub(super) fn is_loadable(name: &str) -> bool {
    let name = canonical(name);
    !is_present(&name) && listed("modules.dep").lines().any(|line| module_of(line).as_deref() == Some(&name))
}

/// Loads a module with those that it needs; one that is there already is fine. `options` is a folder of modprobe.d(5)
/// instead of the machine's.
pub(super) fn load(name: &str, options: Option<&Path>) -> Result<(), HostError> {
    if is_present(name) {
        return Ok(());
    }
    let doing = format!("load the module {name}");
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"--", &name];
    if let Some(folder) = &options {
        arguments.splice(0..0, [&"-C" as &dyn AsRef<std::ffi::OsStr>, folder]);
    }
    program::succeed(&doing, "modprobe", &arguments, None, Duration::from_secs(30)).map(drop)
}

/// Returns the binary logarithm of the size of IPVS's connection table, if the module is there.
pub(super) fn connection_table_bits() -> Option<u32> {
    fs::read_to_string("/sys/module/ip_vs/parameters/conn_tab_bits").ok()?.trim().parse().ok()
}

fn is_loaded(name: &str) -> bool {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    modules.lines().any(|line| line.split(' ').next() == Some(name))
}

fn is_built_in(name: &str) -> bool {
    listed("modules.builtin").lines().any(|line| module_of(line).as_deref() == Some(name))
}

/// Reads one of the lists that depmod(8) makes for the running kernel.
fn listed(list: &str) -> String {
    let release = rustix::system::uname();
    let folder = Path::new("/lib/modules").join(release.release().to_string_lossy().as_ref());
    fs::read_to_string(folder.join(list)).unwrap_or_default()
}

/// Takes `ip_vs` from `kernel/net/netfilter/ipvs/ip_vs.ko: kernel/lib/libcrc32c.ko`.
fn module_of(line: &str) -> Option<String> {
    let file = line.split(':').next()?.rsplit('/').next()?;
    Some(canonical(file.split(".ko").next()?))
}

/// The kernel's own spelling has underscores; files may have hyphens.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_named_by_its_file() {
        assert_eq!(module_of("kernel/crypto/sha256-generic.ko").as_deref(), Some("sha256_generic"));
        assert_eq!(module_of("kernel/net/ip_vs.ko.xz").as_deref(), Some("ip_vs"));
        assert_eq!(module_of("kernel/net/ip_vs.ko: kernel/lib/libcrc32c.ko").as_deref(), Some("ip_vs"));
        assert!(!is_present("no_such_module_anywhere"));
    }
}
