//! Network namespaces for the tests, each with an interface and a folder of files of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
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
        let namespace = Namespace::several(1).remove(0);
        namespace.run(&["ip", "link", "set", "lo", "up"]);
        namespace
    }

    /// Makes namespaces whose loopback interface is down, with one program for all.
    pub fn several(count: usize) -> Vec<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let made: Vec<Namespace> = (0..count)
            .map(|_| {
                let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
                let root = Path::new("/run/lab").join(&name);
                for folder in ["etc/keepalived", "var/lib", "run"] {
                    fs::create_dir_all(root.join(folder)).expect("the namespace's folder");
                }
                Namespace { name, root }
            })
            .collect();
        let commands: String = made.iter().map(|namespace| format!("netns add {}\n", namespace.name)).collect();
        feed(&["ip", "-batch", "-"], &commands);
        made
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

    /// Runs a command in the namespace with a text on its standard input, as [`Namespace::run`] does.
    pub fn feed(&self, command: &[&str], input: &str) -> String {
        self.enter(|| feed(command, input))
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
    let _ = fs::remove_dir_all("/run/lab");
    fs::create_dir_all("/run/lab").expect("the folder of all hosts");
}

/// Ends a namespace with its processes as `ip netns` would, without starting it twice.
fn end(namespace: &str) {
    let path = Path::new("/run/netns").join(namespace);
    let own = std::process::id();
    let processes = processes_in(&path).into_iter().filter(|pid| *pid != own);
    for pid in processes.filter_map(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
    let _ = fs::remove_file(path);
}

/// Returns the processes that are in a namespace.
fn processes_in(namespace: &Path) -> Vec<u32> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
    let Some(wanted) = identity(namespace) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| identity(&Path::new("/proc").join(pid.to_string()).join("ns/net")) == Some(wanted)).collect()
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

/// Runs a command, which must succeed.
pub fn run(command: &[&str]) -> String {
    check(Command::new(command[0]).args(&command[1..]))
}

/// Runs a command with a short text on its standard input, which must succeed.
fn feed(command: &[&str], input: &str) -> String {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the text is read");
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    succeeded(&output, &format!("{command:?} with {input}"))
}

fn check(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    succeeded(&output, &format!("{command:?}"))
}

fn succeeded(output: &Output, command: &str) -> String {
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
