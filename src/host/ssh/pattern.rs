//! Which hosts a line of known_hosts is about (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

use base64ct::{Base64, Encoding};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Tells whether the first word of a line is about a host; the name is written as known_hosts does, in small letters.
pub(super) fn is_about(hosts: &str, name: &str) -> bool {
    match hosts.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, name),
        None => is_in_list(hosts, name),
    }
}

/// Compares with a hashed name, which is the salt and HMAC-SHA1 of the name with it.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (Base64::decode_vec(salt), Base64::decode_vec(hash)) else { return false };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.update(name.as_bytes());
    mac.verify_slice(&hash).is_ok()
}

/// Looks for a name in patterns with commas between them; one after a `!` that matches takes the whole line away.
fn is_in_list(hosts: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if matches(not, name) => return false,
            Some(_) => {}
            None => found |= matches(pattern, name),
        }
    }
    found
}

/// Compares with a pattern of `*` and `?`, letters of any case.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase().into_bytes(), name.to_lowercase().into_bytes());
    let (mut at, mut position) = (0, 0);
    // Where the last star stood, and how much it stands for.
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(sign) if *sign == b'?' || Some(sign) == name.get(position) => (at, position) = (at + 1, position + 1),
            _ => match star {
                Some((stood, taken)) => {
                    star = Some((stood, taken + 1));
                    (at, position) = (stood + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|sign| *sign == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_openssh() {
        for (hosts, name, about) in [
            ("lb1.example.net", "lb1.example.net", true),
            ("LB1.example.net,10.0.0.1", "lb1.example.net", true),
            ("lb1.example.net,10.0.0.1", "10.0.0.1", true),
            ("lb1", "lb1.example.net", false),
            ("*.example.net", "lb1.example.net", true),
            ("*.example.net", "example.net", false),
            ("lb?.example.net", "lb1.example.net", true),
            ("lb?.example.net", "lb10.example.net", false),
            ("*.example.net,!lb1.example.net", "lb1.example.net", false),
            ("!lb1.example.net,*.example.net", "lb1.example.net", false),
            ("!lb1.example.net", "lb2.example.net", false),
            ("[lb1.example.net]:2222", "[lb1.example.net]:2222", true),
            ("[lb1.example.net]:2222", "lb1.example.net", false),
            ("[*.example.net]:*", "[lb1.example.net]:2222", true),
            ("*", "[fe80::1%eth0]:2222", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxbxxcb", false),
            ("", "", true),
            ("", "lb1", false),
        ] {
            assert_eq!(is_about(hosts, name), about, "{hosts} {name}");
        }
    }

    #[test]
    fn a_star_for_every_letter_takes_no_longer() {
        let begun = std::time::Instant::now();
        assert!(!matches(&("*a".repeat(500) + "b"), &"a".repeat(5000)));
        // One that tries everything goes on for longer than anybody waits.
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_hashed_name_is_found_and_a_broken_hash_is_nobodys() {
        // Made with ssh-keygen -H.
        let hosts = "|1|VI4unpy6Cg6ZZ1FBi5cyRws9viI=|jMvgRduBgCNNR0WM7Vd9ShQOYnA=";
        assert!(is_about(hosts, "[lb1.example.net]:2222"));
        assert!(!is_about(hosts, "lb1.example.net"));
        for broken in ["|1|", "|1||", "|1|x|y", "|1|AAAA", "|2|AAAA|AAAA", "|1|AAAA|AAAA|"] {
            assert!(!is_about(broken, "lb1"), "{broken}");
        }
    }
}
