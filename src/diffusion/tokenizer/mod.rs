//! From a prompt to the tokens that a text encoder takes.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};

use self::{clip::ClipTokenizer, word_level::WordLevelTokenizer};
use crate::weights::{WeightsError, read_json, unreadable};

mod clip;
mod emphasis;
mod word_level;

/// As many tokens as the text encoder takes at once, begin and end included, with the weight of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// `model_max_length` of them.
    pub tokens: Vec<i64>,
    /// 1: as it stands.
    pub weights: Vec<f32>,
}

/// `tokenizer_config.json`.
#[derive(Debug, Clone, Deserialize)]
struct TokenizerConfig {
    tokenizer_class: TokenizerClass,
    model_max_length: usize,
    #[serde(deserialize_with = "token")]
    bos_token: String,
    #[serde(deserialize_with = "token")]
    eos_token: String,
    #[serde(deserialize_with = "token")]
    pad_token: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum TokenizerClass {
    /// Ours.
    WordLevelTokenizer,
    #[serde(alias = "CLIPTokenizerFast")]
    CLIPTokenizer,
}

/// The tokenizer that a folder's `tokenizer_class` names.
#[derive(Debug)]
pub enum Tokenizer {
    /// One token a known word: the embedded model's.
    WordLevel(WordLevelTokenizer),
    /// Stable Diffusion's.
    Clip(Box<ClipTokenizer>),
}

impl Tokenizer {
    /// Reads `tokenizer_config.json` and `vocab.json`, for CLIP `merges.txt`, too.
    ///
    /// # Errors
    /// [`WeightsError::Unreadable`], also where a special token is not in the vocabulary.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let file = folder.join("tokenizer_config.json");
        let config: TokenizerConfig = read(&file)?;
        if config.model_max_length < 3 {
            return Err(unreadable(&file, &"model_max_length leaves no room for a word"));
        }
        Ok(match config.tokenizer_class {
            TokenizerClass::WordLevelTokenizer => Self::WordLevel(WordLevelTokenizer::open(folder, config)?),
            TokenizerClass::CLIPTokenizer => Self::Clip(Box::new(ClipTokenizer::open(folder, config)?)),
        })
    }

    /// The prompt's chunks, one at least.
    pub fn encode(&self, prompt: &str) -> Vec<Chunk> {
        match self {
            Self::WordLevel(tokenizer) => vec![tokenizer.encode(prompt)],
            Self::Clip(tokenizer) => tokenizer.encode(prompt),
        }
    }

    /// Whether the prompt has a word that the model was taught.
    pub fn understands(&self, prompt: &str) -> bool {
        match self {
            Self::WordLevel(tokenizer) => tokenizer.understands(prompt),
            Self::Clip(_) => !prompt.trim().is_empty(),
        }
    }
}

/// A special token's text, also where it is written with its options.
fn token<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Token {
        Text(String),
        WithOptions { content: String },
    }
    Ok(match Token::deserialize(deserializer)? {
        Token::Text(text) | Token::WithOptions { content: text } => text,
    })
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, WeightsError> {
    serde_json::from_value(read_json(file)?)
        .map_err(|error| WeightsError::Unreadable { file: file.into(), cause: error.to_string() })
}

/// The ids of begin, end and padding in `vocabulary`, by way of `id`.
fn special(
    config: &TokenizerConfig,
    file: &Path,
    id: impl Fn(&str) -> Option<i64>,
) -> Result<[i64; 3], WeightsError> {
    let [begin, end, pad] = [&config.bos_token, &config.eos_token, &config.pad_token]
        .map(|token| id(token).ok_or_else(|| unreadable(file, &format!("it lacks the token {token}"))));
    Ok([begin?, end?, pad?])
}
