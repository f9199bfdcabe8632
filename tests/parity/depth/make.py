"""Makes fixture.safetensors and keys.txt: what transformers' DepthAnythingForDepthEstimation gives and is made of, in the
sizes of Depth Anything V2 small (config.json), fp32, attention "eager".

Weights and inputs are derived from names (tests/parity/weights.py), so only outputs are stored.

Needs torch, transformers, safetensors; written with the versions it prints.

    python make.py
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from weights import fill, random_tensor  # noqa: E402

SEED = 7
SIZES = {"wide": (98, 154), "tall": (182, 126)}

config = transformers.DepthAnythingConfig.from_dict(json.loads((HERE / "config.json").read_text()))
config.backbone_config._attn_implementation = "eager"
network = fill(transformers.DepthAnythingForDepthEstimation(config), SEED)
assert network.backbone.encoder.layer[0].attention.attention.config._attn_implementation == "eager"
outputs = {}
with torch.no_grad():
    for name, size in SIZES.items():
        depth = network(random_tensor(SEED, f"{name}.pixel_values", (2, 3, *size)) * 1.7).predicted_depth
        assert (depth > 0).float().mean() > 0.5 and depth.std() > 0.1, f"{name} is too flat to prove anything"
        print(f"{name}: {tuple(depth.shape)}, mean {depth.mean():.3f}, std {depth.std():.3f}")
        outputs[name] = depth[:, ::2, ::2].contiguous()
(HERE / "keys.txt").write_text("\n".join(sorted(network.state_dict())) + "\n")
save_file(outputs, HERE / "fixture.safetensors")
print(f"torch {torch.__version__}, transformers {transformers.__version__}")
