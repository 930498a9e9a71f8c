//! A site that is reached over SSH: every host is a machine with a real sshd, and the operator's machine sees nothing of the
//! site but a jump host.
//!
//! ```text
//! operator ── jump ──┬── the site's own network: directors, real servers, the gateway to the client
//! ```

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lvsctl::host::agent::Binary;
use lvsctl::topology::HostName;

use crate::lab;
use crate::laboratory::{Laboratory, Ran, eventually};
use crate::machine;

/// The operator's machine and the jump host.
pub const OPERATOR: &str = "operator";
const JUMP: &str = "jump";

/// Their addresses, and that of the jump host in the site.
const OPERATOR_ADDRESS: &str = "172.31.0.2";
const JUMP_ADDRESS: &str = "172.31.0.1";

/// Who logs in where it is not root.
pub const USER: &str = "deploy";

/// How a login works on every machine.
const SSHD: &str = "\
HostKey /etc/ssh/laboratory_key
AuthorizedKeysFile /etc/ssh/laboratory_keys
PidFile /run/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
UseDNS no
";

/// Where the operator's machine is.
enum Way {
    /// Behind a jump host, which has this address in the site.
    Jump(&'static str),
    /// In the site's own network, with this address.
    Beside(&'static str),
}

/// What lets somebody in.
pub const LOGIN: [&str; 5] = ["/usr/sbin/sshd", "-f", "/etc/ssh/laboratory_sshd", "-E", "/run/sshd.log"];

/// What systemd runs when a host comes up.
const UNITS: &str = "
LVSCTL recover >/run/recover.log 2>&1; echo \"status $?\" >>/run/recover.log
restore=/etc/systemd/system/lvsctl-restore.service
[ ! -e $restore ] || $(sed -n 's/^ExecStart=//p' $restore) >/run/restore.log 2>&1 || :
[ ! -e /etc/keepalived/keepalived.conf ] || setsid keepalived -n -l -f /etc/keepalived/keepalived.conf \
    -p /run/keepalived.pid -r /run/keepalived_vrrp.pid -c /run/keepalived_checkers.pid </dev/null >/dev/null 2>&1 &
";

/// A site behind a jump host; it ends with everything in it when it is dropped.
pub struct Fleet {
    /// The site.
    pub site: Laboratory,
    /// What the operator calls.
    lvsctl: PathBuf,
}

impl Fleet {
    /// Lays out the hosts of a topology, each with a login; `jump` is the jump host's address in the site.
    pub fn new(text: &str, jump: &'static str) -> Self {
        Fleet::lay_out(text, &Way::Jump(jump))
    }

    /// Lays out the hosts of a topology, each with a login and a small disk and no server, and the operator's machine beside them.
    pub fn beside(text: &str, operator: &'static str) -> Self {
        Fleet::lay_out(text, &Way::Beside(operator))
    }

    fn lay_out(text: &str, way: &Way) -> Self {
        let site = match way {
            Way::Jump(_) => Laboratory::new(text),
            Way::Beside(_) => Laboratory::without_servers(text),
        };
        // The connections are the topology's own.
        fs::write(site.file(), text).expect("the topology");
        wire(way);
        if let Way::Beside(_) = way {
            site.layout.places.values().for_each(|place| small_disk(Path::new(&place.root)));
        }
        let machines: Vec<(String, PathBuf, String)> = machines(&site, way);
        let operator = root(OPERATOR);
        fs::create_dir_all(operator.join("root/.ssh")).expect("the operator's folder");
        key(&operator.join("root/.ssh/id_ed25519"));
        let own = fs::read_to_string(operator.join("root/.ssh/id_ed25519.pub")).expect("the operator's key");
        // One for all of them: which host has which key is the matter of other tests.
        key(&operator.join("root/host_key"));
        let mut known = String::new();
        for (namespace, root, address) in &machines {
            let public = log_in_here(namespace, root, &own, &operator.join("root/host_key"));
            let _ = writeln!(known, "{address} {public}");
        }
        fs::write(operator.join("root/.ssh/known_hosts"), known).expect("the known hosts");
        fs::write(operator.join("root/.ssh/config"), configuration(&site, way)).expect("the operator's configuration");
        for (namespace, ..) in &machines {
            eventually("a machine that lets somebody in", || listens(namespace));
        }
        Fleet { site, lvsctl: machine::lvsctl() }
    }

    /// Puts the agent where an earlier run would have left it.
    pub fn with_agents(self) -> Self {
        let bytes = fs::read(&self.lvsctl).expect("lvsctl");
        let digest = Binary::of(bytes.clone()).digest().to_owned();
        let one = Path::new("/run/lab/agent");
        private(one, &bytes, 0o700);
        for place in self.site.layout.places.values() {
            let folder = Path::new(&place.root).join("run/lvsctl-agent");
            fs::create_dir_all(&folder).expect("the folder of agents");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("its mode");
            fs::hard_link(one, folder.join(&digest)).expect("an agent");
        }
        self
    }

    /// Returns where a file of the operator's machine is, by its path without the first slash.
    pub fn operator_file(&self, path: &str) -> PathBuf {
        root(OPERATOR).join(path)
    }

    /// Lets a host go down without a word and come up again, with what its disk keeps.
    pub fn reboot(&self, host: &str) {
        let (number, (_, place)) =
            self.site.layout.places.iter().enumerate().find(|(_, (name, _))| name.as_str() == host).expect("the host");
        let (namespace, folder) = (place.namespace.as_str(), Path::new(&place.root));
        lab::kill_all(namespace);
        let link = &place.links[0];
        let anew = format!(
            "netns delete {namespace}\nnetns add {namespace}\n\
             link add name p{number} netns switch type veth peer name {} address {} netns {namespace}\n",
            link.name, link.mac
        );
        batch("switch", &format!("link delete p{number}\n"));
        batch("", &anew);
        batch("switch", &format!("link set p{number} master br0 up\n"));
        let mut own = format!("link set lo up\nlink set {} up\n", link.name);
        for address in &link.addresses {
            let _ = writeln!(own, "address add {address} dev {}", link.name);
        }
        for route in &place.default_routes {
            let _ = writeln!(own, "route add default via {route}");
        }
        batch(namespace, &own);
        for entry in fs::read_dir(folder.join("run")).expect("its folder").flatten() {
            if entry.file_name() != "lvsctl-agent" {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
        fs::create_dir_all(folder.join("run/sshd")).expect("sshd's folder");
        machine::boot(folder);
        let script = UNITS.replace("LVSCTL", self.program());
        let units = machine::command(namespace, folder, &["sh", "-c", &script]).stdin(Stdio::null()).status();
        assert!(units.expect("a shell").success(), "{host} does not come up");
        let status = machine::command(namespace, folder, &LOGIN).stdin(Stdio::null()).status().expect("sshd");
        assert!(status.success(), "sshd in {namespace}");
    }

    /// Returns what the operator calls.
    pub fn program(&self) -> &str {
        self.lvsctl.to_str().expect("a path")
    }

    /// Lets the operator call another build.
    pub fn with_lvsctl(self, path: &Path) -> Self {
        Fleet { lvsctl: path.to_owned(), ..self }
    }

    /// Prepares a command on the operator's machine.
    pub fn command(&self, program: &[&str]) -> Command {
        let mut command = machine::command(OPERATOR, &root(OPERATOR), program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("USER", "root");
        command.env("VRRP_PASS", crate::laboratory::PASSWORD).stdin(Stdio::null());
        command
    }

    /// Prepares lvsctl on the operator's machine; the topology's path comes last.
    pub fn prepare(&self, arguments: &[&str]) -> Command {
        // The operator's /run is a folder of its own, so the topology is where root's files are.
        let copy = root(OPERATOR).join("root/topology.kdl");
        fs::copy(self.site.file(), copy).expect("the topology on the operator's machine");
        self.command(&[&[self.program()], arguments, &["/root/topology.kdl"]].concat())
    }

    /// Runs lvsctl on the operator's machine.
    pub fn lvsctl(&self, arguments: &[&str]) -> Ran {
        self.prepare(arguments).output().expect("lvsctl starts").into()
    }

    /// Returns the folder that is a machine's `/`.
    pub fn root(&self, host: &str) -> PathBuf {
        self.site.root(host)
    }
}

fn root(machine: &str) -> PathBuf {
    Path::new("/run/lab").join(machine)
}

/// Gives ip(8) several commands in a namespace, or in none.
fn batch(namespace: &str, commands: &str) {
    let arguments: &[&str] = if namespace.is_empty() { &["-batch", "-"] } else { &["-n", namespace, "-batch", "-"] };
    let mut child = Command::new("ip").args(arguments).stdin(Stdio::piped()).spawn().expect("ip");
    child.stdin.take().expect("a pipe").write_all(commands.as_bytes()).expect("ip listens");
    assert!(child.wait().expect("its end").success(), "{commands}");
}

/// Puts the operator's machine where it belongs.
fn wire(way: &Way) {
    let script = match way {
        Way::Jump(jump) => format!(
            "ip netns add {OPERATOR}; ip netns add {JUMP}
             ip link add name eth0 netns {OPERATOR} type veth peer name outside netns {JUMP}
             ip link add name eth0 netns {JUMP} type veth peer name jump netns switch
             ip -n switch link set jump master br0 up
             for link in lo eth0; do ip -n {OPERATOR} link set $link up; done
             for link in lo eth0 outside; do ip -n {JUMP} link set $link up; done
             ip -n {OPERATOR} address add {OPERATOR_ADDRESS}/30 dev eth0
             ip -n {JUMP} address add {JUMP_ADDRESS}/30 dev outside
             ip -n {JUMP} address add {jump} dev eth0"
        ),
        Way::Beside(address) => format!(
            "ip netns add {OPERATOR}
             ip link add name eth0 netns {OPERATOR} type veth peer name operator netns switch
             ip -n switch link set operator master br0 up
             for link in lo eth0; do ip -n {OPERATOR} link set $link up; done
             ip -n {OPERATOR} address add {address} dev eth0"
        ),
    };
    let status = Command::new("sh").args(["-ec", &script]).status().expect("a shell");
    assert!(status.success(), "the operator's network");
}

/// Puts a machine's files on a disk that can be full.
fn small_disk(root: &Path) {
    let _ = fs::remove_dir_all(root.join("var"));
    let _ = fs::remove_dir_all(root.join("etc"));
    fs::create_dir_all(root.join("var")).expect("a folder");
    let size = rustix::cstr!("size=8m,mode=0755");
    rustix::mount::mount("disk", root.join("var"), "tmpfs", rustix::mount::MountFlags::empty(), size).expect("a disk");
    // What is laid over /etc must be on the same disk as the folder that goes with it.
    for folder in ["etc", "work"] {
        fs::create_dir_all(root.join("var").join(folder)).expect("a folder");
        std::os::unix::fs::symlink(root.join("var").join(folder), root.join(folder)).expect("its name");
    }
    for folder in ["etc/keepalived", "var/lib", "var/log"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
}

/// Returns each machine that somebody logs in to: its namespace, its folder, and its address as its login knows it.
fn machines(site: &Laboratory, way: &Way) -> Vec<(String, PathBuf, String)> {
    let jump = match way {
        Way::Jump(_) => Some((JUMP.to_owned(), root(JUMP), JUMP_ADDRESS.to_owned())),
        Way::Beside(_) => None,
    };
    let of_site = site.topology.managed_hosts().map(|host| {
        let place = &site.layout.places[&host.name.value];
        (place.namespace.clone(), PathBuf::from(&place.root), address(site, &host.name.value))
    });
    jump.into_iter().chain(of_site).collect()
}

pub fn address(site: &Laboratory, host: &HostName) -> String {
    site.topology.hosts[host].addresses[0].value.addr().to_string()
}

/// Says how each host is reached, as an operator's `~/.ssh/config` does.
fn configuration(site: &Laboratory, way: &Way) -> String {
    let (mut text, through) = match way {
        Way::Jump(_) => (format!("Host {JUMP}\n    HostName {JUMP_ADDRESS}\n"), format!("\n    ProxyJump {JUMP}")),
        Way::Beside(_) => (String::new(), String::new()),
    };
    for host in site.topology.managed_hosts() {
        let name = &host.name.value;
        let _ = writeln!(text, "Host {name}\n    HostName {}{through}", address(site, name));
    }
    text
}

/// Starts a machine's sshd and returns its host key.
fn log_in_here(namespace: &str, root: &Path, who: &str, key: &Path) -> String {
    let ssh = root.join("etc/ssh");
    fs::create_dir_all(&ssh).expect("a folder");
    fs::create_dir_all(root.join("run/sshd")).expect("sshd's folder");
    fs::copy(key, ssh.join("laboratory_key")).expect("the host's key");
    private(&ssh.join("laboratory_sshd"), SSHD.as_bytes(), 0o644);
    private(&ssh.join("laboratory_keys"), who.as_bytes(), 0o644);
    account(root);
    let status = machine::command(namespace, root, &LOGIN).stdin(Stdio::null()).status().expect("sshd");
    assert!(status.success(), "sshd in {namespace}");
    let public = fs::read_to_string(key.with_extension("pub")).expect("the host's key");
    public.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Makes an account that may become root.
fn account(root: &Path) {
    let etc = root.join("etc");
    let add = |file: &str, line: String, mode: u32| {
        let text = fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
        private(&etc.join(file), format!("{}\n{line}\n", text.trim_end()).as_bytes(), mode);
    };
    add("passwd", format!("{USER}:x:4711:4711::/tmp:/bin/sh"), 0o644);
    add("group", format!("{USER}:x:4711:"), 0o644);
    add("shadow", format!("{USER}:*:19000:0:99999:7:::"), 0o640);
    fs::create_dir_all(etc.join("sudoers.d")).expect("a folder");
    private(&etc.join("sudoers.d/lvsctl"), format!("{USER} ALL=(root) NOPASSWD: /bin/sh\n").as_bytes(), 0o440);
}

/// Writes a file with its mode.
fn private(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}

fn key(path: &Path) {
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "laboratory", "-f"];
    let status = Command::new("ssh-keygen").args(arguments).arg(path).status().expect("ssh-keygen");
    assert!(status.success(), "a key");
}

fn listens(namespace: &str) -> bool {
    lab::enter(namespace, || std::net::TcpStream::connect("127.0.0.1:22").is_ok())
}
