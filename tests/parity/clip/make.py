"""Makes a small CLIP folder's files (config.json, preprocessor_config.json), keys.txt and fixture.safetensors: what
transformers' CLIPModel gives on random weights in every parameter, fp32, attention "eager", and what CLIPImageProcessor
makes of pictures of odd sizes. The tokenizer is that of tests/parity/tokenizer.

Weights and inputs are derived from names (tests/parity/weights.py), so only outputs are stored.

Needs torch, transformers, safetensors, and pillow before version 13, which resizes columns before rows where that is
less work; written with the versions it prints.

    python make.py
"""

import json
import pathlib
import sys

import numpy as np
import PIL
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from weights import fill, random_tensor, random_values  # noqa: E402

SEED = 7
# Height and width of the pictures: enlarged, made smaller, and with a difference to the crop that is odd.
SIZES = {"wide": (45, 71), "tall": (90, 41), "small": (17, 23), "square": (40, 40)}
PROMPTS = ["a pencil sketch", "the sailor (in the rain), [drawn at night]"]

vocabulary = json.loads((HERE.parent / "tokenizer" / "vocab.json").read_text())
END = vocabulary["<|endoftext|>"]
config = transformers.CLIPConfig(
    projection_dim=24,
    text_config={
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "intermediate_size": 72,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 24,
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": END,
    },
    vision_config={
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "projection_dim": 24,
        "image_size": 40,
        "patch_size": 8,
    },
)
config.architectures = ["CLIPModel"]
config._attn_implementation = "eager"
network = fill(transformers.CLIPModel(config), SEED)
processor = transformers.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 40, "width": 40})
outputs = {}


def keep(name, tensor):
    assert tensor.std() > 0.05, f"{name} is too flat to prove anything"
    print(f"{name}: {tuple(tensor.shape)}, std {tensor.std():.3f}")
    outputs[name] = tensor.detach().contiguous()


def picture(name, size):
    """Blocks of three pixels and a little noise: with edges, at which bicubic overshoots."""
    height, width = size
    blocks = random_values(SEED, f"{name}.blocks", (height // 3 + 1) * (width // 3 + 1) * 3)
    blocks = blocks.reshape(height // 3 + 1, width // 3 + 1, 3).repeat(3, 0).repeat(3, 1)[:height, :width]
    noise = random_values(SEED, f"{name}.noise", height * width * 3).reshape(height, width, 3)
    return np.clip(np.round((blocks * 0.6 + noise * 0.1 + 0.5) * 255), 0, 255).astype(np.uint8)


with torch.no_grad():
    keep("image", network.get_image_features(random_tensor(SEED, "pixel_values", (2, 3, 40, 40)) * 1.7))
    tokenizer = transformers.CLIPTokenizer(
        str(HERE.parent / "tokenizer" / "vocab.json"), str(HERE.parent / "tokenizer" / "merges.txt")
    )
    texts = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    keep("text", network.get_text_features(**texts))
    for name, size in SIZES.items():
        given = picture(name, size)
        values = processor(PIL.Image.fromarray(given), return_tensors="pt")["pixel_values"]
        outputs[f"{name}.picture"] = torch.from_numpy(given)
        keep(f"{name}.pixel_values", values)
        keep(f"{name}.image", network.get_image_features(values))
    # An old config's end token: the text then ends at its greatest token, which here is the end.
    network.text_model.eos_token_id = 2
    assert torch.equal(network.get_text_features(**texts), outputs["text"])
config.save_pretrained(HERE)
processor.save_pretrained(HERE)
(HERE / "keys.txt").write_text("\n".join(sorted(network.state_dict())) + "\n")
save_file(outputs, HERE / "fixture.safetensors")
print(f"torch {torch.__version__}, transformers {transformers.__version__}, pillow {PIL.__version__}")
