"""Makes a small CLIP vocabulary (vocab.json, merges.txt, tokenizer_config.json) and cases.json: what transformers'
CLIPTokenizer makes of some texts with it.

Needs transformers; written with version 5.24.0.

    python make.py
"""

import collections
import json
import pathlib

import transformers

HERE = pathlib.Path(__file__).parent
LEARNED_FROM = """a pencil sketch of an old sailor in the rain, highly detailed, trending; the starry night by the sea,
oil on canvas, warm light, an ink drawing at night, the rabbit's ear, it's what they've drawn, we'll see, don't stop"""
TEXTS = [
    "",
    " ",
    "a pencil sketch",
    "A Pencil  SKETCH,\n of the sailor's rain!!!",
    "they've said: it'll 123 4k ultra-HD...",
    "naïve café, 日本の猫, 🐈‍⬛ emoji",
    "e\u0301 is é; ﬁ stays",
    "under_score #hash @at $5.00 (x)",
    "don't; we're, I'm; he'd",
    "tabs\tand\u00a0hard spaces",
    "word" * 40,
]


def byte_letters():
    """The letters that stand for bytes, as GPT-2 chose them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def learn(text, count):
    words = [tuple(word[:-1]) + (word[-1] + "</w>",) for word in text.lower().replace(",", " ,").split() if word.isascii()]
    merges = []
    for _ in range(count):
        pairs = collections.Counter(pair for word in words for pair in zip(word, word[1:]))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [merged(word, best) for word in words]
    return merges


def merged(word, pair):
    out = []
    for letter in word:
        if out and (out[-1], letter) == pair:
            out[-1] += letter
        else:
            out.append(letter)
    return tuple(out)


letters = byte_letters()
merges = learn(LEARNED_FROM, 120)
words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
vocab = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
tokenizer = transformers.CLIPTokenizer(vocab=vocab, merges=merges)
cases = [[text, tokenizer(text)["input_ids"]] for text in TEXTS]
(HERE / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
(HERE / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
(HERE / "tokenizer_config.json").write_text(json.dumps({
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": 77,
    "bos_token": {"content": "<|startoftext|>", "__type": "AddedToken", "lstrip": False},
    "eos_token": {"content": "<|endoftext|>", "__type": "AddedToken", "lstrip": False},
    "pad_token": "<|endoftext|>",
}, indent=2) + "\n")
(HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(f"transformers {transformers.__version__}: {[len(ids) for _, ids in cases]} tokens")
