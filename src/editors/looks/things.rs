//! Whether a prompt asks for things, which looks cannot draw.

/// What the words of a prompt sound like. Patterns' words stand in their order, with others between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nobody says this of a look ("a robot instead of the rabbit").
    Things,
    /// Things, unless a listed word tells of a look ("add a hat", "add snow").
    RatherThings,
    /// Said of a thing as often as of a look ("turn it into a dragon", "into a watercolour").
    Either,
    /// Looks alone.
    Looks,
}

const THINGS: [&[&str]; 8] = [
    &["instead", "of"],
    &["replace"],
    &["swap"],
    &["exchange"],
    &["remove"],
    &["delete"],
    &["erase"],
    &["insert"],
];
const RATHER_THINGS: [&[&str]; 11] = [
    &["add"],
    &["put"],
    &["dress"],
    &["give", "him"],
    &["give", "her"],
    &["give", "them"],
    &["give", "the", "a"],
    &["becomes"],
    &["become"],
    &["where", "was"],
    &["where", "were"],
];
const EITHER: [&[&str]; 6] = [
    &["turn", "into"],
    &["transform", "into"],
    &["change", "into"],
    &["change", "to"],
    &["make", "the", "a"],
    &["make", "the", "an"],
];

impl Wish {
    /// Of `words`, in lower case.
    pub fn of(words: &[String]) -> Self {
        let holds = |pattern: &&[&str]| {
            let mut words = words.iter();
            pattern.iter().all(|part| words.any(|word| word == part))
        };
        if THINGS.iter().any(holds) {
            Self::Things
        } else if RATHER_THINGS.iter().any(holds) {
            Self::RatherThings
        } else if EITHER.iter().any(holds) {
            Self::Either
        } else {
            Self::Looks
        }
    }

    /// Whether unlisted words may be taken for a look: those of things name things.
    pub fn may_be_guessed(self) -> bool {
        matches!(self, Self::Either | Self::Looks)
    }

    /// Whether the user should be told that things cannot be drawn.
    ///
    /// - `listed`: a listed word names a look
    pub fn is_in_vain(self, listed: bool) -> bool {
        match self {
            Self::Things => true,
            Self::RatherThings | Self::Either => !listed,
            Self::Looks => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_for_things_are_told_from_wishes_for_looks() {
        for (prompt, expected) in [
            ("a robot instead of the rabbit", Wish::Things),
            ("add a hat", Wish::RatherThings),
            ("a shark where the boat was", Wish::RatherThings),
            ("turn the car into a dragon", Wish::Either),
            ("turn left", Wish::Looks),
            ("a pencil sketch", Wish::Looks),
        ] {
            let words: Vec<String> = prompt.split(' ').map(Into::into).collect();
            assert_eq!(Wish::of(&words), expected, "{prompt}");
        }
    }
}
