//! Counts what cannot follow what, before the parser sees it.
//!
//! After an error the KDL parser goes on by calling itself, so that 100,000 stray signs overflow its stack. A few are left
//! to it, because its messages are good; a text with many is no topology, and is refused here. [`super::scan`] cuts the
//! text into signs, and [`super::words`] judges words.

/// How many misplaced signs are left to the parser.
const MAXIMUM_MISPLACED: usize = 64;

/// A sign that has a place in KDL's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A name, a number or a string.
    Word,
    /// A word that only KDL 1 has.
    FirstWord,
    /// What is no word in either version.
    BadWord,
    /// `=`.
    Equals,
    /// `(`, before a type's name.
    Open,
    /// `)`, behind it.
    Close,
    /// `/-`, before what is commented out.
    Slashdash,
    /// `/-` where a node may begin.
    NodeSlashdash,
    /// `{`.
    Begin,
    /// `}`.
    Finish,
    /// What ends a node: a line's end or `;`.
    End,
}

/// Watches the order of signs.
#[derive(Debug)]
pub struct Order {
    last: [Sign; 2],
    misplaced: usize,
    first: usize,
}

impl Default for Order {
    fn default() -> Self {
        Order { last: [Sign::End; 2], misplaced: 0, first: 0 }
    }
}

impl Order {
    /// Takes notice of a sign, and of whether it is wrongly joined to the one before; tells whether too many have been out
    /// of place.
    pub fn is_exceeded_by(&mut self, sign: Sign, joined: bool) -> bool {
        // What is commented out may stand in a later line.
        let [_, last] = self.last;
        if sign == Sign::End && matches!(last, Sign::Slashdash | Sign::NodeSlashdash) {
            return false;
        }
        let sign = match sign {
            Sign::Slashdash if matches!(last, Sign::End | Sign::Begin) => Sign::NodeSlashdash,
            other => other,
        };
        self.first += usize::from(sign == Sign::FirstWord);
        self.misplaced += usize::from(sign == Sign::BadWord || joined);
        let sign = if matches!(sign, Sign::FirstWord | Sign::BadWord) { Sign::Word } else { sign };
        self.misplaced += usize::from(is_misplaced(self.last, sign));
        self.last = [last, sign];
        self.misplaced > MAXIMUM_MISPLACED
    }

    /// Tells whether there are words that only KDL 1 has, and whether they are too many for a parser of KDL 2.
    pub fn first_words(&self) -> (bool, bool) {
        (self.first > 0, self.first > MAXIMUM_MISPLACED)
    }
}

fn is_misplaced(last: [Sign; 2], sign: Sign) -> bool {
    use Sign::{Begin, Close, End, Equals, Finish, NodeSlashdash, Open, Slashdash, Word};
    match (last, sign) {
        ([Open, Word], sign) => sign != Close,
        (_, Close) => true,
        ([_, Open], sign) => sign != Word,
        ([_, Equals], sign) => !matches!(sign, Word | Open),
        ([_, Close], sign) => sign != Word,
        ([_, Slashdash], sign) => !matches!(sign, Word | Open | Begin),
        ([_, NodeSlashdash], sign) => !matches!(sign, Word | Open),
        ([_, Finish], sign) => !matches!(sign, End | Finish | Slashdash),
        // `a=b=c`, and also `a=(b)c=d`.
        ([Equals | Close, Word], Equals) => true,
        // A node's name has no value.
        ([End | Begin | Finish | NodeSlashdash, Word], Equals) => true,
        ([_, Word], _) => false,
        // A line begins, at the top or in braces.
        (_, sign) => matches!(sign, Equals | Begin),
    }
}

#[cfg(test)]
mod tests {
    use super::Sign::{BadWord, Begin, Close, End, Equals, Finish, FirstWord, Open, Slashdash, Word};
    use super::*;

    fn is_fine(signs: &[Sign]) -> bool {
        let mut order = Order::default();
        for sign in signs {
            order.is_exceeded_by(*sign, false);
        }
        order.misplaced == 0
    }

    #[test]
    fn words_of_kdl_1_are_counted_by_themselves() {
        let mut order = Order::default();
        assert!(!(0..100).any(|_| order.is_exceeded_by(FirstWord, false)));
        assert_eq!(order.first_words(), (true, true));
        assert!((0..100).any(|_| order.is_exceeded_by(BadWord, false)));
    }

    #[test]
    fn kdl_is_fine_and_strays_are_not() {
        assert!(is_fine(&[Word, Word, Word, Equals, Word, End, Open, Word, Close, Word, Open, Word, Close, Word, End]));
        assert!(is_fine(&[
            Word, Word, Equals, Open, Word, Close, Word, Slashdash, Word, Slashdash, End, Word, End, End
        ]));
        for stray in [
            vec![Equals],
            vec![Close],
            vec![Open, Open],
            vec![Word, Word, Equals, End],
            vec![Word, Word, Equals, Word, Equals],
            vec![Slashdash, Slashdash],
            vec![Open, Word, Close, Open],
            vec![Open, Word, End],
            vec![Begin],
            vec![Word, Begin, Finish, Word],
            vec![Slashdash, End, Slashdash],
            vec![BadWord],
            vec![Word, Equals],
            vec![Slashdash, Word, Equals],
            vec![Word, Begin, Word, Equals],
        ] {
            assert!(!is_fine(&stray), "{stray:?}");
        }
    }
}
