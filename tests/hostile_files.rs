//! No string of a topology says more than it should in the files that restore a host: at least 200 hostile strings in every
//! text that the language has, found in the grammar's own table. Each is refused, on its place where its own rule refuses
//! it, or comes out as the one value that it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lvsctl::compile::compile;
use lvsctl::document::grammar::{NodeRule, Shape, TextRule, ValueRule};
use lvsctl::document::{Node, ReadSource, Value, parse};
use lvsctl::kinds::Site;
use lvsctl::resource::{BootFile, Resource, ResourceKey};
use lvsctl::source::{Problems, SourceMap};
use lvsctl::topology::grammar::LANGUAGE;
use lvsctl::topology::{SecretValues, load};

/// A site in which every text of the language stands somewhere, and every file is needed.
const SITE: &str = r#"
director "d2" {
    address "10.0.0.2/24"
    interface "eth0" mac="52:54:00:00:00:02"
    netns "d2" root="/run/lab/d2"
}
director "d1" {
    address "10.0.0.1/24"
    interface "eth0" mac="52:54:00:00:00:01"
    ssh "d1.example.org" user="ops" identity="/home/ops/key" host-key="SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    sysctl "net.ipv4.conf.eth0.rp_filter" "2"
}
director "d3" {
    address "10.0.0.3/24"
    interface "eth0"
    timeouts tcp="20m"
    offload interface="eth0" gro=#true
    sync-daemon "master" interface="eth0" group="224.0.0.81"
}
real-server "w1" {
    address "10.0.0.11/24"
    interface "eth0" mac="52:54:00:00:00:11"
    offload interface="eth0" gro=#true
    ssh "w1.example.org" user="ops" identity="/home/ops/key" host-key="SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    sysctl "net.core.default_qdisc" "fq"
}
real-server "w2" {
    address "10.0.0.12/24"
    netns "w2" root="/run/lab/w2"
}
failover "ext" {
    director "d1" priority=100
    director "d2" priority=50
    virtual-router-id 51
    interface "eth0"
    version 2
    auth-pass (env)"VRRP_PASS"
    sync-daemon interface="eth0" group="224.0.0.82"
    email #true
}
email to="ops@example.org" from="lvs@example.org" smtp="smtp.example.org"
pool "web" {
    server "w1" weight=10 {
        check "http" path="/" host="www.example.org" port=80
    }
    check "http" path="/" host="www.example.org"
}
vip "10.0.0.100" failover="ext" forwarding="dr" interface="eth0" label="eth0:1" {
    service "checked" {
        listen "tcp" 80
        fwmark 7
        scheduler "wrr"
        pool "web"
    }
    service "static" {
        listen "tcp" "8000-8010"
        fwmark 8
        scheduler "wlc"
        check "https" path="/" host="www.example.org" port=443
        server "w1" weight=20 {
            check "http" path="/" host="www.example.org" port=80
        }
    }
}
vip "10.0.0.103" director="d3" delivery="dummy" {
    service "far" {
        listen "tcp" 80
        server "w1" forwarding="tun" tunnel="gue" tunnel-port=6080
    }
}
vip "10.0.0.102" director="d1" forwarding="nat" interface="eth0" label="eth0:2" {
    service "mapped" {
        listen "tcp" 80
        scheduler "sed"
        server "w2" port=8081
    }
}
"#;

/// What only keepalived.conf takes; `hostile.rs` watches over that.
const KEEPALIVED_ONLY: [&str; 12] = [
    "/check/",
    "/notify/",
    "/quorum/",
    "/sorry-server/",
    "/script/",
    "/track/",
    "/sync-group/",
    "/failover/address/",
    "/exclude-from-advert/",
    "/route/",
    "/raw/",
    "/source-address/",
];

/// What is set off, ended or begun by a character somewhere.
const SIGNS: [&str; 46] = [
    "\n", "\r", "\r\n", "\t", " ", ";", "#", "\"", "'", "`", "$(", "${", "$", "|", "&", "&&", ">", "<", "\\", "\\\n",
    "\u{0}", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}", "\u{202e}", "\u{feff}", "*", "?", "[", "]", "{", "}", "(", "%",
    "=", ":", ",", "!", "~", "-", "--", "/", "../", "@", "é",
];

/// What a tool would act on as a whole.
const WORDS: [&str; 16] = [
    "",
    "-",
    ".",
    "..",
    "-F",
    "COMMIT",
    "*filter",
    ":LVSCTL - [0:0]",
    "-A INPUT -j DROP",
    "[Service]",
    "%n",
    "%%i",
    "$IFS",
    "0",
    "-1",
    "99999999999999999999",
];

struct Text(String);

impl ReadSource for Text {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

/// A text of the site.
struct Field {
    path: String,
    rule: &'static TextRule,
    offset: usize,
    length: usize,
    value: String,
}

fn hostile(good: &str) -> BTreeSet<String> {
    let around = SIGNS.iter().flat_map(|sign| {
        [
            format!("{sign}{good}"),
            format!("{good}{sign}"),
            format!("{good}{sign}reboot"),
            format!("{good}{sign}ExecStart=/bin/false"),
            format!("x{sign}-A INPUT -j DROP"),
        ]
    });
    around.chain(WORDS.map(str::to_owned)).chain(["x".repeat(5000), format!("{good}{}", "0".repeat(300))]).collect()
}

/// Writes a string as KDL does; what it cannot write at all is refused while it is read.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\\' => format!("\\{character}"),
        plain if plain.is_ascii_graphic() || plain == ' ' => plain.to_string(),
        other => format!("\\u{{{:x}}}", u32::from(other)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Finds the texts of some nodes by the table of their language.
fn fields(nodes: &[Node], rules: &'static [NodeRule], above: &str, found: &mut Vec<Field>) {
    for node in nodes {
        let rule = rules.iter().find(|rule| rule.name == node.name.value).expect("a node of the language");
        let path = format!("{above}/{}", rule.name);
        let mut note = |rule: &'static ValueRule, value: &Value| {
            if let (Some(text), Some(written)) = (text_of(rule), value.text()) {
                found.push(Field {
                    path: format!("{path}/{}", rule.name),
                    rule: text,
                    offset: value.span.offset,
                    length: value.span.length,
                    value: written.value.to_owned(),
                });
            }
        };
        for (at, value) in node.arguments.iter().enumerate() {
            note(rule.arguments.get(at).or(rule.arguments.last()).expect("an argument of the language"), value);
        }
        for property in &node.properties {
            let known = rule.properties.iter().find(|rule| rule.name == property.name.value);
            note(known.expect("a property of the language"), &property.value);
        }
        fields(&node.children, rule.children, &path, found);
    }
}

fn text_of(rule: &ValueRule) -> Option<&'static TextRule> {
    match rule.shape {
        Shape::Text(rule) | Shape::TextOrNumber(rule) => Some(rule),
        _ => None,
    }
}

/// Names every text that the language has, `pool`s and `service`s of `pool`s included.
fn known(rules: &'static [NodeRule], above: &str, names: &mut BTreeSet<String>) {
    for rule in rules.iter().filter(|rule| rule.supported) {
        let path = format!("{above}/{}", rule.name);
        let values = rule.arguments.iter().chain(rule.properties).filter(|value| value.supported);
        names.extend(values.filter(|value| text_of(value).is_some()).map(|value| format!("{path}/{}", value.name)));
        known(rule.children, &path, names);
    }
}

type Files = BTreeMap<BootFile, Vec<String>>;

/// Returns the lines of each file over all hosts, unless the topology is refused.
fn compiled(text: &str) -> Result<Files, Problems> {
    let loaded = load("topology.kdl", &Text(text.to_owned()));
    let Some(topology) = loaded.topology else { return Err(loaded.problems) };
    let (facts, secrets) = (BTreeMap::new(), SecretValues::default());
    let mut problems = Problems::default();
    let desired = compile(&Site { topology: &topology, facts: &facts, secrets: &secrets }, &mut problems);
    if problems.has_errors() {
        return Err(problems);
    }
    let mut files = Files::new();
    for state in desired.values() {
        let Some(Resource::BootFiles(of)) = state.get(&ResourceKey::BootFiles).map(|entry| &entry.resource) else {
            panic!("a host without files");
        };
        for (file, content) in of {
            // What ends a line for one tool ends it here.
            let lines = content.text().split(['\n', '\r', '\u{85}', '\u{2028}']);
            files.entry(*file).or_default().extend(lines.map(str::to_owned));
        }
    }
    files.values_mut().for_each(|lines| lines.sort());
    Ok(files)
}

/// Tells whether a line has the form that its tool is to see, and nothing in it that means more.
fn is_in_form(file: BootFile, line: &str, hostile: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let plain =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/[],".contains(c));
    match file {
        BootFile::Modules => plain(&line),
        BootFile::Parameters => line.split_once(" = ").is_some_and(|(key, value)| {
            let one_value = value == hostile.split_whitespace().collect::<Vec<_>>().join(" ") || plain(&value);
            plain(&key) && !key.starts_with('-') && one_value
        }),
        BootFile::Iptables | BootFile::Ip6tables => line.starts_with("-A LVSCTL") && words.iter().all(plain),
        BootFile::Jumps => words.len() == 4 && words.iter().all(plain),
        BootFile::Ipvs => (line.starts_with("-A ") || line.starts_with("-a ")) && words.iter().all(plain),
        BootFile::Links => matches!(words.len(), 1 | 2) && words.iter().all(plain),
        BootFile::FouPorts => matches!(words.len(), 2 | 3) && words.iter().all(plain),
        BootFile::Addresses => matches!(words.len(), 2 | 3) && words.iter().all(plain),
        BootFile::Routes => words.len() == 2 && words[1].parse::<IpAddr>().is_ok(),
        BootFile::Timeouts => words.len() == 3 && words.iter().all(|word| word.parse::<u32>().is_ok()),
        BootFile::SyncDaemons => words.len() >= 11 && words.iter().all(plain),
        BootFile::Offloads => words.len() == 3 && words.iter().all(plain) && !line.starts_with('-'),
        // These hold no text of the topology at all.
        BootFile::Script | BootFile::Unit | BootFile::Enablement => false,
    }
}

#[test]
fn no_string_says_more_than_it_should() {
    let mut sources = SourceMap::default();
    let file = sources.add("topology.kdl", SITE);
    let mut found = Vec::new();
    fields(&parse(file, SITE, &mut Problems::default()), LANGUAGE, "", &mut found);
    let plain = compiled(SITE).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(plain.len() + 1, BootFile::ALL.len(), "only IPv6 rules are not needed: {:?}", plain.keys());
    let (mut tried, mut accepted) = (0, BTreeMap::<&str, usize>::new());
    // Of the places of one text the last is taken, where it reaches the most files.
    let places: BTreeMap<&str, &Field> = found.iter().map(|field| (field.path.as_str(), field)).collect();
    for field in places.values() {
        let strings = hostile(&field.value);
        assert!(strings.len() >= 200, "{}", strings.len());
        for string in strings.iter().filter(|string| **string != field.value) {
            tried += 1;
            let (before, rest) = SITE.split_at(field.offset);
            let text = format!("{before}{}{}", quoted(string), &rest[field.length..]);
            let files = match compiled(&text) {
                Ok(files) => files,
                Err(problems) => {
                    let here = |offset: usize, length: usize| {
                        offset < field.offset + quoted(string).len() && field.offset < offset + length.max(1)
                    };
                    let mut labels = problems.iter().flat_map(|problem| &problem.labels);
                    let is_here = labels.any(|label| here(label.span.offset, label.span.length));
                    assert!(is_here || (field.rule.check)(string).is_ok(), "{}: {string:?}: {problems:?}", field.path);
                    continue;
                }
            };
            assert!((field.rule.check)(string).is_ok(), "{}: {string:?} is let through", field.path);
            *accepted.entry(&field.path).or_default() += 1;
            for (file, lines) in &files {
                let usual = plain.get(file).map(Vec::as_slice).unwrap_or_default();
                assert_eq!(
                    lines.len(),
                    usual.len(),
                    "{}: {string:?} makes of {}:\n{lines:#?}",
                    field.path,
                    file.path()
                );
                for line in lines.iter().filter(|line| !usual.contains(line)) {
                    assert!(
                        is_in_form(*file, line, string),
                        "{}: {string:?} makes {line:?} of {}",
                        field.path,
                        file.path()
                    );
                }
            }
        }
    }
    println!("{tried} strings in {} texts; let through: {accepted:#?}", places.len());
    assert!(accepted.contains_key("/director/sysctl/value"), "what may stand in a file was never in one");
    let mut names = BTreeSet::new();
    known(LANGUAGE, "", &mut names);
    let is_watched = |name: &String| !KEEPALIVED_ONLY.iter().any(|part| name.contains(part));
    let left: Vec<&String> =
        names.iter().filter(|name| is_watched(name) && !places.contains_key(name.as_str())).collect();
    assert_eq!(left, ["/include/path"], "texts of the language that the site lacks");
}
