//! Host keys that an authority has signed.

use std::fs;
use std::path::PathBuf;

use super::server::Server;
use super::site::{Site, line_of, make_key, public, run};

/// A site whose server shows a certificate.
struct Certified {
    site: Site,
    authority: PathBuf,
}

impl Certified {
    /// Signs the server's key with further arguments of ssh-keygen.
    fn new(authority: &str, key: &str, arguments: &[&str]) -> Self {
        let mut site = Site::with_keys(&[key], "");
        let authority = make_key(site.path(), "authority", authority, "");
        let signer = authority.display().to_string();
        let public = site.path().join(format!("host_{key}.pub")).display().to_string();
        let all: Vec<&str> =
            ["-q", "-s", &signer, "-I", "test"].iter().chain(arguments).copied().chain([public.as_str()]).collect();
        run("ssh-keygen", &all);
        let lines = format!("HostCertificate {}/host_{key}-cert.pub", site.path().display());
        site.server = Server::start(site.path(), &[site.path().join(format!("host_{key}"))], &lines);
        site.configure("");
        let certified = Certified { site, authority };
        certified.know("@cert-authority *");
        certified
    }

    fn know(&self, marked: &str) {
        self.site.know(&format!("{marked} {}", line_of(&self.authority).unwrap()));
    }

    /// Returns why the certificate does not count.
    fn why(&self) -> String {
        let (text, help) = self.site.distrusted();
        assert!(help.contains("ssh-keygen -s AUTHORITY -h -n 127.0.0.1") && help.contains("host-key="), "{help}");
        text.split("does not count: ").nth(1).unwrap_or(&text).to_owned()
    }
}

#[test]
fn a_certificate_of_a_known_authority_speaks_for_its_host() {
    for (authority, key) in
        [("ed25519", "ed25519"), ("ecdsa-384", "ecdsa-256"), ("rsa", "rsa"), ("ecdsa-521", "ed25519")]
    {
        let certified = Certified::new(authority, key, &["-h", "-n", "other,127.0.0.1", "-V", "-1d:+1d"]);
        let session = certified.site.open().unwrap_or_else(|error| panic!("{authority} {key}: {error}"));
        assert_eq!(session.host_key(), certified.site.fingerprint(&format!("host_{key}")), "the key's own fingerprint");
    }
    let wild = Certified::new("ed25519", "ed25519", &["-h", "-n", "127.0.*"]);
    wild.site.open().unwrap();
    let of_all = Certified::new("ed25519", "ed25519", &["-h"]);
    of_all.site.open().unwrap();
    of_all.site.configure("HostKeyAlias cluster");
    of_all.know("@cert-authority cluster");
    of_all.site.open().unwrap();
}

#[test]
fn a_certificate_that_does_not_speak_for_the_host_is_an_error() {
    for (arguments, expected) in [
        (&["-h", "-n", "lb2.example.net,lb3"][..], "it is for lb2.example.net, lb3 and not for 127.0.0.1"),
        (&["-h", "-n", "127.0.0.1", "-V", "-2d:-1d"], "it has expired"),
        (&["-h", "-n", "127.0.0.1", "-V", "+1d:+2d"], "it is not valid yet"),
    ] {
        assert_eq!(Certified::new("ed25519", "ed25519", arguments).why(), expected);
    }
    let strange = Certified::new("ed25519", "ed25519", &["-h", "-n", "127.0.0.1"]);
    let other = make_key(strange.site.path(), "other", "ed25519", "");
    strange.site.know(&format!("@cert-authority * {}", line_of(&other).unwrap()));
    let signer = strange.site.fingerprint("authority");
    assert_eq!(strange.why(), format!("it is signed by {signer}, which no @cert-authority line names"));
    strange.know("@cert-authority lb2.example.net");
    assert!(strange.site.distrusted().0.contains("is not known"), "an authority for other hosts is not asked");
    // The key itself is enough, as it is for OpenSSH.
    strange.know("@cert-authority *");
    let (port, key) = (strange.site.server.port, strange.site.host_key("ed25519").unwrap());
    strange.site.know(&format!("@cert-authority * {}\n[127.0.0.1]:{port} {key}", line_of(&other).unwrap()));
    strange.site.open().unwrap();
}

#[test]
fn a_revoked_authority_and_a_revoked_key_with_a_certificate_are_refused() {
    let certified = Certified::new("ed25519", "ed25519", &["-h", "-n", "127.0.0.1"]);
    let (authority, key) = (line_of(&certified.authority).unwrap(), certified.site.host_key("ed25519").unwrap());
    for revoked in [&authority, &key] {
        certified.site.know(&format!("@cert-authority * {authority}\n@revoked * {revoked}"));
        let (text, _) = certified.site.distrusted();
        assert!(text.contains("is revoked") && text.contains("known_hosts:2"), "{text}");
    }
}

#[test]
fn a_file_of_revoked_keys_is_heeded_by_authority_serial_number_and_identity() {
    let certified = Certified::new("ed25519", "ed25519", &["-h", "-n", "127.0.0.1", "-z", "7"]);
    let (site, folder) = (&certified.site, certified.site.path().display().to_string());
    let (revoked, authority) = (format!("{folder}/revoked"), public(&certified.authority).display().to_string());
    site.configure("RevokedHostKeys FOLDER/revoked");
    let refused = |why: &str| {
        let text = site.refused().to_string();
        assert!(text.contains(&format!("or its certificate or authority is revoked ({revoked})")), "{why}: {text}");
    };
    fs::copy(&authority, &revoked).unwrap();
    refused("the authority in a plain list");
    run("ssh-keygen", &["-q", "-k", "-f", &revoked, &authority]);
    refused("the authority in a KRL");
    let specification = site.path().join("specification");
    for (line, why) in [("serial: 7", "the serial number"), ("id: test", "the identity")] {
        fs::write(&specification, format!("{line}\n")).unwrap();
        run("ssh-keygen", &["-q", "-k", "-f", &revoked, "-s", &authority, &specification.display().to_string()]);
        refused(why);
    }
    // What is revoked are others of the same authority.
    for line in ["serial: 8", "id: another"] {
        fs::write(&specification, format!("{line}\n")).unwrap();
        run("ssh-keygen", &["-q", "-k", "-f", &revoked, "-s", &authority, &specification.display().to_string()]);
        site.open().unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}
