"""Makes fixture.safetensors: what diffusers' and transformers' networks give.

Weights and inputs are derived from names (tests/parity/weights.py), so only outputs are stored. Networks:
the embedded model's own configs (models/nano) and small ones of Stable Diffusion's kind (networks.json).

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

NANO = HERE.parents[2] / "models" / "nano"
NETWORKS = json.loads((HERE / "networks.json").read_text())
SEED = 7
outputs = {}


def keep(name, tensor):
    flat = tensor.std(0 if tensor.shape[0] > 2 else (1, 2))
    assert tensor.std() > 0.1 and flat.min() > 0, f"{name} is too flat to prove anything"
    print(f"{name}: {tuple(tensor.shape)}, std {tensor.std():.3f}")
    outputs[name] = tensor.detach().contiguous()


def config(name):
    found = json.loads((NANO / name / "config.json").read_text()) if name in ("unet", "controlnet") else NETWORKS[name]
    return {key: value for key, value in found.items() if key not in ("_class_name", "flowvid")}


class KeyframeAttention:
    """Self-attention over keyframes: keys and values from the first and the previous one, or from all three."""

    def __init__(self, keyframes, own):
        self.keyframes, self.own = keyframes, own

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        seen = encoder_hidden_states
        if seen is None:
            own = hidden_states.unflatten(0, (-1, self.keyframes))
            first = own[:, [0] * self.keyframes]
            previous = own[:, [max(index - 1, 0) for index in range(self.keyframes)]]
            seen = torch.cat(([own] if self.own else []) + [first, previous], 2).flatten(0, 1)
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q, k, v = heads(attn.to_q(hidden_states)), heads(attn.to_k(seen)), heads(attn.to_v(seen))
        weights = (q @ k.transpose(-1, -2) * attn.scale).softmax(-1)
        return attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))


def over_keyframes(unet, keyframes, own):
    unet.set_attn_processor({
        name: KeyframeAttention(keyframes, own) if ".attn1." in name else processor
        for name, processor in unet.attn_processors.items()
    })
    return unet


def inputs(name, count, channels, size, text, hint=None):
    given = {
        "sample": random_tensor(SEED, f"{name}.sample", (count, channels, *size)) * 1.7,
        "timestep": torch.tensor([(997 - 311 * index) % 1000 for index in range(count)]),
        "encoder_hidden_states": random_tensor(SEED, f"{name}.text", (count, *text)) * 1.7,
    }
    if hint:
        given["controlnet_cond"] = random_tensor(SEED, f"{name}.hint", (count, 3, *hint)) / 2 + 0.5
    return given


@torch.no_grad()
def run_pair(name, unet, controlnet, given):
    down, mid = controlnet(**given, return_dict=False)
    for index, residual in enumerate(down):
        keep(f"{name}.down.{index}", residual[:, ::2, ::2, ::2] if residual.shape[-1] > 4 else residual)
    keep(f"{name}.mid", mid)
    given.pop("controlnet_cond")
    unet_out = unet(**given, down_block_additional_residuals=down, mid_block_additional_residual=mid).sample
    keep(f"{name}.output", unet_out)


@torch.no_grad()
def networks():
    unet = fill(diffusers.UNet2DConditionModel(**config("unet")), SEED)
    controlnet = fill(diffusers.ControlNetModel(**config("controlnet")), SEED)
    given = inputs("nano", 6, 73, (16, 24), (16, 96), hint=(64, 96))
    run_pair("nano", over_keyframes(unet, 3, own=True), controlnet, given)

    unet = fill(diffusers.UNet2DConditionModel(**config("sd15")), SEED)
    controlnet = fill(diffusers.ControlNetModel(**config("sd15_controlnet")), SEED)
    run_pair("sd15", unet, controlnet, inputs("sd15", 2, 4, (24, 40), (77, 64), hint=(192, 320)))

    unet = over_keyframes(fill(diffusers.UNet2DConditionModel(**config("sd21")), SEED), 4, own=False)
    # 10 x 14 does not halve twice: the skip connections decide what the picture grows to
    keep("sd21.output", unet(**inputs("sd21", 4, 4, (10, 14), (9, 48))).sample)

    text_configs = {"nano_text": json.loads((NANO / "text_encoder/config.json").read_text()), "clip": NETWORKS["clip"]}
    for name, text in text_configs.items():
        model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**text))
        fill(model, SEED, prefix="text_model.")  # which the files have, but transformers 5 has dropped
        length = text["max_position_embeddings"]
        tokens = (torch.arange(2 * length).reshape(2, length) * 37 + 11) % text["vocab_size"]
        keep(f"{name}.output", model(tokens).last_hidden_state)

    vae = fill(diffusers.AutoencoderKL(**config("kl")), SEED)
    pictures = random_tensor(SEED, "kl.pictures", (1, 3, 24, 40))
    keep("kl.mean", vae.encode(pictures).latent_dist.mode())
    given = random_tensor(SEED, "kl.given", (1, 4, 6, 10))
    keep("kl.decoded", vae.decode(given / vae.config.scaling_factor).sample)


print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, transformers {transformers.__version__}")
torch.manual_seed(0)
networks()
versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__}
save_file(outputs, HERE / "fixture.safetensors", metadata=versions)
