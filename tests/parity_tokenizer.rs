//! CLIP's tokenizer against transformers 5.24.0 on a small vocabulary; made by `tests/parity/tokenizer/make.py`.

mod common;

use std::fs;

use common::project;
use gstflowvid::diffusion::{Chunk, Tokenizer};

const LENGTH: usize = 77;

fn tokenizer() -> Tokenizer {
    Tokenizer::open(&project("tests/parity/tokenizer")).unwrap()
}

/// Without begin, end and padding.
fn words(chunks: &[Chunk]) -> Vec<i64> {
    let [begin, .., end] = chunks[0].tokens[..] else { panic!("{chunks:?}") };
    let inner = |chunk: &Chunk| {
        assert_eq!((chunk.tokens.len(), chunk.tokens[0]), (LENGTH, begin));
        let length = chunk.tokens.iter().position(|&token| token == end).expect("an end");
        assert!(chunk.tokens[length..].iter().all(|&token| token == end), "padded by the end");
        chunk.tokens[1..length].to_vec()
    };
    chunks.iter().flat_map(inner).collect()
}

#[test]
fn texts_become_the_same_tokens() {
    let text = fs::read_to_string(project("tests/parity/tokenizer/cases.json")).unwrap();
    let cases: Vec<(String, Vec<i64>)> = serde_json::from_str(&text).unwrap();
    for (text, expected) in &cases {
        // Brackets weigh words here, so that they are written with a backslash.
        let escaped: String = text
            .chars()
            .flat_map(|letter| "()[]".contains(letter).then_some('\\').into_iter().chain([letter]))
            .collect();
        let found = words(&tokenizer().encode(&escaped));
        assert_eq!(found, expected[1..expected.len() - 1], "{text:?}");
    }
    assert!(cases.iter().any(|(_, tokens)| tokens.len() > LENGTH), "one is longer than a chunk");
}

#[test]
fn a_long_prompt_takes_several_chunks() {
    let chunks = tokenizer().encode(&"rain ".repeat(160));
    assert_eq!(chunks.len(), 3);
    assert_eq!(words(&chunks), vec![words(&tokenizer().encode("rain"))[0]; 160]);
    assert_eq!(words(&chunks[..1]).len(), LENGTH - 2);
}

#[test]
fn a_weight_is_on_its_own_tokens() {
    let [plain, weighed] =
        ["a sailor in the rain", "a (sailor:1.4) in the rain"].map(|prompt| tokenizer().encode(prompt));
    assert_eq!(plain[0].tokens, weighed[0].tokens);
    assert!(plain[0].weights.iter().all(|&weight| weight == 1.0));
    let sailor = words(&tokenizer().encode("sailor"));
    for (token, weight) in weighed[0].tokens.iter().zip(&weighed[0].weights) {
        assert_eq!(*weight, if sailor.contains(token) { 1.4 } else { 1.0 });
    }
}

#[test]
fn a_vocabulary_without_its_merges_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["vocab.json", "tokenizer_config.json"] {
        fs::copy(project("tests/parity/tokenizer").join(file), folder.path().join(file)).unwrap();
    }
    let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("merges.txt"), "{error}");
    fs::write(folder.path().join("merges.txt"), "a\n").unwrap();
    let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("vocab.json") || error.contains("merges.txt"), "{error}");
}
