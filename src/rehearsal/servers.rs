//! Starts what answers in a rehearsal: an nginx and the responders in each real server's namespace, all of which answer
//! with their host's name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::layout::{Layout, Place};
use super::namespace::{run, within};
use super::responders;
use super::target::{Offer, Pages};
use crate::topology::HostName;

/// The key that every TLS server shares; made in the guest and gone with it.
const KEY: &str = "/run/lab/tls.key";

/// Its certificate.
const CERTIFICATE: &str = "/run/lab/tls.crt";

/// Starts everything that the hosts must offer; it listens when this returns.
pub fn start(layout: &Layout, offers: &BTreeMap<HostName, Offer>) -> Result<(), String> {
    if offers.values().flat_map(|offer| offer.pages.values()).any(|pages| pages.tls) {
        make_certificate()?;
    }
    for (name, offer) in offers {
        let Some(place) = layout.places.get(name) else { continue };
        if !offer.pages.is_empty() {
            start_nginx(name, place, offer)?;
        }
        for (port, addresses) in &offer.datagrams {
            let unspecified = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
            for address in addresses.iter().copied().chain(unspecified) {
                responders::datagrams(name, place, SocketAddr::new(address, *port))?;
            }
        }
        for port in &offer.mail {
            responders::mail(name, place, *port)?;
        }
    }
    Ok(())
}

fn make_certificate() -> Result<(), String> {
    let curve = "ec_paramgen_curve:prime256v1";
    let key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-keyout", KEY, "-out", CERTIFICATE];
    let subject = ["-days", "30", "-subj", "/CN=rehearsal"];
    run("openssl", &[&key[..], &subject[..]].concat(), "").map(drop)
}

fn start_nginx(name: &HostName, place: &Place, offer: &Offer) -> Result<(), String> {
    let folder = Path::new(&place.root).join("run/nginx");
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let folder = folder.to_string_lossy().into_owned();
    let path = format!("{folder}/nginx.conf");
    fs::write(&path, nginx_configuration(name, &folder, &offer.pages))
        .map_err(|error| format!("{path} cannot be written: {error}"))?;
    // nginx goes into the background once it listens, so its return is its readiness.
    within(&place.namespace, || run("nginx", &["-c", &path, "-e", &format!("{folder}/error.log")], "").map(drop))
        .map_err(|error| format!("The web server of {name} does not start: {error}"))
}

fn nginx_configuration(name: &HostName, folder: &str, ports: &BTreeMap<u16, Pages>) -> String {
    let mut text = format!(
        "worker_processes 1;\npid {folder}/pid;\nevents {{ worker_connections 512; }}\n\
         http {{\n  access_log off;\n  default_type text/plain;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {folder}/{kind};");
    }
    if ports.values().any(|pages| pages.tls) {
        let _ = writeln!(text, "  ssl_certificate {CERTIFICATE};\n  ssl_certificate_key {KEY};");
    }
    for (port, pages) in ports {
        let tls = if pages.tls { " ssl" } else { "" };
        let _ = writeln!(text, "  server {{\n    listen {port}{tls};\n    listen [::]:{port}{tls};");
        for (path, status) in &pages.statuses {
            let _ = writeln!(text, "    location = {} {{ return {status} \"{name}\\n\"; }}", quoted(path));
        }
        let _ = writeln!(text, "    location / {{ return 200 \"{name}\\n\"; }}\n  }}");
    }
    text.push_str("}\n");
    text
}

/// Quotes a path; nginx matches paths without their query, and knows no escape but these two.
fn quoted(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::target::offers;
    use crate::topology::fixture::reference_site;

    #[test]
    fn nginx_answers_every_path_with_the_hosts_name() {
        let offers = offers(&reference_site());
        let name = HostName::new("web1");
        let text = nginx_configuration(&name, "/run/lab/web1/run/nginx", &offers[&name].pages);
        assert!(text.contains("listen 80;"), "{text}");
        assert!(text.contains("listen 443 ssl;"), "{text}");
        assert!(text.contains("location = \"/lbtest.html\" { return 200 \"web1\\n\"; }"), "{text}");
        assert_eq!(text.matches("location / { return 200 \"web1\\n\"; }").count(), 2);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn a_path_cannot_end_its_quotes() {
        assert_eq!(quoted("/a\"b\\c?d=e"), "\"/a\\\"b\\\\c\"");
    }
}
