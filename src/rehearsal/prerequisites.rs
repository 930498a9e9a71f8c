//! The programs that a disposable kernel runs, and the Debian packages that bring them.
//!
//! Nothing is ever skipped because a program is absent: the error names every missing package and the one command that
//! installs them. A new need is one more line in a list.

use std::path::Path;

use thiserror::Error;

/// A file that must be there, and the package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The program's name, looked for where Debian installs programs.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

/// What a guest in User Mode Linux needs on top of [`GUEST`].
pub const USER_MODE: &[Requirement] = &[Requirement { program: "linux.uml", package: "user-mode-linux" }];

/// What a guest with a distribution's kernel needs on top of [`GUEST`]; the kernel itself is looked for in a folder.
pub const DISTRIBUTION: &[Requirement] = &[Requirement { program: "qemu-system-x86_64", package: "qemu-system-x86" }];

/// What every guest needs.
pub const GUEST: &[Requirement] =
    &[Requirement { program: "ip", package: "iproute2" }, Requirement { program: "modprobe", package: "kmod" }];

/// What a rehearsal needs on top of [`GUEST`].
pub const REHEARSAL: &[Requirement] = &[
    Requirement { program: "nginx", package: "nginx-light" },
    Requirement { program: "keepalived", package: "keepalived" },
    Requirement { program: "iptables-legacy-restore", package: "iptables" },
    Requirement { program: "curl", package: "curl" },
    Requirement { program: "openssl", package: "openssl" },
];

/// What the kernel tests need on top of [`GUEST`] and [`REHEARSAL`], to look at the kernel with other eyes than lvsctl's.
pub const KERNEL_TESTS: &[Requirement] = &[
    Requirement { program: "ipvsadm", package: "ipvsadm" },
    Requirement { program: "nft", package: "nftables" },
    Requirement { program: "sshd", package: "openssh-server" },
    Requirement { program: "sudo", package: "sudo" },
    Requirement { program: "strip", package: "binutils" },
];

/// Where Debian installs programs.
const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Packages that are not installed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("This needs {} that {} not installed: {}", plural(.packages, "a package", "packages"), plural(.packages, "is", "are"), .packages.join(", "))]
pub struct MissingPackages {
    /// Their names, sorted.
    pub packages: Vec<&'static str>,
}

impl MissingPackages {
    /// Returns the command that installs them.
    pub fn help(&self) -> String {
        format!("sudo apt-get install --no-install-recommends {}", self.packages.join(" "))
    }
}

fn plural<'a>(packages: &[&str], one: &'a str, many: &'a str) -> &'a str {
    if packages.len() == 1 { one } else { many }
}

/// Checks that every program of the lists is installed.
pub fn check(lists: &[&[Requirement]]) -> Result<(), MissingPackages> {
    missing(lists, &|program| FOLDERS.iter().any(|folder| Path::new(folder).join(program).exists()))
}

fn missing(lists: &[&[Requirement]], is_there: &dyn Fn(&str) -> bool) -> Result<(), MissingPackages> {
    let wanting = lists.iter().copied().flatten().filter(|requirement| !is_there(requirement.program));
    let mut packages: Vec<_> = wanting.map(|requirement| requirement.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() { Ok(()) } else { Err(MissingPackages { packages }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_missing_package_once_with_the_command() {
        let absent = ["nginx", "curl", "linux.uml"];
        let error =
            missing(&[USER_MODE, GUEST, REHEARSAL, REHEARSAL], &|program| !absent.contains(&program)).unwrap_err();
        assert_eq!(error.packages, ["curl", "nginx-light", "user-mode-linux"]);
        assert_eq!(error.to_string(), "This needs packages that are not installed: curl, nginx-light, user-mode-linux");
        assert_eq!(error.help(), "sudo apt-get install --no-install-recommends curl nginx-light user-mode-linux");
    }

    #[test]
    fn an_emulator_that_is_not_there_is_named_by_its_package() {
        let error = missing(&[DISTRIBUTION], &|_| false).unwrap_err();
        assert_eq!(error.help(), "sudo apt-get install --no-install-recommends qemu-system-x86");
    }

    #[test]
    fn one_package_is_named_in_the_singular() {
        let error = missing(&[GUEST], &|program| program != "ip").unwrap_err();
        assert_eq!(error.to_string(), "This needs a package that is not installed: iproute2");
    }

    #[test]
    fn nothing_is_missing_where_everything_is_there() {
        assert_eq!(missing(&[USER_MODE, DISTRIBUTION, GUEST, REHEARSAL, KERNEL_TESTS], &|_| true), Ok(()));
    }
}
