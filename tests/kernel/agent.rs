//! The agent at the far end: the contract over it, and how it gets there.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lvsctl::host::agent::{Binary, RemoteHost, Root, Session, Started, Transport, start_with};
use lvsctl::host::{Host, HostError};

use crate::contract::{Bench, cases};
use crate::host_contract::bench;
use crate::lab::Namespace;
use crate::machine;
use crate::runner::{Test, running, test};

const PREFIX: &str = "agent::contract::";
const SILENCE: Duration = Duration::from_secs(20);
const FOLDER: &str = "/run/lvsctl-agent";

pub fn tests() -> Vec<Test> {
    let named = |name| test(format!("{PREFIX}{name}").leak(), keep_contract).within(60);
    let mut tests: Vec<Test> = cases().into_iter().map(|(name, _)| named(name)).collect();
    tests.extend([
        test("agent::nothing_but_frames_is_on_its_output", nothing_but_frames).within(60),
        test("agent::is_uploaded_once_and_kept", uploaded_once).within(90),
        test("agent::many_upload_at_once", many_at_once).within(90),
        test("agent::is_not_put_into_a_folder_of_somebody_else", bad_folders).within(60),
        test("agent::runs_where_programs_may_not_be_run", no_programs).within(60),
        test("agent::is_not_run_unless_it_is_whole", broken_uploads).within(90),
        test("agent::noise_and_other_processors_are_explained", noise).within(90),
    ]);
    tests
}

/// A program at the other end of a pair of sockets; its standard error is read all the time.
struct Pipe {
    stream: UnixStream,
    complaints: Arc<Mutex<String>>,
    child: Child,
}

impl Pipe {
    fn to(command: &mut Command) -> Self {
        let (stream, far) = UnixStream::pair().expect("a pair of sockets");
        let far: OwnedFd = far.into();
        command.stdin(far.try_clone().expect("its other half")).stdout(far).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        // The command holds the far end as well, and would keep it open.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let complaints = Arc::new(Mutex::new(String::new()));
        let (kept, mut stderr) = (complaints.clone(), child.stderr.take().expect("its standard error"));
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                let mut kept = kept.lock().expect("no panic");
                if kept.len() < 10_000 {
                    kept.push_str(&String::from_utf8_lossy(&buffer[..length]));
                }
            }
        });
        Pipe { stream, complaints, child }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Transport for Pipe {
    fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(within))?;
        self.stream.set_write_timeout(Some(within))
    }

    fn complaints(&mut self) -> String {
        self.complaints.lock().expect("no panic").clone()
    }
}

/// A host of the contract, reached through an agent.
struct Far(Namespace);

impl Bench for Far {
    fn connect(&self) -> Box<dyn Host> {
        let lvsctl = machine::lvsctl();
        let program = [lvsctl.to_str().expect("a path"), "agent"];
        let mut command = machine::command(self.0.name(), self.0.root(), &program);
        Box::new(RemoteHost::greet(Pipe::to(&mut command), SILENCE).expect("the agent"))
    }
}

fn keep_contract() {
    let name = running();
    let wanted = name.strip_prefix(PREFIX).expect("a case of the contract");
    let (_, case) = cases().into_iter().find(|(name, _)| *name == wanted).expect("the case");
    case(&Far(bench()));
}

fn nothing_but_frames() {
    let mut pipe = Pipe::to(Command::new(machine::lvsctl()).arg("agent"));
    let agent = pipe.child.id();
    let names = |number: u32| {
        let link = |end: u32| fs::read_link(format!("/proc/{agent}/fd/{end}")).expect("its file");
        link(number).to_string_lossy().into_owned()
    };
    pipe.set_timeout(SILENCE).expect("a timeout");
    pipe.read_exact(&mut [0; 16]).expect("its first word");
    assert_eq!(names(0), "/dev/null");
    assert_eq!(names(1), names(2), "what is printed goes to the standard error");
    // Its input ends, and so does it, with whatever it held.
    pipe.stream.shutdown(std::net::Shutdown::Write).expect("the end of its input");
    let begun = Instant::now();
    let status = pipe.child.wait().expect("its end");
    assert_eq!(status.code(), Some(1));
    // A client that was only not heard is given up after 30 s.
    assert!(begun.elapsed() < SILENCE, "{:?}", begun.elapsed());
}

/// A login that runs what it is given by a shell of this machine.
struct Shell {
    /// What the shell says or does first.
    before: &'static str,
    /// Whose login it is.
    user: u32,
    /// What becomes of the bytes on their way there: so many arrive, and then the connection is cut, or one is changed.
    arriving: Option<usize>,
    garbled: bool,
    runs: u32,
}

impl Shell {
    fn new() -> Self {
        Shell { before: "", user: 0, arriving: None, garbled: false, runs: 0 }
    }

    fn start(&mut self, binary: &Binary) -> Result<Started, HostError> {
        start_with(self, Root::Login, SILENCE, binary, &|_| None)
    }

    fn refused(&mut self, binary: &Binary) -> String {
        let error = self.start(binary).map(drop).expect_err("no agent");
        let help = error.help().expect("what to do about it");
        format!("{error}\n{help}")
    }
}

impl Session for Shell {
    fn run(&mut self, command: &str) -> Result<Box<dyn Transport>, HostError> {
        self.runs += 1;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{}{command}", self.before)]).uid(self.user).gid(self.user).current_dir("/");
        let pipe = Pipe::to(&mut shell);
        Ok(match (self.arriving, self.garbled) {
            (None, false) => Box::new(pipe),
            (left, garbled) => Box::new(Bad { pipe, left: left.unwrap_or(usize::MAX), garbled }),
        })
    }

    fn user(&self) -> &str {
        "alice"
    }
}

/// A connection that fails or lies.
struct Bad {
    pipe: Pipe,
    left: usize,
    garbled: bool,
}

impl Read for Bad {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pipe.read(buffer)
    }
}

impl Write for Bad {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.pipe.stream.shutdown(std::net::Shutdown::Write)?;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let length = buffer.len().min(self.left).min(65_536);
        let mut bytes = buffer[..length].to_vec();
        if std::mem::take(&mut self.garbled) {
            bytes[length / 2] ^= 1;
        }
        let written = self.pipe.write(&bytes)?;
        self.left -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

impl Transport for Bad {
    fn set_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.pipe.set_timeout(within)
    }

    fn complaints(&mut self) -> String {
        self.pipe.complaints()
    }
}

/// Where a static build of these sources is put in a guest.
pub const STATIC: &str = "/opt/laboratory/static/lvsctl";

/// Returns a static build of these sources.
pub fn static_build() -> Binary {
    let stripped = Path::new(STATIC);
    if !stripped.exists() {
        let folders = fs::read_dir("target").expect("the folder of builds");
        let builds = folders.map(|entry| entry.expect("an entry").path().join("debug/lvsctl"));
        let of_target = |path: &PathBuf| path.is_file() && path.parent() != Some(Path::new("target/debug"));
        let build = builds.filter(of_target).max_by_key(|path| modified(path));
        let build = build.expect("a static build, which tools/build-static makes");
        let newest = crate::laboratory::walk(Path::new("src")).iter().map(|path| modified(path)).max();
        assert!(Some(modified(&build)) >= newest, "{} is older than src: tools/build-static", build.display());
        machine::strip(&build, stripped);
    }
    Binary::of(fs::read(stripped).expect("the static build"))
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|data| data.modified()).expect("a file's time")
}

fn files() -> Vec<String> {
    let names = fs::read_dir(FOLDER).expect("the folder of agents").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn works(host: Result<Started, HostError>) -> Started {
    let mut host = host.unwrap_or_else(|error| panic!("{error}"));
    host.capabilities().expect("an answer");
    host
}

/// Sets a file's time so many hours back.
fn aged(name: &str, hours: u32) {
    let path = Path::new(FOLDER).join(name);
    fs::write(&path, "").expect("an old file");
    let file = fs::File::open(path).expect("the old file");
    file.set_modified(SystemTime::now() - Duration::from_secs(3600) * hours).expect("its time");
}

fn uploaded_once() {
    let binary = static_build();
    let _ = fs::remove_dir_all(FOLDER);
    let mut shell = Shell::new();
    works(shell.start(&binary)).end().expect("an orderly end");
    assert_eq!(shell.runs, 2, "it is looked for, and then brought");
    assert_eq!(files(), [binary.digest()]);
    let mode = |path: &Path| fs::metadata(path).map(|data| (data.mode() & 0o7777, data.uid())).expect("a file");
    assert_eq!(mode(Path::new(FOLDER)), (0o700, 0));
    assert_eq!(mode(&Path::new(FOLDER).join(binary.digest())), (0o700, 0));
    let begun = Instant::now();
    works(shell.start(&binary));
    println!("an agent that was there answered after {:?}", begun.elapsed());
    assert_eq!(shell.runs, 3, "it is there");
    // Another build finds what was left by earlier ones, and by uploads that broke off.
    for (name, hours) in [("old-build", 25), ("other-build", 23), ("upload.old", 2), ("upload.young", 0)] {
        aged(name, hours);
    }
    let other = Binary::of([binary.bytes(), b"another build"].concat());
    works(shell.start(&other));
    let mut kept = [binary.digest(), other.digest(), "other-build", "upload.young"];
    kept.sort_unstable();
    assert_eq!(files(), kept);
}

fn many_at_once() {
    let binary = static_build();
    let _ = fs::remove_dir_all(FOLDER);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| works(Shell::new().start(&binary)));
        }
    });
    assert_eq!(files(), [binary.digest()]);
}

fn bad_folders() {
    let binary = static_build();
    let _ = fs::remove_dir_all(FOLDER);
    let there = |folder: &dyn Fn()| {
        folder();
        let why = Shell::new().refused(&binary);
        assert!(why.contains("must be root's alone") && why.contains("rm -r /run/lvsctl-agent"), "{why}");
        let _ = fs::remove_file(FOLDER).or_else(|_| fs::remove_dir_all(FOLDER));
    };
    let folder = |mode: u32| {
        fs::create_dir(FOLDER).expect("a folder");
        fs::set_permissions(FOLDER, fs::Permissions::from_mode(mode)).expect("its mode");
    };
    there(&|| folder(0o755));
    there(&|| folder(0o770));
    there(&|| {
        folder(0o700);
        std::os::unix::fs::chown(FOLDER, Some(65534), None).expect("another owner");
    });
    there(&|| {
        fs::create_dir_all("/run/elsewhere").expect("a folder");
        fs::set_permissions("/run/elsewhere", fs::Permissions::from_mode(0o700)).expect("its mode");
        symlink("/run/elsewhere", FOLDER).expect("a link");
    });
    there(&|| fs::write(FOLDER, "a file").expect("a file"));
    // The agent itself may not be somebody else's either.
    there(&|| {
        folder(0o700);
        fs::write(Path::new(FOLDER).join(binary.digest()), "#!/bin/sh\necho ran >/run/ran\n").expect("a file");
    });
    assert!(!Path::new("/run/ran").exists());
    let nobody = Shell { user: 65534, ..Shell::new() }.refused(&binary);
    assert!(nobody.contains("alice is not root") && nobody.contains("become"), "{nobody}");
    assert!(!Path::new(FOLDER).exists());
}

fn run(command: &[&str]) {
    let status = Command::new(command[0]).args(&command[1..]).status().expect("the command starts");
    assert!(status.success(), "{command:?}");
}

fn no_programs() {
    let binary = static_build();
    let _ = fs::remove_dir_all(FOLDER);
    works(Shell::new().start(&binary));
    run(&["mount", "-o", "remount,noexec", "/run"]);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| works(Shell::new().start(&binary)));
        }
    });
    let mounts = fs::read_to_string("/proc/mounts").expect("the mounts");
    let own: Vec<&str> = mounts.lines().filter(|line| line.contains(FOLDER)).collect();
    assert!(own.len() == 1 && own[0].contains("nosuid,nodev"), "{own:?}");
    let mut shell = Shell::new();
    works(shell.start(&binary));
    assert_eq!(shell.runs, 1, "it is there");
    run(&["umount", FOLDER]);
    run(&["mount", "-o", "remount,exec", "/run"]);
}

fn broken_uploads() {
    let binary = static_build();
    let _ = fs::remove_dir_all(FOLDER);
    let half = Shell { arriving: Some(binary.bytes().len() / 2), ..Shell::new() }.refused(&binary);
    println!("{half}");
    assert_eq!(files(), [""; 0], "a part of it is no agent");
    let garbled = Shell { garbled: true, ..Shell::new() }.refused(&binary);
    assert!(garbled.contains("what arrived is not what was sent"), "{garbled}");
    assert_eq!(files(), [""; 0]);
    run(&["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "full", FOLDER]);
    let full = Shell::new().refused(&binary);
    assert!(full.contains("No space left on device") && full.contains("df /run"), "{full}");
    assert_eq!(files(), [""; 0]);
    run(&["umount", FOLDER]);
    works(Shell::new().start(&binary));
}

fn noise() {
    let binary = static_build();
    let _ = fs::remove_dir_all(FOLDER);
    let banner = Shell { before: "echo Welcome to lb01; ", ..Shell::new() }.refused(&binary);
    assert!(banner.contains("Welcome to lb01") && banner.contains("say nothing"), "{banner}");
    let shouting = "head -c 1000000 /dev/zero | tr '\\0' x >&2; ";
    works(Shell { before: shouting, ..Shell::new() }.start(&binary));
    let closed = Shell { before: "exit 1; ", ..Shell::new() }.refused(&binary);
    assert!(closed.contains("the connection ended"), "{closed}");
    // A program for another processor is brought only if it was put ready.
    let mut other = binary.bytes().to_vec();
    other[18] = 183;
    let other = Binary::of(other);
    let why = Shell::new().refused(&other);
    assert!(why.contains("the processor aarch64") && why.contains("/usr/lib/lvsctl/lvsctl-"), "{why}");
    let asked = AtomicU32::new(0);
    let beside = |processor: &str| {
        asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(processor, "x86_64");
        Some(static_build())
    };
    works(start_with(&mut Shell::new(), Root::Login, SILENCE, &other, &beside));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let dynamic = Binary::of(fs::read("/bin/sh").expect("a program that is not static"));
    let why = Shell::new().refused(&dynamic);
    assert!(why.contains("not a static build") && why.contains("make release"), "{why}");
}
