"""Every tensor of Stable Diffusion 1.5's original layout, and what diffusers 0.36.0 calls it: layout.txt, a line each

    part  original key  original shape  diffusers' key  diffusers' shape

    python tests/parity/single_file/make.py

The original keys are written down block by block from the configs in models/sd15; diffusers converts tensors that
carry their line's number. The script fails unless that gives every parameter of diffusers' own networks, once.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
MODEL = HERE.parents[2] / "models" / "sd15"


def config(component):
    return json.loads((MODEL / component / "config.json").read_text())


def layer(key, *shape, bias=True):
    yield key + ".weight", list(shape)
    if bias:
        yield key + ".bias", [shape[0]]


def unet_resnet(key, coming, own, temb):
    yield from layer(f"{key}.in_layers.0", coming)
    yield from layer(f"{key}.in_layers.2", own, coming, 3, 3)
    yield from layer(f"{key}.emb_layers.1", own, temb)
    yield from layer(f"{key}.out_layers.0", own)
    yield from layer(f"{key}.out_layers.3", own, own, 3, 3)
    if coming != own:
        yield from layer(f"{key}.skip_connection", own, coming, 1, 1)


def transformer(key, own, text):
    yield from layer(f"{key}.norm", own)
    yield from layer(f"{key}.proj_in", own, own, 1, 1)
    block = f"{key}.transformer_blocks.0"
    for attention, read in (("attn1", own), ("attn2", text)):
        yield from layer(f"{block}.{attention}.to_q", own, own, bias=False)
        yield from layer(f"{block}.{attention}.to_k", own, read, bias=False)
        yield from layer(f"{block}.{attention}.to_v", own, read, bias=False)
        yield from layer(f"{block}.{attention}.to_out.0", own, own)
    yield from layer(f"{block}.ff.net.0.proj", 8 * own, own)
    yield from layer(f"{block}.ff.net.2", own, 4 * own)
    for norm in ("norm1", "norm2", "norm3"):
        yield from layer(f"{block}.{norm}", own)
    yield from layer(f"{key}.proj_out", own, own, 1, 1)


def unet(c):
    channels, text = c["block_out_channels"], c["cross_attention_dim"]
    first, temb = channels[0], 4 * channels[0]
    yield from layer("time_embed.0", temb, first)
    yield from layer("time_embed.2", temb, temb)
    yield from layer("input_blocks.0.0", first, c["in_channels"], 3, 3)
    skips, coming, number = [first], first, 1
    for level, own in enumerate(channels):
        for _ in range(c["layers_per_block"]):
            yield from unet_resnet(f"input_blocks.{number}.0", coming, own, temb)
            if c["down_block_types"][level].startswith("CrossAttn"):
                yield from transformer(f"input_blocks.{number}.1", own, text)
            coming, number = own, number + 1
            skips.append(own)
        if level + 1 < len(channels):
            yield from layer(f"input_blocks.{number}.0.op", own, own, 3, 3)
            number += 1
            skips.append(own)
    yield from unet_resnet("middle_block.0", coming, coming, temb)
    yield from transformer("middle_block.1", coming, text)
    yield from unet_resnet("middle_block.2", coming, coming, temb)
    number = 0
    for level, own in reversed(list(enumerate(channels))):
        for index in range(c["layers_per_block"] + 1):
            yield from unet_resnet(f"output_blocks.{number}.0", coming + skips.pop(), own, temb)
            attends = c["up_block_types"][len(channels) - 1 - level].startswith("CrossAttn")
            if attends:
                yield from transformer(f"output_blocks.{number}.1", own, text)
            if level and index == c["layers_per_block"]:
                yield from layer(f"output_blocks.{number}.{2 if attends else 1}.conv", own, own, 3, 3)
            coming, number = own, number + 1
    yield from layer("out.0", first)
    yield from layer("out.2", c["out_channels"], first, 3, 3)


def vae_resnet(key, coming, own):
    yield from layer(f"{key}.norm1", coming)
    yield from layer(f"{key}.conv1", own, coming, 3, 3)
    yield from layer(f"{key}.norm2", own)
    yield from layer(f"{key}.conv2", own, own, 3, 3)
    if coming != own:
        yield from layer(f"{key}.nin_shortcut", own, coming, 1, 1)


def vae_middle(key, own):
    yield from vae_resnet(f"{key}.block_1", own, own)
    yield from layer(f"{key}.attn_1.norm", own)
    for name in ("q", "k", "v", "proj_out"):
        yield from layer(f"{key}.attn_1.{name}", own, own, 1, 1)
    yield from vae_resnet(f"{key}.block_2", own, own)


def vae(c):
    channels, latents, layers = c["block_out_channels"], c["latent_channels"], c["layers_per_block"]
    yield from layer("encoder.conv_in", channels[0], c["in_channels"], 3, 3)
    coming = channels[0]
    for level, own in enumerate(channels):
        for index in range(layers):
            yield from vae_resnet(f"encoder.down.{level}.block.{index}", coming, own)
            coming = own
        if level + 1 < len(channels):
            yield from layer(f"encoder.down.{level}.downsample.conv", own, own, 3, 3)
    yield from vae_middle("encoder.mid", coming)
    yield from layer("encoder.norm_out", coming)
    yield from layer("encoder.conv_out", 2 * latents, coming, 3, 3)
    yield from layer("decoder.conv_in", coming, latents, 3, 3)
    yield from vae_middle("decoder.mid", coming)
    for level, own in reversed(list(enumerate(channels))):
        for index in range(layers + 1):
            yield from vae_resnet(f"decoder.up.{level}.block.{index}", coming, own)
            coming = own
        if level:
            yield from layer(f"decoder.up.{level}.upsample.conv", own, own, 3, 3)
    yield from layer("decoder.norm_out", coming)
    yield from layer("decoder.conv_out", c["out_channels"], coming, 3, 3)
    yield from layer("quant_conv", 2 * latents, 2 * latents, 1, 1)
    yield from layer("post_quant_conv", latents, latents, 1, 1)


def numbered(prefix, tensors):
    """Tensors whose every element is their number; they take no memory."""
    tensors = [(prefix + key, shape) for key, shape in tensors]
    return tensors, {key: torch.tensor(float(i)).expand(shape) for i, (key, shape) in enumerate(tensors)}


def shapes(network):
    """transformers 5 leaves `text_model` out of its keys, all published files have it."""
    own = {key: list(value.shape) for key, value in network.state_dict().items() if "position_ids" not in key}
    if not isinstance(network, CLIPTextModel):
        return own
    return {key if key.startswith("text_model.") else "text_model." + key: shape for key, shape in own.items()}


def lines(part, prefix, tensors, convert, network):
    tensors, checkpoint = numbered(prefix, tensors)
    converted = convert(checkpoint)
    got = {key: list(value.shape) for key, value in converted.items()}
    assert got == shapes(network), sorted(set(got) ^ set(shapes(network)))[:10]
    sources = {key: int(value.flatten()[0]) for key, value in converted.items()}
    assert sorted(sources.values()) == list(range(len(tensors))), part
    for key, number in sorted(sources.items(), key=lambda item: item[1]):
        original, shape = tensors[number]
        yield " ".join([part, original, "x".join(map(str, shape)), key, "x".join(map(str, got[key]))])


def main():
    text_config = config("text_encoder")
    with torch.device("meta"):
        networks = [
            UNet2DConditionModel.from_config(config("unet")),
            AutoencoderKL.from_config(config("vae")),
            CLIPTextModel(CLIPTextConfig(**text_config)),
        ]
    clip = list(shapes(networks[2]).items())  # the text encoder lies in the file under transformers' keys
    convert_vae = lambda checkpoint: convert_ldm_vae_checkpoint(checkpoint, config("vae"))
    convert_unet = lambda checkpoint: convert_ldm_unet_checkpoint(checkpoint, config("unet"))
    text = [
        *lines("unet", "model.diffusion_model.", unet(config("unet")), convert_unet, networks[0]),
        *lines("vae", "first_stage_model.", vae(config("vae")), convert_vae, networks[1]),
        *lines("text_encoder", "cond_stage_model.transformer.", clip, convert_ldm_clip_checkpoint, networks[2]),
    ]
    (HERE / "layout.txt").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
