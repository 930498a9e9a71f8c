//! Nothing that somebody else wrote acts on the terminal on which lvsctl prints it.

use std::process::Command;

#[test]
fn a_name_that_would_clear_the_screen_and_turn_a_line_round_is_shown() {
    let name = "no\u{1b}[2J\u{9b}1A\u{7f}\u{202e}.kdl";
    for arguments in [["--color", "never"], ["--color", "always"], ["--format", "json"], ["--format", "github"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_lvsctl")).arg("check").args(arguments).arg(name).output().unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(shown.contains("[2J"), "{arguments:?} does not name the file: {shown:?}");
        assert!(!shown.contains("\u{1b}[2J") && !shown.contains(['\u{9b}', '\u{7f}', '\u{202e}']), "{shown:?}");
        let is_painted = shown.contains('\u{1b}');
        assert_eq!(is_painted, arguments == ["--color", "always"], "{arguments:?}: {shown:?}");
    }
}
