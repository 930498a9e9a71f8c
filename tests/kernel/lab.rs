//! Network namespaces for the tests, each with an interface and a folder of files of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::LinkNameSpaceType;

/// A network namespace with `lo` and a dummy `eth0` that are up; it ends with its processes when it is dropped.
pub struct Namespace {
    name: String,
    root: PathBuf,
}

impl Namespace {
    /// Makes a namespace whose `eth0` has no address.
    pub fn new() -> Self {
        let namespace = Namespace::bare();
        namespace.run(&["ip", "link", "add", "eth0", "type", "dummy"]);
        namespace.run(&["ip", "link", "set", "eth0", "up"]);
        namespace
    }

    /// Makes a namespace with the loopback interface only.
    pub fn bare() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let root = Path::new("/run/lab").join(&name);
        for folder in ["etc/keepalived", "var/lib", "run"] {
            fs::create_dir_all(root.join(folder)).expect("the namespace's folder");
        }
        check(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Namespace { name, root };
        namespace.run(&["ip", "link", "set", "lo", "up"]);
        namespace
    }

    /// Makes a namespace with an address such as `192.0.2.1/24` on `eth0`.
    #[allow(dead_code)]
    pub fn with_address(address: &str) -> Self {
        let namespace = Namespace::new();
        namespace.run(&["ip", "address", "add", address, "dev", "eth0"]);
        namespace
    }

    /// Returns its name below `/run/netns`.
    #[allow(dead_code)]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the folder with `etc`, `var` and `run`.
    #[allow(dead_code)]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Does something on a thread that is in the namespace; child processes are then in it as well.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.name, work)
    }

    /// Runs a command in the namespace, which must succeed, and returns its standard output.
    pub fn run(&self, command: &[&str]) -> String {
        self.enter(|| check(Command::new(command[0]).args(&command[1..])))
    }

    /// Runs a command in the namespace, whatever comes of it.
    #[allow(dead_code)]
    pub fn try_run(&self, command: &[&str]) -> Output {
        self.enter(|| Command::new(command[0]).args(&command[1..]).output().expect("the command starts"))
    }

    /// Reads a file of `/proc/net` as the namespace sees it.
    pub fn proc_net(&self, name: &str) -> String {
        self.enter(|| fs::read_to_string(Path::new("/proc/thread-self/net").join(name)).expect("the file below /proc"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        end(&self.name);
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Runs a command in a namespace of any name, which must succeed, and returns its standard output.
pub fn within(namespace: &str, command: &[&str]) -> String {
    enter(namespace, || check(Command::new(command[0]).args(&command[1..])))
}

/// Ends every namespace with its processes and its files, so that the next test finds none.
pub fn clear() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        end(&entry.file_name().to_string_lossy());
    }
    // The disks of its hosts.
    for line in fs::read_to_string("/proc/mounts").unwrap_or_default().lines() {
        if let Some(disk) = line.split(' ').nth(1).filter(|place| place.starts_with("/run/lab/")) {
            let _ = rustix::mount::unmount(disk, rustix::mount::UnmountFlags::DETACH);
        }
    }
    let _ = fs::remove_dir_all("/run/lab");
    fs::create_dir_all("/run/lab").expect("the folder of all hosts");
}

fn end(namespace: &str) {
    kill_all(namespace);
    let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
}

/// Kills every process in a namespace but this one.
pub fn kill_all(namespace: &str) {
    let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
    let pids = pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let own = std::process::id() as i32;
    for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != own) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Does something on a thread that is in a namespace of any name.
pub fn enter<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = fs::File::open(Path::new("/run/netns").join(namespace)).expect("the namespace");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).expect("setns");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn check(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
