"""Makes fixture.safetensors: what diffusers' and transformers' networks give in Stable Diffusion 1.5's own sizes
(networks.json), and TAESD's, on weights that are random in every parameter, at two latent sizes that do not halve.

Weights and inputs are derived from names (tests/parity/weights.py), so only outputs are stored, thinned out where they
are large. 8 GiB of memory, a minute.

Needs torch 2.11.0, diffusers 0.36.0, transformers, safetensors; written with the versions it prints.

    python make.py
"""

import json
import pathlib
import sys

import diffusers
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from weights import fill, random_tensor  # noqa: E402

NETWORKS = json.loads((HERE / "networks.json").read_text())
SEED = 7
# Keyframes, height and width of the latents: 20 x 28 halves to 5 x 7, then to 3 x 4.
SIZES = {"wide": (1, 24, 40), "odd": (2, 20, 28)}
outputs = {}


def keep(name, tensor):
    flat = tensor.std((0, 1)) if tensor.dim() == 4 else tensor.std(1)
    assert tensor.std() > 0.1 and flat.min() > 0, f"{name} is too flat to prove anything: {tensor.std()}"
    print(f"{name}: {tuple(tensor.shape)}, std {tensor.std():.3f}")
    outputs[name] = tensor.detach().contiguous()


def network(make, name):
    config = {key: value for key, value in NETWORKS[name].items() if key != "_class_name"}
    return fill(make(**config), SEED)


@torch.no_grad()
def denoisers():
    residuals = {}
    controlnet = network(diffusers.ControlNetModel, "controlnet")
    given = {name: inputs(name, *size) for name, size in SIZES.items()}
    for name, (n, h, w) in SIZES.items():
        hint = random_tensor(SEED, f"{name}.hint", (n, 3, 8 * h, 8 * w)) / 2 + 0.5
        down, mid = controlnet(**given[name], controlnet_cond=hint, return_dict=False)
        residuals[name] = (down, mid)
        keep(f"{name}.mid", mid[:, ::16])
    del controlnet
    unet = network(diffusers.UNet2DConditionModel, "unet")
    for name, (down, mid) in residuals.items():
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        keep(f"{name}.output", unet(**given[name], **added).sample)


def inputs(name, n, h, w):
    return {
        "sample": random_tensor(SEED, f"{name}.sample", (n, 4, h, w)) * 1.7,
        "timestep": torch.tensor([(997 - 311 * index) % 1000 for index in range(n)]),
        "encoder_hidden_states": random_tensor(SEED, f"{name}.text", (n, 77, 768)) * 1.7,
    }


@torch.no_grad()
def text_encoder():
    model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**NETWORKS["text_encoder"]))
    fill(model, SEED, prefix="text_model.")  # which the files have, but transformers 5 has dropped
    tokens = (torch.arange(2 * 77).reshape(2, 77) * 3907 + 11) % 49408
    keep("text.output", model(tokens).last_hidden_state[:, :, ::4])


@torch.no_grad()
def autoencoders():
    kl, tiny = network(diffusers.AutoencoderKL, "kl"), network(diffusers.AutoencoderTiny, "tiny")
    for name, (h, w) in {"wide": (6, 10), "odd": (9, 5)}.items():
        pictures = random_tensor(SEED, f"{name}.pictures", (1, 3, 8 * h, 8 * w))
        latents = random_tensor(SEED, f"{name}.latents", (1, 4, h, w)) * 1.7
        keep(f"{name}.kl.mean", kl.encode(pictures).latent_dist.mode())
        keep(f"{name}.kl.decoded", kl.decode(latents / kl.config.scaling_factor).sample[:, :, ::2, ::2])
        keep(f"{name}.tiny.latents", tiny.encode(pictures).latents)
        keep(f"{name}.tiny.decoded", tiny.decode(latents).sample[:, :, ::2, ::2])


print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, transformers {transformers.__version__}")
autoencoders()
text_encoder()
denoisers()
versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__}
save_file(outputs, HERE / "fixture.safetensors", metadata=versions)
