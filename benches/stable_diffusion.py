"""Times one UNet and ControlNet step and the autoencoder at 512x512 on a CPU: ours against diffusers eager, in turns, on
the same weights and inputs, with the same number of threads. Parity is printed first.

    cargo run --release --example random_model -- FOLDER --size full --scheduler ddim --half
    cargo build --release --example stable_diffusion_parts
    python benches/stable_diffusion.py FOLDER [--runs 5] [--size 512]

Needs torch (the plugin's version), diffusers, transformers, safetensors; 16 GiB of memory.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).parent.parent
PARTS = {"step": "UNet and ControlNet, one step", "encode": "VAE, encode", "decode": "VAE, decode"}
PROMPT, TIMESTEP, SCALE = "a castle", 499, 0.7  # SCALE: ours for edges


class Diffusers:
    def __init__(self, folder, inputs):
        load = {"torch_dtype": torch.float32}
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", **load).eval()
        self.controlnet = diffusers.ControlNetModel.from_pretrained(folder / "controlnet", **load).eval()
        self.vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae", **load).eval()
        text_encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", **load).eval()
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
        tokens = tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
        self.text, self.inputs, self.outputs = text_encoder(tokens)[0], inputs, {}

    def step(self):
        sample, control = self.inputs["sample"], self.inputs["control"]
        down, mid = self.controlnet(
            sample, TIMESTEP, self.text, control, conditioning_scale=SCALE, return_dict=False
        )
        return self.unet(sample, TIMESTEP, self.text, None, None, None, None, None, down, mid).sample

    def encode(self):
        latents = self.vae.encode(self.inputs["picture"] * 2 - 1).latent_dist.mode()
        return latents * self.vae.config.scaling_factor

    def decode(self):
        return (self.vae.decode(self.inputs["sample"] / self.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)

    def run(self, part):
        begun = time.perf_counter()
        self.outputs[part] = getattr(self, part)()
        return time.perf_counter() - begun


class Ours:
    def __init__(self, program, folder, inputs):
        self.process = subprocess.Popen(
            [program, folder, inputs, "--prompt", PROMPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.ask(None) == "ready"

    def ask(self, line):
        if line:
            print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def run(self, part):
        return float(self.ask(part))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--program", default=ROOT / "target/release/examples/stable_diffusion_parts")
    arguments = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp())
    random, size = torch.Generator().manual_seed(1), arguments.size
    inputs = {
        "sample": torch.randn(1, 4, size // 8, size // 8, generator=random),
        "picture": torch.rand(1, 3, size, size, generator=random),
        "control": (torch.rand(1, 3, size, size, generator=random) > 0.9).float(),
        "timestep": torch.tensor([TIMESTEP]),
    }
    save_file(inputs, scratch / "inputs.safetensors")
    theirs = Diffusers(arguments.folder, inputs)
    ours = Ours(arguments.program, arguments.folder, scratch / "inputs.safetensors")
    times = {part: ([], []) for part in PARTS}
    for run in range(arguments.runs + 1):
        for part in PARTS:
            for side, taken in zip((ours, theirs), times[part]):
                seconds = side.run(part)
                if run:  # the first warms up
                    taken.append(seconds)
        if not run:
            ours.ask(f"save {scratch}/outputs.safetensors")
            for part, output in load_file(scratch / "outputs.safetensors").items():
                error = (output - theirs.outputs[part]).abs().max() / theirs.outputs[part].abs().max()
                print(f"{PARTS[part]}: relative error {error:.1e}", flush=True)
    print(f"\ndiffusers {diffusers.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, {size}x{size}")
    print("| seconds, median (least to most) | ours | diffusers | ratio |\n|---|---|---|---|")
    for part, (own, other) in times.items():
        shown = [f"{statistics.median(t):.2f} ({min(t):.2f} to {max(t):.2f})" for t in (own, other)]
        ratio = statistics.median(own) / statistics.median(other)
        print(f"| {PARTS[part]} | {shown[0]} | {shown[1]} | {ratio:.2f} |")


with torch.no_grad():
    main()
