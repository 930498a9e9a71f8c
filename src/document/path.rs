//! Paths of topology files, as text: the reader that is passed in decides what they stand for.

/// Returns the path of `name` as seen from the file `from`.
pub fn relative(from: &str, name: &str) -> String {
    if name.starts_with('/') {
        return normal(name);
    }
    match from.rsplit_once('/') {
        Some((folder, _)) => normal(&format!("{folder}/{name}")),
        None => normal(name),
    }
}

/// Returns the path of a file in a folder.
pub fn within(folder: &str, name: &str) -> String {
    normal(&format!("{folder}/{name}"))
}

/// Takes `.` and `name/..` out of a path, so that one file has one name.
pub fn normal(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        assert_eq!(relative("site/a.kdl", "b.kdl"), "site/b.kdl");
        assert_eq!(relative("site/a.kdl", "../b.kdl"), "b.kdl");
        assert_eq!(relative("a.kdl", "./x//b.kdl"), "x/b.kdl");
        assert_eq!(relative("site/a.kdl", "/etc/b.kdl"), "/etc/b.kdl");
        assert_eq!(normal("../a"), "../a");
        assert_eq!(normal("/../a"), "/a");
        assert_eq!(within(".", "a.kdl"), "a.kdl");
    }
}
