//! What a guest's first process starts from: the host's files, found and mounted as the kernel at hand can.
//!
//! A memory file system is laid over them, so that the guest may write everywhere and nothing reaches the host.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use super::emulated::{ROOT_TAG, STAGE, Stage, WORK_TAG};
use super::init::{WORK, mount};

/// Where the package user-mode-linux puts the kernel's modules, by release.
const MODULES: &str = "/usr/lib/uml/modules";

/// How 9p is spoken: the host's files do not change under the guest, but those of the work folder do.
const SPOKEN: &str = "trans=virtio,version=9p2000.L,msize=262144";

/// Where the host's files come from.
#[derive(Debug)]
pub(super) enum Base {
    /// They are the root already; User Mode Linux mounts them by itself.
    Hostfs,
    /// The root is the initial one, and they are served over 9p.
    Served(Stage),
}

impl Base {
    /// Tells which it is.
    pub(super) fn find() -> Result<Self, String> {
        match fs::read(STAGE) {
            Ok(text) => serde_json::from_slice(&text).map(Base::Served).map_err(|error| format!("{STAGE}: {error}")),
            Err(_) => Ok(Base::Hostfs),
        }
    }

    /// Makes the host's files the root, under a memory file system, and mounts what every system has.
    ///
    /// Modules for that are inserted by hand, because modprobe needs folders that are only there afterwards.
    pub(super) fn enter(&self) -> Result<(), String> {
        match self {
            Base::Hostfs => {
                insert(&self.modules().join("kernel/fs/overlayfs/overlay.ko"))?;
                lay_over("/", "/tmp")?;
            }
            Base::Served(stage) => {
                stage.insert.iter().try_for_each(|module| insert(module))?;
                mount_9p(ROOT_TAG, "/host", MountFlags::RDONLY, ",cache=loose")?;
                lay_over("/host", "/layer")?;
            }
        }
        let modules = Path::new("/lib/modules");
        fs::create_dir_all(modules).map_err(|error| format!("/lib/modules cannot be made: {error}"))?;
        let link = modules.join(release());
        let _ = fs::remove_file(&link);
        symlink(self.modules(), &link).map_err(|error| format!("{} cannot be made: {error}", link.display()))?;
        mount_system()
    }

    /// Mounts the work folder.
    pub(super) fn mount_work(&self, work: &Path) -> Result<(), String> {
        match self {
            Base::Hostfs => mount("hostfs", WORK, MountFlags::empty(), &work.to_string_lossy()),
            Base::Served(_) => mount_9p(WORK_TAG, WORK, MountFlags::empty(), ",cache=none"),
        }
    }

    /// Returns the program that iptables is: User Mode Linux has no IPv4 family of nf_tables.
    pub(super) fn iptables(&self) -> &'static str {
        match self {
            Base::Hostfs => "xtables-legacy-multi",
            Base::Served(_) => "xtables-nft-multi",
        }
    }

    fn modules(&self) -> PathBuf {
        match self {
            Base::Hostfs => Path::new(MODULES).join(release()),
            Base::Served(stage) => stage.modules.clone(),
        }
    }
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn insert(module: &Path) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("{} cannot be loaded: {error}", module.display());
    let file = File::open(module).map_err(|error| told(&error))?;
    rustix::system::finit_module(&file, c"", 0).map_err(|error| told(&error))
}

fn mount_9p(tag: &str, target: &str, flags: MountFlags, cache: &str) -> Result<(), String> {
    let data = std::ffi::CString::new(format!("{SPOKEN}{cache}")).map_err(|error| error.to_string())?;
    rustix::mount::mount(tag, target, "9p", flags, Some(data.as_c_str()))
        .map_err(|error| format!("The host's files cannot be mounted on {target}: {error}"))
}

/// Lays a memory file system, mounted on `layer`, over `lower`, and makes both together the root.
fn lay_over(lower: &str, layer: &str) -> Result<(), String> {
    mount("tmpfs", layer, MountFlags::empty(), "mode=0755")?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| format!("{layer}/{name}"));
    for folder in [&upper, &work, &root] {
        fs::create_dir(folder).map_err(|error| format!("{folder} cannot be made: {error}"))?;
    }
    mount("overlay", &root, MountFlags::empty(), &format!("lowerdir={lower},upperdir={upper},workdir={work}"))?;
    let moved = std::env::set_current_dir(&root)
        .map_err(|error| error.to_string())
        .and_then(|()| rustix::mount::mount_move(".", "/").map_err(|error| error.to_string()))
        .and_then(|()| rustix::process::chroot(".").map_err(|error| error.to_string()))
        .and_then(|()| std::env::set_current_dir("/").map_err(|error| error.to_string()));
    moved.map_err(|error| format!("The writable root cannot be entered: {error}"))
}

fn mount_system() -> Result<(), String> {
    // Not /tmp: what the host has there, perhaps this very project, stays in sight, and what is written is gone anyway.
    for folder in ["/proc", "/sys", "/run", "/tmp", "/dev"] {
        fs::create_dir_all(folder).map_err(|error| format!("{folder} cannot be made: {error}"))?;
    }
    mount("proc", "/proc", MountFlags::empty(), "")?;
    mount("sysfs", "/sys", MountFlags::empty(), "")?;
    mount("tmpfs", "/run", MountFlags::empty(), "mode=0755")?;
    // The kernel may have mounted it already.
    let _ = mount("devtmpfs", "/dev", MountFlags::empty(), "mode=0755");
    Ok(())
}
