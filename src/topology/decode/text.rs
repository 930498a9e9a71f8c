//! Strings that stand for more than one value.

use crate::topology::PortRange;

/// Reads a port, or two with a dash between them; the bounds may be in either order.
pub fn port_range(text: &str) -> Option<PortRange> {
    let port = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u16>().ok(),
        false => None,
    };
    match text.split_once('-') {
        Some((first, last)) => Some(PortRange { first: port(first)?, last: port(last)? }),
        None => port(text).map(PortRange::single),
    }
}

/// Splits a mail server into its host and its port, if one is written; an IPv6 address with a port stands in brackets.
pub fn mail_server(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((address, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((address, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_servers() {
        assert_eq!(port_range("80"), Some(PortRange::single(80)));
        assert_eq!(port_range("8000-8010"), Some(PortRange { first: 8000, last: 8010 }));
        for wrong in ["", "-", "80-", "-80", "70000", "+80", "80-90-100", " 80"] {
            assert_eq!(port_range(wrong), None, "{wrong:?}");
        }
        assert_eq!(mail_server("mail.example.org:587"), Some(("mail.example.org", Some(587))));
        assert_eq!(mail_server("[2001:db8::1]:25"), Some(("2001:db8::1", Some(25))));
        assert_eq!(mail_server("2001:db8::1"), Some(("2001:db8::1", None)));
        assert_eq!(mail_server("mail:x"), None);
    }
}
