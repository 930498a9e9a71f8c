//! A configuration that keepalived 2.2.7 can test although some of its programs belong to a plain user.
//!
//! To look at such a program, `keepalived -t` becomes that user and then holds itself for a child whose parent has died, as it
//! sets `PR_SET_PDEATHSIG` anew: it ends by SIGTERM and says nothing (seen with strace). The daemon is not concerned. So what
//! belongs to a plain user is tested as if it were `/bin/true` of root, and everything else as it is.

/// What names a program, the user behind it.
const TOLD: [&str; 9] = [
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
    "notify_stop",
    "notify_up",
    "notify_down",
    "quorum_up",
    "quorum_down",
];

/// What names a program whose user is on a line of its own.
const RUN: [&str; 2] = ["script", "misc_path"];

/// Returns the configuration with `/bin/true` of root in place of other users' programs, if it has any.
pub(super) fn stand_in(text: &str) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut replaced = false;
    for line in text.lines() {
        let (indent, words) = split(line);
        let keyword = words.split(' ').next().unwrap_or_default();
        let is_told = TOLD.contains(&keyword);
        let user = words.rsplit(' ').next().unwrap_or_default();
        if is_told && !matches!(user, "root") && !user.ends_with('"') {
            lines.push(format!("{indent}{keyword} \"/bin/true\" root"));
            replaced = true;
        } else if keyword == "user" && user != "root" {
            // The program stands in the same block, and blocks of programs hold no other block.
            let block = lines.iter().rposition(|line| line.ends_with('{')).unwrap_or(0);
            for line in lines.iter_mut().skip(block) {
                let (indent, words) = split(line);
                if let Some(keyword) = RUN.into_iter().find(|run| words.split(' ').next() == Some(*run)) {
                    *line = format!("{indent}{keyword} \"/bin/true\"");
                }
            }
            lines.push(format!("{indent}user root"));
            replaced = true;
        } else {
            lines.push(line.to_owned());
        }
    }
    replaced.then(|| lines.join("\n") + "\n")
}

fn split(line: &str) -> (&str, &str) {
    let words = line.trim_start();
    (line.get(..line.len() - words.len()).unwrap_or_default(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_others_are_replaced_and_nothing_else() {
        let text = "vrrp_script a {\n    script \"/x y\"\n    user nobody\n}\nvrrp_script b {\n    script \"/z\"\n    user root\n}\n\
                    vrrp_instance i {\n    notify_master \"/m now\" ops\n    notify \"/n\" root\n    notify_stop \"/o p\"\n}\n";
        let expected = "vrrp_script a {\n    script \"/bin/true\"\n    user root\n}\nvrrp_script b {\n    script \"/z\"\n    user root\n}\n\
                        vrrp_instance i {\n    notify_master \"/bin/true\" root\n    notify \"/n\" root\n    notify_stop \"/o p\"\n}\n";
        assert_eq!(stand_in(text).as_deref(), Some(expected));
        assert_eq!(stand_in(expected), None);
    }
}
