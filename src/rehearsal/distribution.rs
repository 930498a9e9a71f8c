//! A distribution's kernel with its modules, as its package lays them out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What the kernel's file is called in `boot`, before its release.
const IMAGE: &str = "vmlinuz-";

/// A kernel that was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionKernel {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// The kernel itself.
    pub image: PathBuf,
    /// The folder of its modules, with the lists of depmod(8).
    pub modules: PathBuf,
}

/// A folder without a kernel that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("There is no kernel with its modules in {}", folder.display())]
pub struct NoKernel {
    /// The folder.
    pub folder: PathBuf,
}

impl DistributionKernel {
    /// Finds the kernel in a folder that has `boot` and `lib/modules`, the last one by name if there are several.
    pub fn find(folder: &Path) -> Result<Self, NoKernel> {
        let mut releases: Vec<String> = fs::read_dir(folder.join("boot"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_prefix(IMAGE)?.to_owned()))
            .collect();
        releases.sort();
        let kernel = |release: String| DistributionKernel {
            image: folder.join("boot").join(format!("{IMAGE}{release}")),
            modules: folder.join("lib/modules").join(&release),
            release,
        };
        let found = releases.into_iter().rev().map(kernel).find(|kernel| kernel.dependencies().is_some());
        found.ok_or_else(|| NoKernel { folder: folder.to_owned() })
    }

    /// Returns the files of some modules and of what they need, in an order in which they can be inserted.
    ///
    /// A name without a file is a module that is built in.
    pub(super) fn in_order(&self, names: &[&str]) -> Vec<PathBuf> {
        let text = self.dependencies().unwrap_or_default();
        let needs = parse(&text);
        let mut order = Vec::new();
        names.iter().for_each(|name| insert(name, &needs, &mut order));
        order.into_iter().map(|file| self.modules.join(file)).collect()
    }

    fn dependencies(&self) -> Option<String> {
        fs::read_to_string(self.modules.join("modules.dep")).ok()
    }
}

/// A module's file, and the files that it needs.
type Needs<'a> = BTreeMap<&'a str, (&'a str, Vec<&'a str>)>;

/// Reads `modules.dep`, by the names of the modules.
fn parse(text: &str) -> Needs<'_> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(file, needed)| (name_of(file), (file, needed.split_whitespace().collect()))).collect()
}

fn name_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name)
}

/// The list of what a module needs is complete but not in any order, so each of it is asked for what it needs itself.
fn insert<'a>(name: &str, needs: &Needs<'a>, order: &mut Vec<&'a str>) {
    let Some((file, needed)) = needs.get(name) else { return };
    if order.contains(file) {
        return;
    }
    needed.iter().for_each(|file| insert(name_of(file), needs, order));
    order.push(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let lists = folder.path().join("lib/modules/6.1.0-test");
        fs::create_dir_all(&lists).unwrap();
        fs::create_dir(folder.path().join("boot")).unwrap();
        assert!(DistributionKernel::find(folder.path()).is_err());
        fs::write(folder.path().join("boot/vmlinuz-6.1.0-test"), "").unwrap();
        assert!(DistributionKernel::find(folder.path()).is_err());
        let text =
            "v/pci.ko: v/virtio.ko v/ring.ko\nv/virtio.ko: v/ring.ko\nv/ring.ko:\nv/9p.ko: v/virtio.ko v/ring.ko\n";
        fs::write(lists.join("modules.dep"), text).unwrap();
        let kernel = DistributionKernel::find(folder.path()).unwrap();
        assert_eq!(kernel.release, "6.1.0-test");
        let files = ["v/ring.ko", "v/virtio.ko", "v/pci.ko", "v/9p.ko"].map(|file| lists.join(file));
        assert_eq!(kernel.in_order(&["pci", "9p", "built_in"]), files);
    }
}
