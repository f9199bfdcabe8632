//! Weights in a prompt, written as the common user interfaces do: `(word)` counts 1.1 times, `(word:1.3)` 1.3 times,
//! `[word]` 1/1.1 times; they multiply where they stand in each other, and a backslash takes a bracket's meaning
//! away. What is open at the end closes there.

const MORE: f32 = 1.1;

/// A piece of a prompt and how much it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    pub text: String,
    pub weight: f32,
}

/// The pieces of `prompt`, in order; neighbours differ in weight.
pub fn parse(prompt: &str) -> Vec<Weighted> {
    let mut parser = Parser::default();
    let mut rest = prompt.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => parser.push(rest.next().unwrap_or('\\')),
            '(' => parser.round.push(parser.pieces.len()),
            '[' => parser.square.push(parser.pieces.len()),
            ')' if !parser.round.is_empty() => parser.close_round(MORE),
            ']' if !parser.square.is_empty() => parser.close_square(),
            ':' if !parser.round.is_empty() => match weight_before_bracket(rest.as_str()) {
                Some((weight, length)) => {
                    rest.nth(length - 1);
                    parser.close_round(weight);
                }
                None => parser.push(':'),
            },
            letter => parser.push(letter),
        }
    }
    parser.finish()
}

/// The number of `1.3)`, and how many letters it takes with the bracket.
fn weight_before_bracket(rest: &str) -> Option<(f32, usize)> {
    let (number, _) = rest.split_once(')')?;
    let weight: f32 = number.trim().parse().ok()?;
    weight.is_finite().then_some((weight, number.chars().count() + 1))
}

#[derive(Default)]
struct Parser {
    /// One a letter.
    pieces: Vec<(char, f32)>,
    /// Where the brackets that are open began.
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Parser {
    fn push(&mut self, letter: char) {
        self.pieces.push((letter, 1.0));
    }

    fn close_round(&mut self, weight: f32) {
        let begin = self.round.pop().unwrap_or_default();
        self.weigh(begin, weight);
    }

    fn close_square(&mut self) {
        let begin = self.square.pop().unwrap_or_default();
        self.weigh(begin, 1.0 / MORE);
    }

    fn weigh(&mut self, begin: usize, weight: f32) {
        self.pieces[begin..].iter_mut().for_each(|(_, own)| *own *= weight);
    }

    fn finish(mut self) -> Vec<Weighted> {
        while !self.round.is_empty() {
            self.close_round(MORE);
        }
        while !self.square.is_empty() {
            self.close_square();
        }
        let runs = self.pieces.chunk_by(|(_, one), (_, other)| one == other);
        runs.map(|run| Weighted { text: run.iter().map(|(letter, _)| letter).collect(), weight: run[0].1 })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(prompt: &str) -> Vec<(String, f32)> {
        parse(prompt)
            .into_iter()
            .map(|Weighted { text, weight }| (text, (weight * 1000.0).round() / 1000.0))
            .collect()
    }

    #[test]
    fn brackets_weigh_what_they_hold() {
        let expect = |prompt: &str, expected: &[(&str, f32)]| {
            let expected: Vec<_> = expected.iter().map(|&(text, weight)| (text.to_owned(), weight)).collect();
            assert_eq!(pieces(prompt), expected, "{prompt}");
        };
        expect("plain: text", &[("plain: text", 1.0)]);
        expect("a (cat) here", &[("a ", 1.0), ("cat", 1.1), (" here", 1.0)]);
        expect("((cat))", &[("cat", 1.21)]);
        expect("a [cat]", &[("a ", 1.0), ("cat", 0.909)]);
        expect("(a (b:2) c:0.5)", &[("a ", 0.5), ("b", 1.0), (" c", 0.5)]);
        expect(r"\(not\) [it\]", &[("(not) ", 1.0), ("it]", 0.909)]);
        expect("(open", &[("open", 1.1)]);
        expect("closed) too]", &[("closed) too]", 1.0)]);
        expect("(time 12:30 here)", &[("time 12:30 here", 1.1)]);
        expect("", &[]);
    }
}
