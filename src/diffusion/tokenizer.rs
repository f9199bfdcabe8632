//! Prompts as tokens, one a word.

use std::{collections::HashMap, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use crate::weights::{WeightsError, read_json};

/// `tokenizer_config.json`.
#[derive(Debug, Clone, Deserialize)]
struct TokenizerConfig {
    tokenizer_class: TokenizerClass,
    model_max_length: usize,
    bos_token: String,
    eos_token: String,
    pad_token: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum TokenizerClass {
    WordLevelTokenizer,
}

/// Lower-case words from `vocab.json`; words that it lacks are left out.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    config: TokenizerConfig,
    vocabulary: HashMap<String, i64>,
}

impl Tokenizer {
    /// Reads `tokenizer_config.json` and `vocab.json`.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`], also where a special token is not in the vocabulary.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let file = folder.join("vocab.json");
        let config: TokenizerConfig = read(&folder.join("tokenizer_config.json"))?;
        let TokenizerClass::WordLevelTokenizer = config.tokenizer_class;
        let vocabulary: HashMap<String, i64> = read(&file)?;
        let special = [&config.bos_token, &config.eos_token, &config.pad_token];
        if let Some(token) = special.into_iter().find(|token| !vocabulary.contains_key(*token)) {
            return Err(WeightsError::Unreadable { file, cause: format!("it lacks the token {token}") });
        }
        Ok(Self { config, vocabulary })
    }

    /// Begin, the prompt's known words as far as they fit, end, and padding: `model_max_length` tokens.
    pub fn encode(&self, prompt: &str) -> Vec<i64> {
        let TokenizerConfig { model_max_length, bos_token, eos_token, pad_token, .. } = &self.config;
        let mut tokens = vec![self.vocabulary[bos_token]];
        tokens.extend(self.known(prompt).take(model_max_length - 2));
        tokens.push(self.vocabulary[eos_token]);
        tokens.resize(*model_max_length, self.vocabulary[pad_token]);
        tokens
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

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, WeightsError> {
    serde_json::from_value(read_json(file)?)
        .map_err(|error| WeightsError::Unreadable { file: file.into(), cause: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(tokenizer().encode(prompt), tokens, "{prompt}");
        }
        assert!(tokenizer().understands("oil!") && !tokenizer().understands("a robot"));
    }
}
