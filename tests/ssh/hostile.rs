//! Names of hosts and users that want to be more than that: refused on their place by the language, and again where they are used.

use std::fs;

use lvsctl::document::ReadSource;
use lvsctl::host::HostError;
use lvsctl::host::ssh::{SshSession, Target};
use lvsctl::source::Severity;
use lvsctl::topology::load;

use super::site::{PATIENCE, Site};

/// What means something to a shell, to OpenSSH, to a terminal or to a file.
const FRAGMENTS: [&str; 46] = [
    " ",
    "\t",
    "\n",
    "\r",
    "\0",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{202e}",
    "é",
    "\"",
    "'",
    "`",
    "\\",
    "\\\n",
    ";",
    "&",
    "&&",
    "|",
    "||",
    "<",
    ">",
    "$",
    "$(id)",
    "${HOME}",
    "`id`",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "*",
    "?",
    "!",
    "#",
    "~",
    "^",
    "=",
    "+",
    ",",
    "@",
    "/",
    "../",
];

/// What OpenSSH would act on as a whole.
const WHOLE: [&str; 16] = [
    "",
    "-",
    "--",
    "-oProxyCommand=touch CANARY",
    "-oProxyCommand=touch${IFS}CANARY",
    "-F/etc/passwd",
    "-w0:0",
    "-G",
    "ssh://lb1",
    "user@lb1",
    "lb1 touch CANARY",
    "lb1\nProxyCommand touch CANARY",
    "lb1;touch CANARY",
    "$(touch CANARY)",
    "[::1]",
    "lb1,lb2",
];

fn texts() -> Vec<String> {
    let placed = |fragment: &&str| {
        ["FRAGMENT", "FRAGMENTlb1", "lb1FRAGMENT", "lbFRAGMENT1", "lb1FRAGMENTtouch"]
            .map(|text| text.replace("FRAGMENT", fragment))
    };
    WHOLE.iter().map(|text| (*text).to_owned()).chain(FRAGMENTS.iter().flat_map(placed)).collect()
}

struct Text(String);

impl ReadSource for Text {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn list(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

/// Writes a text as a string of KDL 2.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|character| match character {
            '"' | '\\' => format!("\\{character}"),
            plain if plain.is_ascii_graphic() || plain == ' ' => plain.to_string(),
            other => format!("\\u{{{:x}}}", u32::from(other)),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Loads a topology with a text in the place of a host or user, and tells where it is refused.
fn refused_by_the_language(line: &str, text: &str) -> bool {
    let written = quoted(text);
    let line = line.replace("TEXT", &written);
    let begin = line.find(&written).unwrap();
    let loaded = load("topology.kdl", &Text(line));
    let spans = loaded
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .flat_map(|problem| &problem.labels);
    spans.map(|label| label.span).any(|span| span.offset == begin && span.length == written.len())
}

#[test]
fn a_host_or_user_that_wants_to_be_more_is_refused_twice() {
    let site = Site::new();
    let canary = site.path().join("canary");
    // Whatever reached OpenSSH would run this.
    site.configure("Match exec \"touch FOLDER/canary\"\nProxyCommand touch FOLDER/canary");
    let hosts = texts();
    let users: Vec<String> = hosts.iter().cloned().chain(["a:b", "a%b", "%h"].map(str::to_owned)).collect();
    assert!(hosts.len() > 200, "only {} texts", hosts.len());
    for (line, texts, place) in [
        ("director \"a\" { address \"10.0.0.1/24\"; ssh TEXT }", &hosts, 0),
        ("director \"a\" { address \"10.0.0.1/24\"; ssh \"lb1\" user=TEXT }", &users, 1),
    ] {
        for text in texts {
            let text = text.replace("CANARY", &canary.display().to_string());
            assert!(refused_by_the_language(line, &text), "{line} {text:?} is not refused on its place");
            let mut target = Target { user: Some("ops".into()), ..site.target() };
            match place {
                0 => target.host = text.clone(),
                _ => target.user = Some(text.clone()),
            }
            let refused = SshSession::open(&target, &PATIENCE).map(drop).unwrap_err();
            assert!(matches!(refused, HostError::Unreachable { .. }), "{text:?}: {refused}");
            assert!(refused.to_string().ends_with("is not one that ssh would be given"), "{text:?}: {refused}");
            assert!(!refused.to_string().contains(['\n', '\u{1b}']), "{text:?} acts on the terminal");
            assert!(!canary.exists(), "{text:?} got to OpenSSH");
        }
    }
    // The canary would have been seen.
    assert!(SshSession::open(&site.target(), &PATIENCE).is_err());
    assert!(canary.exists());
    fs::remove_file(canary).unwrap();
}

#[test]
fn a_strange_name_that_is_none_is_carried_as_data() {
    let site = Site::new();
    for host in ["%h", "lb1.", "_lb1", "lb:1", "fe80::1%lo", "0", "1.2", "LB1"] {
        let target = Target { host: host.into(), ..site.target() };
        SshSession::open(&target, &PATIENCE).unwrap_or_else(|error| panic!("{host}: {error}"));
    }
}
