"""Makes fixture.safetensors: what diffusers' networks and schedulers give for keyframes that an image model draws from
warped edits, the loop being written here a second time, plainly and with all keyframes in one call.

Needs the folder that `cargo run --example random_model -- FOLDER --seed 5` writes, and noise.safetensors beside this
file, which `UPDATE_NOISE=1 cargo test --test parity_soft_warp noise` writes.
Needs torch 2.11.0, diffusers 0.36.0, transformers, safetensors.

    python make.py FOLDER
"""

import json
import pathlib
import sys

import diffusers
import torch
import torch.nn.functional as F
import transformers
from diffusers.schedulers import scheduling_lcm
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from weights import random_tensor  # noqa: E402

FOLDER = pathlib.Path(sys.argv[1])
CASES = json.loads((HERE / "cases.json").read_text())
NOISE = load_file(HERE / "noise.safetensors")["noise"]  # [draws, 1, 4, h, w]
SEED, KEYFRAMES, SIZE = 5, 3, (64, 96)
HOLE = (slice(None), slice(None), slice(16, 40), slice(24, 64))

unet = diffusers.UNet2DConditionModel.from_pretrained(FOLDER / "unet").eval()
edges_net, inpaint_net = [
    diffusers.ControlNetModel.from_pretrained(FOLDER / name).eval() for name in ("controlnet", "controlnet_1")
]
vae = diffusers.AutoencoderKL.from_pretrained(FOLDER / "vae").eval()
text_encoder = transformers.CLIPTextModel.from_pretrained(FOLDER / "text_encoder").eval()
tokenizer = transformers.CLIPTokenizer.from_pretrained(FOLDER / "tokenizer")


class SelfFirstPrevious:
    """Keys and values of the keyframe itself, of the first and of the one before."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        first = hidden_states[:1]
        previous = torch.cat([first, hidden_states[:-1]])
        context = torch.cat([hidden_states, first.expand_as(hidden_states), previous], 1)
        heads = [
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        ]
        return attn.to_out[0](F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


unet.set_attn_processor({
    name: SelfFirstPrevious() if name.startswith("up_blocks") and ".attn1." in name else processor
    for name, processor in unet.attn_processors.items()
})


def encode(prompt):
    tokens = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
    return text_encoder(tokens)[0]


def picture(name, count=KEYFRAMES, channels=3):
    return random_tensor(SEED, name, (count, channels, *SIZE)) * 0.5 + 0.5


def batch(name, finished):
    """Pictures, confidence with a hole, and edges; the finished keyframes are seen whole."""
    confidence = 0.6 + 0.4 * picture(f"{name}.confidence", channels=1)
    confidence[HOLE] = 0.1
    confidence[:finished] = 1
    return picture(f"{name}.composite"), confidence, (picture(f"{name}.edges") > 0.8).float()


def joined(first, others):
    return tuple(torch.cat([one[:1], other]) for one, other in zip(first, others))


def trust(flow_trust, share, consistency):
    if consistency:
        points = [(0.25, 1.2), (0.5, 1.0), (0.75, 0.6), (1.0, 0.0)]
        part = points[0][1]
        for (x0, y0), (x1, y1) in zip(points, points[1:]):
            if share > x0:
                part = y0 + (share - x0) / (x1 - x0) * (y1 - y0)
    else:
        part = float(0.3 <= share <= 0.8)
    soft = min(flow_trust, 0.5) * part
    return soft + (1 - soft) * max(0.0, (flow_trust - 0.5) / 0.5)


def inpaint_scale(step, steps):
    share = step / max(steps - 1, 1)
    return 1 + max(0.0, (share - 0.6) / 0.4) * (0.3 - 1)


def run(case, pictures, finished):
    composite, confidence, edges = pictures
    scheduler = getattr(diffusers, case["scheduler"]).from_config(
        diffusers.PNDMScheduler.load_config(FOLDER / "scheduler"), clip_sample=False
    )
    consistency = case["scheduler"] == "LCMScheduler"
    steps, guidance = case["steps"], case["guidance_scale"]
    if consistency:
        scheduler.set_timesteps(steps, strength=case["strength"])
        timesteps = scheduler.timesteps
    else:
        scheduler.set_timesteps(steps)
        timesteps = scheduler.timesteps[steps - int(steps * case["strength"]) :]
    hint = torch.where(confidence < 0.5, -1.0, composite)
    reference = vae.encode(composite * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    keep = 1 - F.max_pool2d(1 - confidence, 8)
    start = NOISE[0].expand_as(reference)
    texts = [(encode("a castle"), guidance), (encode("blurry"), 1 - guidance)]
    sample = scheduler.add_noise(reference, start, timesteps[:1])
    latents = []
    for step, t in enumerate(timesteps):
        seen = scheduler.add_noise(reference[:finished], start[:finished], t[None])
        sample = torch.cat([seen, sample[finished:]])
        output = 0
        for text, weight in texts:
            text = text.expand(len(sample), -1, -1)
            down, mid = 0, 0
            scales = [(edges_net, edges, 0.7), (inpaint_net, hint, inpaint_scale(step, len(timesteps)))]
            for net, shown, scale in scales:
                more_down, more_mid = net(sample, t, text, shown, conditioning_scale=scale, return_dict=False)
                down = [a + b for a, b in zip(down, more_down)] if down else more_down
                mid = mid + more_mid
            output = output + weight * unet(sample, t, text, None, None, None, None, None, down, mid).sample
        noise = start
        if consistency and step + 1 < len(timesteps):
            noise = NOISE[1 + step].expand_as(reference)
        scheduling_lcm.randn_tensor = lambda *_, **__: noise
        sample = scheduler.step(output, t, sample, return_dict=False)[0]
        weight = trust(case["flow_trust"], (step + 1) / len(timesteps), consistency)
        last = step + 1 == len(timesteps)
        known = reference if last else scheduler.add_noise(reference, noise, timesteps[step + 1 : step + 2])
        sample = sample.lerp(known, keep * weight)
        latents.append(sample[finished:])
    return torch.stack(latents)


fixture = {}
with torch.no_grad():
    begun = batch("begun", 1)
    for name, case in CASES.items():
        # a shot's first batch; one that also sees the anchor of the first; one whose seed frame was promoted
        fixture[f"{name}.begun"] = run(case, begun, 1)
        fixture[f"{name}.later"] = run(case, joined(begun, batch("later", 1)), 2)
        fixture[f"{name}.promoted"] = run(case, batch("later", 1), 1)
        for part in ("begun", "later", "promoted"):
            latents = fixture[f"{name}.{part}"]
            print(name, part, tuple(latents.shape), latents.std((1, 2, 3, 4)))
            assert latents.std() > 0.1
save_file({name: tensor.contiguous() for name, tensor in fixture.items()}, HERE / "fixture.safetensors")
