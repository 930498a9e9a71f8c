//! No input makes the loader panic, and every problem points into its file.
//!
//! Inputs are the example and the problem cases, mutated: bytes flipped, chunks deleted, doubled and swapped, words
//! replaced by words of the language, random characters put in. `FUZZ_INPUTS` sets how many (10,000 unless set), and
//! `FUZZ_SEED` repeats a run.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use lvsctl::document::grammar::NodeRule;
use lvsctl::document::{MAXIMUM_DEPTH, ReadSource, parse_by_library, parse_plain};
use lvsctl::lint::load;
use lvsctl::source::{FileId, Problems};
use lvsctl::topology::grammar::LANGUAGE;
use lvsctl::view::problems;

/// Serves one text under every name, so that includes become cycles.
struct Text(String);

impl ReadSource for Text {
    fn read(&self, path: &str) -> Result<String, String> {
        if path.ends_with("hosts.kdl") { Ok(HOSTS.to_owned()) } else { Ok(self.0.clone()) }
    }

    fn list(&self, _folder: &str) -> Option<Vec<String>> {
        None
    }
}

const EXAMPLE: &str = include_str!("../examples/dr-fwmark-redirect/topology.kdl");
const HOSTS: &str = include_str!("site/hosts.kdl");

/// A generator whose runs can be repeated (splitmix64, public domain, S. Vigna).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &'a [Box<T>]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn corpus() -> Vec<Box<str>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<Box<str>> = Vec::new();
    for folder in ["tests/problems", "tests/site", "examples/dr-fwmark-redirect"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "kdl")) {
            texts.push(std::fs::read_to_string(path).unwrap().into());
        }
    }
    assert!(texts.len() > 40);
    texts
}

fn words() -> Vec<Box<str>> {
    fn collect(rules: &[NodeRule], words: &mut BTreeSet<String>) {
        for rule in rules {
            words.insert(rule.name.to_owned());
            words.extend(rule.example.split_whitespace().map(str::to_owned));
            words.extend(rule.properties.iter().map(|property| format!("{}=", property.name)));
            collect(rule.children, words);
        }
    }
    let mut words = BTreeSet::new();
    collect(LANGUAGE, &mut words);
    let odd = [
        "{",
        "}",
        ";",
        "\"",
        "\"\"\"",
        "#\"",
        "\"#",
        "r#\"",
        "/*",
        "*/",
        "//",
        "/-",
        "\\",
        "(env)",
        "(",
        ")",
        "=",
        "#true",
        "#false",
        "#null",
        "#inf",
        "#nan",
        "true",
        "-1",
        "0",
        "65536",
        "4294967296",
        "1e400",
        "0xffffffffffffffffffffffff",
        "340282366920938463463374607431768211456",
        "\"0s\"",
        "\"18446744073709551615h\"",
        "\"::1\"",
        "\"2001:db8::1/64\"",
        "\"10.0.0.0/0\"",
        "\"255.255.255.255/32\"",
        "\"0-0\"",
        "\"65535-0\"",
        "\u{feff}",
        "\u{2028}",
        "\0",
        "\r\n",
    ];
    words.extend(odd.map(str::to_owned));
    words.into_iter().map(String::into_boxed_str).collect()
}

fn mutate(random: &mut Random, corpus: &[Box<str>], words: &[Box<str>]) -> String {
    // Half of the inputs begin as a topology without a problem, so that many still are one afterwards.
    let base = if random.below(2) == 0 { EXAMPLE } else { random.pick(corpus) };
    let mut bytes = base.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let length = bytes.len();
        let from = random.below(length + 1);
        let to = (from + random.below(40)).min(length);
        match random.below(8) {
            0 if from < length => bytes[from] ^= 1 << random.below(8),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let chunk = bytes[from..to].to_vec();
                let at = random.below(length + 1);
                bytes.splice(at..at, chunk);
            }
            3 => {
                let middle = from + (to - from) / 2;
                bytes[from..to].rotate_left(middle - from);
            }
            4 | 5 => {
                let start = bytes[..from].iter().rposition(|byte| b" \n\t={};".contains(byte)).map_or(0, |at| at + 1);
                let end =
                    bytes[start..].iter().position(|byte| b" \n\t={};".contains(byte)).map_or(length, |at| start + at);
                bytes.splice(start..end, random.pick(words).bytes());
            }
            6 => {
                let other = random.pick(corpus).as_bytes();
                let at = random.below(other.len() + 1);
                let end = (at + random.below(200)).min(other.len());
                bytes.splice(from..from, other[at..end].iter().copied());
            }
            _ => {
                let character = char::from_u32(random.next() as u32 % 0x11_0000).unwrap_or('\u{fffd}');
                bytes.splice(from..from, character.to_string().bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a text in both ways, which must agree on every text that both read.
fn read_in_both_ways(text: &str) {
    let Some(plain) = parse_plain(FileId(0), text) else { return };
    let mut problems = Problems::default();
    let by_library = parse_by_library(FileId(0), text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    // Not `==`, which leaves the spans out.
    assert_eq!(format!("{plain:#?}"), format!("{by_library:#?}"));
}

/// Loads a text and checks what must hold for every text; tells whether it is a topology.
fn examine(text: &str) -> bool {
    read_in_both_ways(text);
    let loaded = load("site/main.kdl", &Text(text.to_owned()));
    assert_eq!(loaded.topology.is_none(), loaded.problems.has_errors());
    for problem in loaded.problems.iter() {
        assert!(problem.help.is_some(), "{problem:?} has no help");
        for label in &problem.labels {
            let file = loaded.sources.get(label.span.file).expect("a span names a file that was read");
            let end = label.span.offset + label.span.length;
            assert!(file.text.get(label.span.offset..end).is_some(), "{problem:?} leaves its text");
            assert_eq!(file.text.len(), file.shown.len());
        }
    }
    let human = problems::human(&loaded.problems, &loaded.sources, false);
    let json = problems::json(&loaded.problems, &loaded.sources, true);
    serde_json::from_str::<serde_json::Value>(&json).expect("the document is JSON");
    assert_eq!(human.is_empty(), loaded.problems.is_empty());
    loaded.topology.is_some()
}

#[test]
fn mutated_topologies_never_panic() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let inputs = number("FUZZ_INPUTS").unwrap_or(10_000);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("FUZZ_SEED").unwrap_or(clock);
    let (corpus, words) = (corpus(), words());
    let start = Instant::now();
    let lanes = std::thread::available_parallelism().map_or(1, |lanes| lanes.get() as u64);
    let usable: u64 = std::thread::scope(|scope| {
        let lane = |lane| {
            let (corpus, words) = (&corpus, &words);
            scope.spawn(move || {
                (lane..inputs).step_by(lanes as usize).filter(|input| survives(seed, *input, corpus, words)).count()
            })
        };
        let running: Vec<_> = (0..lanes).map(lane).collect();
        running.into_iter().map(|lane| lane.join().unwrap() as u64).sum()
    });
    println!("{inputs} mutated topologies, {usable} usable, none panics; seed {seed}, {:?}", start.elapsed());
    // Were all inputs broken, the fuzzing would not reach the resolver.
    assert!(usable * 50 > inputs, "only {usable} of {inputs} inputs are topologies");
}

/// Makes one input, which depends on nothing but seed and number, and examines it.
fn survives(seed: u64, input: u64, corpus: &[Box<str>], words: &[Box<str>]) -> bool {
    let text = mutate(&mut Random(seed ^ input.wrapping_mul(0xd134_2543_de82_ef95)), corpus, words);
    match std::panic::catch_unwind(|| examine(&text)) {
        Ok(usable) => usable,
        Err(_) => panic!("input {input} of seed {seed} fails:\n{text:?}"),
    }
}

#[test]
fn every_example_is_plain_and_is_read_as_the_library_reads_it() {
    for folder in std::fs::read_dir("examples").unwrap() {
        let text = std::fs::read_to_string(folder.unwrap().path().join("topology.kdl")).unwrap();
        assert!(parse_plain(FileId(0), &text).is_some(), "the slow way is not for what is usual:\n{text}");
        read_in_both_ways(&text);
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [("{", "}"), ("a {", "}"), ("a {\n", "}\n"), ("/*", "*/"), ("/- a {", "}"), ("(", ")")] {
        for depth in [MAXIMUM_DEPTH + 1, 3_000, 100_000] {
            assert!(!examine(&format!("{}{}", open.repeat(depth), close.repeat(depth))));
            assert!(!examine(&open.repeat(depth)));
        }
    }
    // Braces that hide from a naive count: closed within strings, opened after a string that does not end.
    assert!(!examine(&"a \"}\" {".repeat(100_000)));
    assert!(!examine(&format!("a \"\n{}", "b {\n".repeat(100_000))));
    assert!(!examine(&format!("a x\"{}", "b {\n".repeat(100_000))));
    assert!(!examine(&format!("a r\"\\\"{}", "b {\n".repeat(100_000))));
}

#[test]
fn strays_without_end_are_refused() {
    // Each of these once overflowed the stack of the KDL parser, which ends the process.
    for stray in [
        "(a)",
        ")",
        "=",
        "a=",
        "/-",
        "/- ",
        "( ",
        "{}",
        "a{}",
        ")#",
        " /",
        " [",
        " \\",
        "\n/-",
        "/-//\n",
        "a(a)",
        "\"a\"(a)",
        "\"a\"a=",
        "a=1//\n'",
        "'/-a=",
        "a=\\\na/-'",
        "#a ",
        " 1a",
        " true",
        "\"\\q\" ",
        "\"\n\" ",
        "r\"\" ",
    ] {
        assert!(!examine(&stray.repeat(20_000)), "{stray:?} is taken");
    }
}

#[test]
fn a_large_topology_is_read_in_reasonable_time() {
    let mut text = String::from("director \"lb\" { address \"10.0.0.1/8\" }\n");
    for host in 0..1000 {
        text += &format!("real-server \"web{host}\" {{ address \"10.1.{}.{}/8\" }}\n", host / 250, host % 250 + 1);
    }
    for vip in 0..1000 {
        text += &format!(
            "vip \"10.2.{}.{}\" director=\"lb\" forwarding=\"dr\" {{ service \"web\" {{ listen \"tcp\" 80\n",
            vip / 250,
            vip % 250 + 1
        );
        for server in 0..10 {
            text += &format!("server \"web{}\"\n", (vip + server) % 1000);
        }
        text += "} }\n";
    }
    let start = Instant::now();
    assert!(examine(&text));
    assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
}
