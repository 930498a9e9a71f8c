//! Secrets are found where a topology says, and no message repeats one.

use lvsctl::cli::files::{DiskReader, base_folder, secrets};
use lvsctl::topology::{Secret, load};
use lvsctl::view::problems;

const SITE: &str = include_str!("site/hosts.kdl");

fn site(folder: &std::path::Path, pass: &str) -> String {
    let path = folder.join("site.kdl");
    let failover = format!(
        "failover \"ext\" {{ director \"lb01\" priority=2; director \"lb02\" priority=1; virtual-router-id 1; auth-pass {pass} }}\n"
    );
    std::fs::write(&path, format!("{SITE}{failover}")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Looks the password up; returns it, or what the operator is told.
fn look_up(folder: &std::path::Path, pass: &str) -> Result<String, String> {
    let path = site(folder, pass);
    let loaded = load(&path, &DiskReader);
    let topology = loaded.topology.unwrap();
    let (values, found) = secrets(&topology, base_folder(&path));
    let Secret::Reference(reference) = &topology.failovers["ext"].auth_pass.as_ref().unwrap().value else { panic!() };
    match values.get(reference) {
        Some(value) => Ok(value.clone()),
        None => Err(format!(
            "{}{}",
            problems::human(&found, &loaded.sources, false),
            problems::json(&found, &loaded.sources, true)
        )),
    }
}

#[test]
fn files_are_read_beside_the_topology() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("vrrp"), text).unwrap();
    write("pass1234\n");
    assert_eq!(look_up(folder.path(), "(file)\"vrrp\""), Ok("pass1234".to_owned()));
    write("pass12345\n");
    let told = look_up(folder.path(), "(file)\"vrrp\"").unwrap_err();
    assert!(told.contains("longer than 8 bytes") && told.contains("site.kdl:5"), "{told}");
    assert!(!told.contains("pass12345"), "{told}");
    for unfit in ["", "\n", "a b", "a\"b", "a}b", "a\nb", "#ab"] {
        write(unfit);
        let told = look_up(folder.path(), "(file)\"vrrp\"").unwrap_err();
        assert!(told.contains("bad-secret"), "{told}");
    }
    let told = look_up(folder.path(), "(file)\"nowhere\"").unwrap_err();
    assert!(told.contains("nowhere cannot be read: No such file or directory"), "{told}");
}

#[test]
fn a_missing_variable_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let told = look_up(folder.path(), "(env)\"LVSCTL_TEST_NOT_SET\"").unwrap_err();
    assert!(told.contains("The environment variable LVSCTL_TEST_NOT_SET is not set"), "{told}");
}

#[test]
fn a_variable_is_read() {
    let folder = tempfile::tempdir().unwrap();
    // Cargo sets this one for every test; it is short enough to be a password.
    assert_eq!(look_up(folder.path(), "(env)\"CARGO_PKG_NAME\""), Ok("lvsctl".to_owned()));
}

#[test]
fn no_form_of_an_error_shows_a_literal() {
    let folder = tempfile::tempdir().unwrap();
    for pass in [
        "\"s3cretword\"",
        "\"s3cret word\"",
        "s3cretword",
        "\"s3cret",
        "1s3cretword",
        "(envv)\"s3cretword\"",
        "\"s3cretx\" \"s3cretword\"",
    ] {
        let path = site(folder.path(), pass);
        let loaded = load(&path, &DiskReader);
        assert!(loaded.topology.is_none(), "{pass} is taken");
        let (list, sources) = (&loaded.problems, &loaded.sources);
        let forms = [
            problems::human(list, sources, true),
            problems::json(list, sources, true),
            problems::github(list, sources),
            problems::sarif(list, sources),
        ];
        for form in forms {
            assert!(!form.contains("s3cret"), "{form}");
        }
    }
}

#[test]
fn a_file_without_end_is_refused() {
    let loaded = load("/dev/zero", &DiskReader);
    let told = problems::human(&loaded.problems, &loaded.sources, false);
    assert!(told.contains("more than"), "{told}");
}
