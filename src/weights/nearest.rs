//! The name that somebody probably meant.

/// The one of `names` that takes the fewest changed letters to become `name`; `None` where even that one has
/// little in common with it.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let best = names.map(|other| (distance(name, other), other)).min()?;
    (best.0 * 2 <= name.len()).then(|| best.1.to_owned())
}

/// Levenshtein's: letters to insert, delete or replace.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["mid_block.resnets.0.conv1.weight", "conv_in.weight", "conv_out.bias"];
        let found = |name| nearest(name, names.into_iter());
        assert_eq!(found("conv_in.weights").as_deref(), Some("conv_in.weight"));
        assert_eq!(found("mid.resnets.0.conv1.weight").as_deref(), Some(names[0]));
        assert_eq!(found("zzz"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("a", [].into_iter()), None);
    }
}
