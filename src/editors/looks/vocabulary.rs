//! From a prompt's words to looks: by the list, and where that names none of a stage, by the table of words.

use std::collections::BTreeMap;

use super::{Look, LookConfig, Looks, Source, things::Wish};

/// What was understood of a prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Understanding {
    /// What it asks for; empty if [`unknown`](Self::unknown).
    pub look: Look,
    /// The prompt holds no word of the list: frames keep the source's look.
    pub unknown: bool,
    /// The words of the prompt that counted, as they stand in it (lower case).
    pub matched: Vec<String>,
    /// What the user should be told, in full sentences.
    pub warnings: Vec<String>,
}

/// One match: which look, by which words, whether these are weak, and how much they count beside others.
struct Match {
    look: usize,
    words: String,
    weak: bool,
    weight: f64,
}

/// A text, word by word.
struct Reading {
    /// What the list knows, in the text's order.
    listed: Vec<Match>,
    /// The other words.
    others: Vec<String>,
}

/// Evidence of a text's words together that asks for a look; the table is scaled to it.
const ENOUGH: f64 = 1.0;
/// Words of a prompt whose evidence counts in full; more of them say the same at greater length, and chance adds up.
const SENTENCE: f64 = 24.0;
/// Of the strongest look's evidence: what is weaker is chance.
const BESIDE: f64 = 0.85;

impl Looks {
    /// The look that `prompt` asks for. Listed words are compared in lower case and without their endings; the longest
    /// phrase wins; every match of a look adds to its share. The words that are left speak for a look together,
    /// by the table, where the list names none of its stage. Looks that `negative_prompt` names by listed words are
    /// left out. An empty prompt asks for nothing and is not unknown.
    pub fn understand(&self, prompt: &str, negative_prompt: &str) -> Understanding {
        let unwanted: Vec<usize> = self.read(negative_prompt).listed.iter().map(|found| found.look).collect();
        let Reading { listed: mut matches, others } = self.read(prompt);
        let (wish, listed) = (Wish::of(&words(prompt)), !matches.is_empty());
        if wish.may_be_guessed() {
            matches.extend(self.spoken_for(&others, &matches));
        }
        matches.retain(|found| !unwanted.contains(&found.look));
        self.drop_weak(&mut matches);
        let look = self.shares(&matches);
        let unknown = look.is_empty() && !prompt.trim().is_empty();
        let mut warnings = self.stand_ins(&look);
        if wish.is_in_vain(listed) {
            warnings.push(self.things_asked(prompt));
        } else if unknown {
            warnings.push(self.not_understood(prompt));
        }
        Understanding {
            look,
            unknown,
            matched: matches.into_iter().map(|found| found.words).collect(),
            warnings,
        }
    }

    fn read(&self, text: &str) -> Reading {
        let words: Vec<String> = words(text);
        let stems: Vec<String> = words.iter().map(|word| stem(word)).collect();
        let phrases = phrases(&self.config.looks);
        let (mut listed, mut others, mut at) = (Vec::new(), Vec::new(), 0);
        while at < stems.len() {
            match phrases.iter().find(|(phrase, _)| stems[at..].starts_with(phrase)) {
                Some((phrase, looks)) => {
                    let words = words[at..at + phrase.len()].join(" ");
                    listed.extend(looks.iter().map(|&(look, weak)| Match {
                        look,
                        words: words.clone(),
                        weak,
                        weight: 1.0,
                    }));
                    at += phrase.len();
                }
                None => {
                    others.push(words[at].clone());
                    at += 1;
                }
            }
        }
        Reading { listed, others }
    }

    /// What the table of words finds in `words`: the look that they speak for most, and what of its stage comes close;
    /// nothing where the list names another of that stage.
    fn spoken_for(&self, words: &[String], listed: &[Match]) -> Vec<Match> {
        let Some(table) = &self.table else { return Vec::new() };
        let mut looks: BTreeMap<usize, (f64, Vec<&str>)> = BTreeMap::new();
        let counted = (SENTENCE / words.len() as f64).min(1.0);
        for word in words {
            for (look, evidence) in table.evidence(word) {
                let (sum, speakers) = looks.entry(look).or_default();
                *sum += evidence * counted;
                speakers.push(word);
            }
        }
        let strongest = looks.iter().max_by(|(_, (one, _)), (_, (other, _))| one.total_cmp(other));
        let Some((&strongest, &(most, _))) = strongest else { return Vec::new() };
        let stage = |look: usize| self.config.looks[look].stage;
        let (least, asked) = (ENOUGH.max(most * BESIDE), stage(strongest));
        let is_listed = listed.iter().any(|found| !found.weak && stage(found.look) == asked);
        looks.retain(|&look, (sum, _)| *sum >= least && stage(look) == asked && !is_listed);
        let found = looks.into_iter().map(|(look, (weight, speakers))| Match {
            look,
            words: speakers.join(" "),
            weak: false,
            weight,
        });
        found.collect()
    }

    /// A weak word ("painting") counts only where no other look of its stage is named ("watercolour").
    fn drop_weak(&self, matches: &mut Vec<Match>) {
        let stage = |found: &Match| self.config.looks[found.look].stage;
        let named: Vec<_> = matches.iter().filter(|found| !found.weak).map(stage).collect();
        matches.retain(|found| !found.weak || !named.contains(&stage(found)));
    }

    fn shares(&self, matches: &[Match]) -> Look {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for found in matches {
            *counts.entry(found.look).or_default() += found.weight;
        }
        let stage = |look: usize| self.config.looks[look].stage;
        let total = |of: usize| {
            counts.iter().filter(|&(&look, _)| stage(look) == stage(of)).map(|(_, n)| n).sum::<f64>()
        };
        Look { layers: counts.iter().map(|(&look, count)| (look, count / total(look))).collect() }
    }

    /// One warning for each painterly look that another stands in for.
    fn stand_ins(&self, look: &Look) -> Vec<String> {
        let stand_in = |&(index, _): &(usize, f64)| {
            let look = &self.config.looks[index];
            let replaced = look.style.is_some() && matches!(self.sources[index], Source::Procedural(_));
            replaced.then(|| {
                format!(
                    "the look `{}` needs the painterly network, which is not installed: run `make setup`; \
                     until then `{}` is used instead",
                    look.name,
                    look.instead.as_deref().unwrap_or_default()
                )
            })
        };
        look.layers.iter().filter_map(stand_in).collect()
    }

    fn things_asked(&self, prompt: &str) -> String {
        format!(
            "the prompt \"{prompt}\" asks for things, and this model cannot draw things, it knows looks alone: use \
             Stable Diffusion 1.5 for them (`make models MODEL=sd15`, then model=sd15), or edit one frame yourself \
             (edited-frame=). The looks and their words are listed in {}",
            self.list
        )
    }

    fn not_understood(&self, prompt: &str) -> String {
        let names: Vec<&str> = self.names().collect();
        format!(
            "the prompt \"{prompt}\" holds no word that this model knows, so frames keep the source's look. It knows \
             looks, not things: {}; all words are listed in {}. To change what is seen, use a model with a text \
             encoder (model=), or edit one frame yourself (edited-frame=)",
            names.join(", "),
            self.list
        )
    }
}

/// A phrase's stems, and the looks it asks for, each with whether the phrase is weak.
type Phrase = (Vec<String>, Vec<(usize, bool)>);

/// Every phrase of the list, longest first.
fn phrases(looks: &[LookConfig]) -> Vec<Phrase> {
    let mut phrases: BTreeMap<Vec<String>, Vec<(usize, bool)>> = BTreeMap::new();
    for (index, look) in looks.iter().enumerate() {
        let strong = look.words.iter().map(|phrase| (phrase, false));
        for (phrase, weak) in strong.chain(look.weak_words.iter().map(|phrase| (phrase, true))) {
            let stems = words(phrase).iter().map(|word| stem(word)).collect();
            let asked = phrases.entry(stems).or_default();
            // "oil" and "oils" are the same stem.
            if !asked.iter().any(|&(look, _)| look == index) {
                asked.push((index, weak));
            }
        }
    }
    let mut phrases: Vec<Phrase> = phrases.into_iter().collect();
    phrases.sort_by_key(|(stems, _)| std::cmp::Reverse(stems.len()));
    phrases
}

/// Lower-case words of letters and digits.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(Into::into)
        .collect()
}

/// A word without its commonest endings; British and American spelling become one.
fn stem(word: &str) -> String {
    const ENDINGS: [&str; 8] = ["ings", "ing", "ed", "es", "s", "y", "e", "ish"];
    const SHORTEST: usize = 3;
    let word = word.replace("colour", "color").replace("grey", "gray");
    let ending = ENDINGS
        .iter()
        .find(|&&ending| word.strip_suffix(ending).is_some_and(|rest| rest.chars().count() >= SHORTEST));
    match ending {
        Some(ending) => word[..word.len() - ending.len()].into(),
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_do_not_matter() {
        for (one, other) in [
            ("sketches", "sketch"),
            ("snowy", "snow"),
            ("painted", "paintings"),
            ("watercolour", "watercolors"),
            ("etching", "etched"),
        ] {
            assert_eq!(stem(one), stem(other), "{one}, {other}");
        }
        assert_ne!(stem("ink"), stem("inn"));
    }

    #[test]
    fn words_are_split_at_anything_that_is_no_letter() {
        assert_eq!(words("Ukiyo-e, by HOKUSAI!"), ["ukiyo", "e", "by", "hokusai"]);
    }
}
