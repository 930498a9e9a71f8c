//! Kernel parameters below /proc/sys; those of the network are the ones of the calling thread's namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::HostError;
use crate::topology::SysctlKey;

/// Reads parameters; one that the host does not have is `None`.
pub(super) fn read(keys: &[SysctlKey]) -> Result<BTreeMap<SysctlKey, Option<String>>, HostError> {
    keys.iter().map(|key| Ok((key.clone(), read_one(key)?))).collect()
}

fn read_one(key: &SysctlKey) -> Result<Option<String>, HostError> {
    let doing = format!("read {key}");
    let path = path(&doing, key)?;
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(canonical(&text))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(refused(&doing, &error)),
    }
}

/// Writes a parameter.
pub(super) fn write(key: &SysctlKey, value: &str) -> Result<(), HostError> {
    let doing = format!("set {key} to {value:?}");
    let path = path(&doing, key)?;
    // Opened without "create": /proc/sys would answer a missing one with the wrong error.
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|error| refused(&doing, &error))
}

/// Removes an address while the kernel keeps the others of its network: unless it promotes one of them, they go with the first.
/// (`__inet_del_ifa` in `net/ipv4/devinet.c`; IPv6 has no such thing.)
pub(super) fn with_promotion(
    device: &str,
    address: IpAddr,
    remove: impl FnOnce() -> Result<(), HostError>,
) -> Result<(), HostError> {
    let key = SysctlKey::interface(device, "promote_secondaries");
    if address.is_ipv6() || read_one(&key)?.as_deref() != Some("0") {
        return remove();
    }
    write(&key, "1")?;
    let removed = remove();
    // Who is killed here leaves a parameter behind that keeps addresses.
    removed.and(write(&key, "0"))
}

/// The kernel separates the words of a value by tabs or spaces as it likes.
fn canonical(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn path(doing: &str, key: &SysctlKey) -> Result<PathBuf, HostError> {
    let below = Path::new(key.path());
    if below.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(Path::new("/proc/sys").join(below));
    }
    Err(HostError::kernel(doing, Errno::INVAL, |_| Some("this is no name of a parameter")))
}

fn refused(doing: &str, error: &io::Error) -> HostError {
    HostError::kernel(doing, Errno::from_io_error(error).unwrap_or(Errno::IO), |errno| match errno {
        Errno::NOENT => Some("the kernel has no such parameter"),
        Errno::INVAL => Some("the kernel refuses this value"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_canonical_and_missing_parameters_are_none() {
        let there = SysctlKey::from_path("net/ipv4/ip_local_port_range");
        let missing = SysctlKey::from_path("net/ipv4/no_such_parameter");
        let values = read(&[there.clone(), missing.clone()]).unwrap();
        let words: Vec<_> = values[&there].as_deref().unwrap().split(' ').collect();
        assert_eq!(words.len(), 2, "two ports with one space");
        assert_eq!(values[&missing], None);
        assert_eq!(read_one(&SysctlKey::from_path("../../etc/passwd")).unwrap_err().errno(), Some("EINVAL"));
        assert_eq!(write(&missing, "1").unwrap_err().errno(), Some("ENOENT"));
    }
}
