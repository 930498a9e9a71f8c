//! Reads what `ssh -G` prints: a word and its value a line.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

use super::Target;
use super::config::{Endpoint, Family, Route};

/// The values of each word, in order.
type Words<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Makes an endpoint of what `ssh -G` printed; the error says what lvsctl cannot do.
pub(super) fn endpoint(target: &Target, printed: &str) -> Result<Endpoint, String> {
    let mut words = Words::new();
    for line in printed.lines() {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        words.entry(word).or_default().push(value.trim());
    }
    let one = |word: &str| words.get(word).and_then(|values| values.first()).copied().filter(|value| !value.is_empty());
    let is_set = |value: &&str| *value != "none";
    let needed = |word: &str| one(word).ok_or(format!("it names no {word}"));
    let mut endpoint = Endpoint {
        alias: target.host.clone(),
        host: needed("hostname")?.to_owned(),
        port: needed("port")?.parse().map_err(|_| "its port is no number")?,
        user: needed("user")?.to_owned(),
        family: family(one("addressfamily"))?,
        route: route(one("proxyjump").filter(is_set), one("proxycommand").filter(is_set)),
        connect_timeout: one("connecttimeout").filter(is_set).and_then(seconds),
        identities: Vec::new(),
        has_own_identity: target.identity.is_some(),
        identities_only: one("identitiesonly") == Some("yes"),
        agent: None,
        host_key_alias: one("hostkeyalias").filter(is_set).map(str::to_owned),
        known_hosts: Vec::new(),
        revoked_keys: one("revokedhostkeys").filter(is_set).map(PathBuf::from),
        configuration: target.configuration.clone(),
    };
    if one("proxyusefdpass") == Some("yes") {
        return Err("lvsctl does not know ProxyUseFdpass".into());
    }
    for word in ["userknownhostsfile", "globalknownhostsfile"] {
        for path in paths(one(word).filter(is_set).unwrap_or_default()) {
            endpoint.known_hosts.push(PathBuf::from(endpoint.file(&path)?));
        }
    }
    let agent = one("identityagent").unwrap_or("SSH_AUTH_SOCK");
    endpoint.agent = match agent {
        "none" => None,
        "SSH_AUTH_SOCK" => env::var_os("SSH_AUTH_SOCK"),
        name if name.starts_with('$') && !name.starts_with("${") => env::var_os(name.trim_start_matches('$')),
        path => Some(endpoint.file(path)?.into()),
    }
    .filter(|path| !path.is_empty())
    .map(PathBuf::from);
    if let Some(identity) = &target.identity {
        endpoint.identities.push(home(identity)?.into());
    }
    for identity in words.get("identityfile").into_iter().flatten().filter(|value| is_set(value)) {
        let path = PathBuf::from(endpoint.file(identity)?);
        if !endpoint.identities.contains(&path) {
            endpoint.identities.push(path);
        }
    }
    Ok(endpoint)
}

impl Endpoint {
    /// Makes a path of what the configuration writes: `~/`, `%` sequences and `${NAME}`.
    fn file(&self, text: &str) -> Result<String, String> {
        let mut more = vec![('i', rustix::process::getuid().as_raw().to_string())];
        more.extend(env::var("USER").ok().map(|user| ('u', user)));
        more.extend(env::home_dir().map(|home| ('d', home.to_string_lossy().into_owned())));
        variables(&self.expand(&home(text)?, &more)?)
    }
}

/// Puts the operator's home in the place of a `~`.
fn home(text: &str) -> Result<String, String> {
    match text.strip_prefix("~/") {
        Some(rest) => match env::home_dir() {
            Some(home) => Ok(home.join(rest).to_string_lossy().into_owned()),
            None => Err(format!("the operator has no home, which {text} needs")),
        },
        None if text.starts_with('~') => Err(format!("lvsctl does not know the home of {text}")),
        None => Ok(text.to_owned()),
    }
}

/// Fills in variables of the environment.
fn variables(text: &str) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("{text} lacks a brace"))?;
        filled.push_str(before);
        filled.push_str(
            &env::var(name).map_err(|_| format!("there is no environment variable {name}, which {text} needs"))?,
        );
        rest = after;
    }
    Ok(filled + rest)
}

/// Cuts the list of paths that `ssh -G` prints without quotes: a word that begins no path goes on with the one before it.
fn paths(list: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for word in list.split(' ') {
        match paths.last_mut() {
            Some(last) if !word.starts_with(['/', '~']) => {
                last.push(' ');
                last.push_str(word);
            }
            _ if word.is_empty() => {}
            _ => paths.push(word.to_owned()),
        }
    }
    paths
}

fn family(word: Option<&str>) -> Result<Family, String> {
    match word {
        None | Some("any") => Ok(Family::Any),
        Some("inet") => Ok(Family::Inet),
        Some("inet6") => Ok(Family::Inet6),
        Some(other) => Err(format!("lvsctl does not know the AddressFamily {other}")),
    }
}

/// A jump goes before a command, of which OpenSSH uses only the one that its configuration names first and prints no other.
fn route(jump: Option<&str>, command: Option<&str>) -> Route {
    match (jump, command) {
        (Some(hops), _) => Route::Jump(hops.to_owned()),
        (None, Some(command)) => Route::Command(command.to_owned()),
        (None, None) => Route::Direct,
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "user ops\nhostname 10.0.0.9\nport 2200\naddressfamily inet\nidentitiesonly yes\nhostkeyalias bob\n\
        identityagent none\nidentityfile /keys/%h-%r\nidentityfile /keys/first\nconnecttimeout 7\n\
        globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2\nuserknownhostsfile /tmp/a b /root/known\n\
        proxyjump a@b:22,c@[::1]:2222\n";

    fn target() -> Target {
        Target {
            host: "lb1".into(),
            user: None,
            port: None,
            identity: Some("/keys/first".into()),
            host_key: None,
            configuration: None,
        }
    }

    #[test]
    fn what_openssh_prints_is_an_endpoint() {
        let endpoint = endpoint(&target(), PRINTED).unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.user.as_str()), ("10.0.0.9", 2200, "ops"));
        assert_eq!(endpoint.known_as(), "bob");
        assert_eq!(endpoint.route, Route::Jump("a@b:22,c@[::1]:2222".into()));
        assert_eq!(endpoint.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!((endpoint.agent, endpoint.identities_only, endpoint.family), (None, true, Family::Inet));
        let identities: Vec<_> = endpoint.identities.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(identities, ["/keys/first", "/keys/10.0.0.9-ops"], "the topology's first, and none twice");
        let known: Vec<_> = endpoint.known_hosts.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(known, ["/tmp/a b", "/root/known", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let refused = |more: &str| endpoint(&target(), &format!("{PRINTED}{more}\n")).unwrap_err();
        assert_eq!(refused("proxyusefdpass yes"), "lvsctl does not know ProxyUseFdpass");
        assert_eq!(refused("identityfile /keys/%C"), "lvsctl does not know %C");
        assert!(refused("identityfile /keys/${NO_SUCH_VARIABLE_OF_LVSCTL}").contains("NO_SUCH_VARIABLE_OF_LVSCTL"));
        assert_eq!(endpoint(&target(), "hostname x\nport 22\n").unwrap_err(), "it names no user");
        assert!(endpoint(&target(), "hostname x\nport 99999\nuser y\n").is_err());
    }
}
