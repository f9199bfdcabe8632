//! Prompts as tokens, one a word.

use std::{collections::HashMap, path::Path};

use super::{Chunk, TokenizerConfig, read, special};
use crate::weights::WeightsError;

/// Lower-case words from `vocab.json`; words that it lacks are left out.
#[derive(Debug, Clone)]
pub struct WordLevelTokenizer {
    length: usize,
    special: [i64; 3],
    vocabulary: HashMap<String, i64>,
}

impl WordLevelTokenizer {
    /// Reads `vocab.json`.
    pub(super) fn open(folder: &Path, config: TokenizerConfig) -> Result<Self, WeightsError> {
        let file = folder.join("vocab.json");
        let vocabulary: HashMap<String, i64> = read(&file)?;
        let special = special(&config, &file, |token| vocabulary.get(token).copied())?;
        Ok(Self { length: config.model_max_length, special, vocabulary })
    }

    /// Begin, the prompt's known words as far as they fit, end, and padding.
    pub fn encode(&self, prompt: &str) -> Chunk {
        let [begin, end, pad] = self.special;
        let mut tokens = vec![begin];
        tokens.extend(self.known(prompt).take(self.length - 2));
        tokens.push(end);
        tokens.resize(self.length, pad);
        Chunk { weights: vec![1.0; tokens.len()], tokens }
    }

    /// Whether the prompt has a word that the model was taught.
    pub fn understands(&self, prompt: &str) -> bool {
        self.known(prompt).next().is_some()
    }

    fn known<'a>(&'a self, prompt: &'a str) -> impl Iterator<Item = i64> + 'a {
        let words = prompt.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        words.filter_map(|word| self.vocabulary.get(&word.to_lowercase()).copied())
    }
}

#[cfg(test)]
mod tests {
    use crate::diffusion::Tokenizer;

    fn tokenizer() -> Tokenizer {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "tokenizer_config.json",
            r#"{"tokenizer_class": "WordLevelTokenizer", "model_max_length": 5,
                "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}"#,
        );
        write("vocab.json", r#"{"<pad>": 0, "<s>": 1, "</s>": 2, "starry": 3, "night": 4, "oil": 5}"#);
        Tokenizer::open(folder.path()).unwrap()
    }

    #[test]
    fn a_prompt_becomes_its_known_words() {
        for (prompt, tokens) in [
            ("", [1, 2, 0, 0, 0]),
            ("a Starry-night, please", [1, 3, 4, 2, 0]),
            ("oil oil oil oil oil", [1, 5, 5, 5, 2]),
        ] {
            assert_eq!(tokenizer().encode(prompt)[0].tokens, tokens, "{prompt}");
        }
        assert!(tokenizer().understands("oil!") && !tokenizer().understands("a robot"));
    }
}
