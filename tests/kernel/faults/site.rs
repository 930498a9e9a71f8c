//! Sites side by side: each with hosts of its own in one network, and an operator's machine that reaches them all.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::commands::essence;
use crate::fleet::{Fleet, OPERATOR};
use crate::lab;
use crate::laboratory::{Ran, Snapshot};

use super::watch::Watch;

/// The window of all applies, the shortest that there is.
pub const WINDOW: Duration = Duration::from_secs(5);

/// How much later than its window a host may have gone back.
pub const LATE: Duration = Duration::from_secs(5);

/// How an apply is started to which something will happen.
pub const APPLY: &[&str] = &["apply", "--auto-approve", "--confirm", "5s"];

/// How one is started that shall come to its end, however busy the machine is.
pub const QUIET: &[&str] = &["apply", "--auto-approve", "--confirm", "2m", "--timeout", "2m", "--lock-timeout", "1m"];

/// Where the operator's machine is in the network of all sites.
const OPERATOR_ADDRESS: &str = "10.0.250.1/16";

/// What cuts connections: an address that is written into one of these lists is not talked to any more.
const CUTTER: &str = "
modprobe -a xt_recent ipt_REJECT
for list in dropped reset; do
    verdict='DROP'; [ $list = dropped ] || verdict='REJECT --reject-with tcp-reset'
    iptables -A INPUT -p tcp -m recent --name $list --rsource --rcheck -j $verdict
    iptables -A OUTPUT -p tcp -m recent --name $list --rdest --rcheck -j $verdict
done";

/// How often it is looked whether hosts have gone back, and whether the guest stands still.
const LOOK: Duration = Duration::from_millis(20);

/// For how long the guest stood still, in milliseconds.
static STOOD_STILL: AtomicU64 = AtomicU64::new(0);

/// Returns for how long the guest has had no processor in all.
pub fn stood_still() -> Duration {
    Duration::from_millis(STOOD_STILL.load(Ordering::Relaxed))
}

/// Notes for how long the guest stands still: who sleeps for a moment then wakes up much later.
fn note_standing_still() {
    std::thread::spawn(|| {
        loop {
            let begun = Instant::now();
            std::thread::sleep(LOOK);
            let late = begun.elapsed().saturating_sub(2 * LOOK);
            STOOD_STILL.fetch_add(late.as_millis() as u64, Ordering::Relaxed);
        }
    });
}

/// What a site is like.
pub struct Plan {
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Its topology in two states.
    pub states: [String; 2],
    /// What all sites have in common.
    pub shared: &'static str,
}

/// Lays the sites out and gives each to a thread of its own.
pub fn side_by_side(number: u8, plan: fn(u8) -> Plan, work: impl Fn(Site<'_>) + Sync) {
    let begun = Instant::now();
    let plans: Vec<Plan> = (1..=number).map(plan).collect();
    let own = plans.iter().map(|plan| plan.states[1].as_str());
    let all: String = plans.iter().take(1).map(|plan| plan.shared).chain(own).collect();
    let fleet = Fleet::beside(&all, OPERATOR_ADDRESS).with_agents();
    lab::within(OPERATOR, &["sh", "-ec", CUTTER]);
    println!("{number} sites stood after {:.1?}", begun.elapsed());
    note_standing_still();
    std::thread::scope(|scope| {
        for (number, plan) in plans.into_iter().enumerate() {
            let (fleet, work) = (&fleet, &work);
            scope.spawn(move || work(Site::new(fleet, number, plan)));
        }
    });
}

/// One of the sites.
pub struct Site<'a> {
    pub fleet: &'a Fleet,
    pub number: usize,
    pub hosts: Vec<String>,
    pub watch: Watch,
}

impl<'a> Site<'a> {
    fn new(fleet: &'a Fleet, number: usize, plan: Plan) -> Self {
        let roots: Vec<PathBuf> = plan.hosts.iter().map(|host| fleet.root(host)).collect();
        let site = Site { fleet, number, hosts: plan.hosts, watch: Watch::new(&roots) };
        for (state, text) in plan.states.iter().enumerate() {
            fs::write(fleet.operator_file(&site.file(state)), format!("{}{text}", plan.shared)).expect("the topology");
        }
        site
    }

    fn file(&self, state: usize) -> String {
        format!("root/site-{}-{state}.kdl", self.number)
    }

    /// Prepares lvsctl on the operator's machine for one of the site's states.
    pub fn command(&self, arguments: &[&str], state: usize) -> Command {
        let file = format!("/{}", self.file(state));
        self.fleet.command(&[&[self.fleet.program()], arguments, &[&file]].concat())
    }

    /// Runs lvsctl to its end.
    pub fn lvsctl(&self, arguments: &[&str], state: usize) -> Ran {
        self.command(arguments, state).output().expect("lvsctl starts").into()
    }

    /// Starts lvsctl; what it says is for [`Running::end`].
    pub fn start(&self, arguments: &[&str], state: usize) -> Running {
        let said = ["said", "complained"].map(|name| format!("/run/lab/{name}-{}", self.number));
        let mut command = self.command(arguments, state);
        let [stdout, stderr] = said.each_ref().map(|path| Stdio::from(File::create(path).expect("a file")));
        let child = command.stdout(stdout).stderr(stderr).spawn().expect("lvsctl starts");
        Running { child, said }
    }

    /// Returns a host's address.
    pub fn address(&self, host: usize) -> String {
        let host = lvsctl::topology::HostName::new(&self.hosts[host]);
        self.fleet.site.topology.hosts[&host].addresses[0].value.addr().to_string()
    }

    /// Returns everything that lvsctl could change; what is left of journals, and numbers of processes, are not.
    pub fn snapshot(&self) -> Snapshot {
        let own = |name: &lvsctl::topology::HostName| self.hosts.iter().any(|host| host == name.as_str());
        let mut snapshot = essence(&self.fleet.site.snapshot_of(own));
        snapshot.0.retain(|key, _| !key.contains("/lvsctl/journal/") && !key.contains(" file run/"));
        snapshot
    }

    /// Waits until the site is in a state, as far as keepalived needs its time; returns where it is not.
    pub fn await_equal(&self, state: &Snapshot, within: Duration) -> Vec<String> {
        let deadline = Instant::now() + within;
        loop {
            let differences = state.differences(&self.snapshot());
            if differences.is_empty() || Instant::now() > deadline {
                return differences;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Waits until hosts have gone back, and returns how long that took; `None` if they have not. The time during which the
    /// guest stood still, because the machine did something else, does not count.
    pub fn await_back(&self, hosts: &[usize], since: Instant) -> Option<Duration> {
        let stood = stood_still();
        loop {
            let took = since.elapsed().saturating_sub(stood_still() - stood);
            if !hosts.iter().any(|host| self.watch.is_open(*host)) {
                return Some(took);
            }
            if took > WINDOW + LATE {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Lets no packet through between the operator and a host, or answers each with a reset.
    pub fn cut(&self, host: usize, list: &str) {
        self.write_list(list, &format!("+{}\n", self.address(host)));
    }

    /// Lets packets through again.
    pub fn join(&self, host: usize, list: &str) {
        self.write_list(list, &format!("-{}\n", self.address(host)));
    }

    fn write_list(&self, list: &str, text: &str) {
        let path = format!("/proc/thread-self/net/xt_recent/{list}");
        lab::enter(OPERATOR, || fs::write(path, text).expect("the list of addresses"));
    }
}

/// A run of lvsctl.
pub struct Running {
    pub child: Child,
    said: [String; 2],
}

impl Running {
    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let code = self.child.wait().expect("it ends").code();
        let [stdout, stderr] = self.said.each_ref().map(|path| fs::read_to_string(path).expect("what it said"));
        Ran { code, stdout, stderr }
    }
}
