//! CLIP's byte-pair encoding. Files and result: transformers' `CLIPTokenizer`.

use std::path::Path;

use tokenizers::{
    NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, TokenizerImpl,
    decoders::DecoderWrapper,
    models::bpe::BPE,
    normalizers::{self, Lowercase, NFC, Replace, replace::ReplacePattern},
    pre_tokenizers::{
        self,
        byte_level::ByteLevel,
        split::{Split, SplitPattern},
    },
    processors::PostProcessorWrapper,
};

use super::{Chunk, TokenizerConfig, emphasis, special};
use crate::weights::{WeightsError, unreadable};

type Encoder =
    TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// What counts as a word.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The tokenizer of Stable Diffusion's text encoder.
#[derive(Debug)]
pub struct ClipTokenizer {
    encoder: Encoder,
    length: usize,
    special: [i64; 3],
}

impl ClipTokenizer {
    /// Reads `vocab.json` and `merges.txt`.
    pub(super) fn open(folder: &Path, config: TokenizerConfig) -> Result<Self, WeightsError> {
        let [vocabulary, merges] = ["vocab.json", "merges.txt"].map(|name| folder.join(name));
        for file in [&vocabulary, &merges] {
            std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
        }
        let file = vocabulary.clone();
        let failed = |error: tokenizers::Error| unreadable(&file, &error);
        let model = BPE::from_file(&text(&vocabulary)?, &text(&merges)?)
            .unk_token(config.eos_token.clone())
            .end_of_word_suffix("</w>".into())
            .build()
            .map_err(failed)?;
        let encoder = encoder(model).map_err(|error| unreadable(&file, &error))?;
        let special = special(&config, &file, |token| encoder.token_to_id(token).map(i64::from))?;
        Ok(Self { encoder, length: config.model_max_length, special })
    }

    /// A prompt of any length: begin, as many tokens as fit, end and padding, over and over.
    pub fn encode(&self, prompt: &str) -> Vec<Chunk> {
        let weighted: Vec<_> = emphasis::parse(prompt)
            .into_iter()
            .flat_map(|piece| self.tokens(&piece.text).into_iter().map(move |token| (token, piece.weight)))
            .collect();
        let mut chunks: Vec<_> = weighted.chunks(self.length - 2).map(|part| self.chunk(part)).collect();
        if chunks.is_empty() {
            chunks.push(self.chunk(&[]));
        }
        chunks
    }

    fn tokens(&self, text: &str) -> Vec<i64> {
        let encoding = self.encoder.encode(text, false);
        encoding.map(|found| found.get_ids().iter().map(|&id| i64::from(id)).collect()).unwrap_or_default()
    }

    fn chunk(&self, part: &[(i64, f32)]) -> Chunk {
        let [begin, end, pad] = self.special;
        let (mut tokens, mut weights) = (vec![begin], vec![1.0]);
        tokens.extend(part.iter().map(|(token, _)| token));
        weights.extend(part.iter().map(|(_, weight)| weight));
        tokens.push(end);
        tokens.resize(self.length, pad);
        weights.resize(self.length, 1.0);
        Chunk { tokens, weights }
    }
}

/// Words in lower case, spelled in bytes, each merged by itself.
fn encoder(model: BPE) -> Result<Encoder, tokenizers::Error> {
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    let normalizer = normalizers::Sequence::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
    let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    let pre_tokenizer = pre_tokenizers::sequence::Sequence::new(vec![words.into(), bytes.into()]);
    let mut encoder = Encoder::new(model);
    encoder.with_normalizer(Some(normalizer))?;
    encoder.with_pre_tokenizer(Some(pre_tokenizer));
    Ok(encoder)
}

/// A path that the crate takes.
fn text(file: &Path) -> Result<String, WeightsError> {
    file.to_str().map(str::to_owned).ok_or_else(|| unreadable(file, &"its name is no text"))
}
