"""Three LoRAs in the layouts that people have, and the weights that diffusers 0.36.0 and peft 0.21.2 merge them into.

    python tests/parity/lora/make.py

- kohya.safetensors: kohya's names, alpha per layer, linear layers and 1x1 and 3x3 convolutions; unet, text encoder
- diffusers.safetensors: as diffusers saves it, alpha in the header; unet, text encoder
- peft.safetensors: peft's `lora_A`, `lora_B`, nothing else, and so alpha = rank; unet

fixture.safetensors holds every weight that the three change together, at the strengths below.
"""

import json
import sys
from pathlib import Path

import torch
import transformers.integrations.peft
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_peft
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from weights import fill, random_tensor  # noqa: E402

SEED = 11
# transformers 5.24 asks for a peft that is newer than the newest; what it calls is there
transformers.integrations.peft.check_peft_version = lambda min_version: None
STRENGTHS = {"kohya": 0.7, "diffusers": -0.4, "peft": 1.0}
CONFIGS = json.loads((HERE / "networks.json").read_text())
UNET_LAYERS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj", "net.2", "proj_in", "proj_out", "conv1", "conv2",
    "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv",
)  # fmt: skip
TEXT_LAYERS = ("q_proj", "out_proj", "fc1", "fc2")


def text_prefix(text):
    """transformers 5 leaves `text_model` out of its keys, all published files have it."""
    return "" if any(key.startswith("text_model.") for key in text.state_dict()) else "text_model."


def networks():
    """Filled under the keys that published files have."""
    unet = fill(UNet2DConditionModel.from_config(CONFIGS["unet"]), SEED)
    text = CLIPTextModel(CLIPTextConfig(**CONFIGS["text_encoder"]))
    return unet, fill(text, SEED, text_prefix(text))


def layers(network, prefix, kinds):
    for name, module in network.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and name.endswith(kinds):
            yield prefix + name, module.weight


def kohya(unet, text):
    tensors = {}
    named = [*layers(unet, "lora_unet_", UNET_LAYERS), *layers(text, "lora_te_" + text_prefix(text), TEXT_LAYERS)]
    for index, (name, weight) in enumerate(named):
        rank = 3 if weight.dim() == 4 else 2
        name = name.replace(".", "_")
        up = (weight.shape[0], rank, *[1] * (weight.dim() - 2))
        tensors[f"{name}.lora_down.weight"] = random_tensor(SEED, f"{name}.down", (rank, *weight.shape[1:])) * 0.5
        tensors[f"{name}.lora_up.weight"] = random_tensor(SEED, f"{name}.up", up) * 0.5
        tensors[f"{name}.alpha"] = torch.tensor(1.0 + index % 3)
    save_file(tensors, HERE / "kohya.safetensors")


def adapted(network, config):
    """peft's factors for the network, random."""
    network.add_adapter(config)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if ".lora_" in key:
                parameter.copy_(random_tensor(SEED, key, parameter.shape) * 0.5)
    return get_peft_model_state_dict(network)


def diffusers_layout(unet, text):
    layers = ["to_q", "to_v", "conv1", "time_embedding.linear_1"]
    config = LoraConfig(r=2, lora_alpha=3, alpha_pattern={"attn1.to_q": 5}, target_modules=layers)
    text_config = LoraConfig(r=2, lora_alpha=1, target_modules=["v_proj", "fc1"])
    StableDiffusionPipeline.save_lora_weights(
        HERE,
        unet_lora_layers=adapted(unet, config),
        text_encoder_lora_layers=adapted(text, text_config),
        weight_name="diffusers.safetensors",
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=text.peft_config["default"].to_dict(),
    )


def peft_layout(unet):
    config = LoraConfig(r=3, lora_alpha=3, target_modules=["to_k", "conv_in", "conv_out", "proj_in"])
    state = adapted(unet, config)
    save_file({"unet." + key: value.contiguous() for key, value in state.items()}, HERE / "peft.safetensors")


def mend(alphas):
    """diffusers 0.36 gives the alphas of attention layers names that no layer has, and then takes the commonest alpha
    of all for them; with kohya's own meaning each layer has its own."""
    for old, new in (("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")):
        alphas = {key.replace(f"self_attn.{old}_lora.down.weight", f"self_attn.{new}"): value for key, value in alphas.items()}
        layer = "to_out.0" if old == "to_out" else old
        alphas = {key.replace(f"processor.{old}_lora.down.weight", layer): value for key, value in alphas.items()}
    assert not any("_lora" in key for key in alphas), alphas
    return alphas


def load_into_text_encoder(state, alphas, metadata, text, name):
    """What diffusers does, by peft alone: through transformers 5.24 nothing would reach the layers."""
    own = lambda key: key.removeprefix("text_encoder.").removeprefix(text_prefix(text))
    layer = lambda key: own(key).split(".lora_")[0].removesuffix(".alpha")
    state = {own(key): value for key, value in state.items() if key.startswith("text_encoder.")}
    state = convert_state_dict_to_peft(convert_state_dict_to_diffusers(state))
    ranks = {layer(key): value.shape[0] for key, value in state.items() if ".lora_A." in key}
    options = {key.removeprefix("text_encoder."): value for key, value in (metadata or {}).items() if key.startswith("text_encoder.")}
    if not options:
        pattern = {layer(key): alpha for key, alpha in (alphas or {}).items() if key.startswith("text_encoder.")}
        options = {"rank_pattern": ranks, "alpha_pattern": pattern, "target_modules": list(ranks)}
    inject_adapter_in_model(LoraConfig(**options), text, adapter_name=name)
    result = set_peft_model_state_dict(text, state, adapter_name=name)
    assert not result.unexpected_keys, result.unexpected_keys
    for key, value in state.items():
        found = text.get_parameter(key.replace(".weight", f".{name}.weight"))
        assert torch.equal(found, value), key


def merge(unet, text):
    """Both networks with adapters; answers with what each file came into."""
    used = set()
    for name in STRENGTHS:
        file = HERE / f"{name}.safetensors"
        state, alphas, metadata = StableDiffusionPipeline.lora_state_dict(file, return_lora_metadata=True)
        alphas = alphas and mend(alphas)
        StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet, adapter_name=name, metadata=metadata)
        used.add((name, "unet"))
        if any(key.startswith("text_encoder.") for key in state):
            load_into_text_encoder(state, alphas, metadata, text, name)
            used.add((name, "text_encoder"))
    return used


def merged(part, network, prefix):
    for key, module in network.named_modules():
        if isinstance(module, BaseTunerLayer):
            own = [name for name in STRENGTHS if name in module.r]
            for name in own:
                module.set_scale(name, STRENGTHS[name])
            module.merge(adapter_names=own)
            yield f"{part}/{prefix}{key}.weight", module.get_base_layer().weight.detach().clone()


def main():
    kohya(*networks())
    diffusers_layout(*networks())
    peft_layout(networks()[0])
    unet, text = networks()
    used = merge(unet, text)
    parts = {(name, part) for name in STRENGTHS for part in ("unet", "text_encoder")}
    assert used == parts - {("peft", "text_encoder")}, used
    weights = dict(merged("unet", unet, "")) | dict(merged("text_encoder", text, text_prefix(text)))
    save_file(weights, HERE / "fixture.safetensors")
    pairs = {name: len([key for key in load_file(HERE / f"{name}.safetensors") if "alpha" not in key]) // 2 for name in STRENGTHS}
    print(len(weights), "weights changed by", pairs, "pairs of factors")


if __name__ == "__main__":
    main()
