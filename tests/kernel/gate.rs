//! A keepalived that looks at no configuration before it is let, so that an apply stands still in the middle of writing one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Where the program is, and the files that tell how far it is.
const FOLDER: &str = "/run/gate";

/// Waits before `keepalived -t` for [`Gate::open`].
const SCRIPT: &str = "#!/bin/sh
case \" $* \" in *' -t '*) : > /run/gate/held; while [ -d /run/gate ] && [ ! -e /run/gate/open ]; do sleep 0.05; done;; esac
exec /usr/sbin/keepalived \"$@\"
";

/// The gate; with it goes what holds anybody up.
pub struct Gate;

impl Gate {
    pub fn new() -> Self {
        let program = Path::new(FOLDER).join("keepalived");
        fs::create_dir_all(FOLDER).expect("the folder");
        fs::write(&program, SCRIPT).expect("the gate");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
        Gate
    }

    /// Leads a run of lvsctl through it.
    pub fn put_before(&self, command: &mut Command) {
        command.env("PATH", format!("{FOLDER}:/usr/sbin:/usr/bin:/sbin:/bin"));
    }

    /// Tells whether somebody waits before it, or has.
    pub fn is_held(&self) -> bool {
        Path::new(FOLDER).join("held").exists()
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        fs::write(Path::new(FOLDER).join("open"), "").expect("an open gate");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(FOLDER);
    }
}
