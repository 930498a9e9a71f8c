//! "Did you mean": the known name that is closest to an unknown one.

/// Returns the candidate closest to `name`, if one is close enough to be meant.
///
/// A third of the letters may differ, so `wieght` finds `weight`, and `x` finds nothing.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long names cost quadratic time and cannot be a slip of a short one.
    if name.len() > 64 {
        return None;
    }
    let length = name.chars().count();
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        // Two names differ by at least what their lengths differ by; to know that costs little.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        // Slips rarely touch the first letter.
        .min_by_key(|(distance, candidate)| (*distance, candidate.chars().next() != name.chars().next()))
        .map(|(_, candidate)| candidate)
}

/// Lists names for a sentence: `a`, `b` and `c`.
pub fn listing<'a>(names: impl IntoIterator<Item = &'a str>, joint: &str) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {joint} {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        assert_eq!(closest("wieght", ["port", "weight"]), Some("weight"));
        assert_eq!(closest("WRR", ["rr", "wrr"]), Some("wrr"));
        assert_eq!(closest("wr", ["rr", "wrr"]), Some("wrr"));
        assert_eq!(closest("x", ["a", "b"]), None);
        assert_eq!(closest(&"w".repeat(100_000), ["weight"]), None);
    }

    #[test]
    fn lists_names() {
        assert_eq!(listing(["a"], "and"), "`a`");
        assert_eq!(listing(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
