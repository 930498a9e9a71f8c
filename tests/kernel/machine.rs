//! A network namespace that is a machine to what runs in it: it sees files of its own where lvsctl and a login look.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This program, under the name by which it is lvsctl, without what only a debugger needs: it is copied to hosts.
const LVSCTL: &str = "/opt/laboratory/lvsctl";

/// What is laid over the guest's own files. `/run` comes last, because the folders of all hosts are below it.
const FILES: &str = "\
overlay /etc overlay lowerdir=/etc,upperdir=@/etc,workdir=@/work 0 0
@/var/lib /var/lib none bind 0 0
@/var/log /var/log none bind 0 0
@/root /root none bind 0 0
@/sbin /usr/local/sbin none bind 0 0
@/boot /proc/sys/kernel/random/boot_id none bind 0 0
@/run /run none bind 0 0
";

/// Prepares a program in a namespace with the files below a folder.
pub fn command(namespace: &str, root: &Path, program: &[&str]) -> Command {
    for folder in ["etc", "var/lib", "var/log", "root", "run", "sbin", "work"] {
        fs::create_dir_all(root.join(folder)).expect("a folder of the machine");
    }
    fs::set_permissions(root.join("root"), fs::Permissions::from_mode(0o700)).expect("the mode of root's folder");
    if !root.join("boot").exists() {
        boot(root);
    }
    let table = root.join("files");
    fs::write(&table, FILES.replace('@', &root.to_string_lossy())).expect("the table of files");
    let mut command = Command::new("ip");
    // It makes a mount namespace by the way.
    command.args(["netns", "exec", namespace, "sh", "-c", "mount -a -T \"$1\" && shift && exec \"$@\"", "sh"]);
    command.arg(table).args(program);
    command
}

/// Gives a machine another run of the kernel, as far as it can tell.
pub fn boot(root: &Path) {
    let fresh = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a random number");
    fs::write(root.join("boot"), fresh).expect("the run of the kernel");
}

/// Returns the path of lvsctl for hosts, made once in a guest.
pub fn lvsctl() -> PathBuf {
    let path = PathBuf::from(LVSCTL);
    if !path.exists() {
        let own = std::env::current_exe().expect("this program");
        strip(&own, &path);
    }
    path
}

/// Copies a program without what only a debugger needs.
pub fn strip(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a folder")).expect("its folder");
    let status = Command::new("strip").arg("-o").arg(to).arg(from).status().expect("strip");
    assert!(status.success(), "{} cannot be stripped", from.display());
}
