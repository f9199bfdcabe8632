"""Makes fixture.safetensors: what diffusers' schedulers give over whole loops (cases.json), in fp32.

The network is a function of sample and timestep (tests/parity_schedulers.rs has the same), noise is derived from
names (tests/parity/weights.py). PNDM's cases are sampled by DDIMScheduler.from_config, as one exchanges them.
Samples are kept in each scheduler's own scale; what is stored is the last one, where all scales agree, and the
timesteps and noise levels on the way.

Needs torch 2.11.0, diffusers 0.36.0, safetensors; written with the versions it prints.

    python make.py
"""

import json
import pathlib
import sys

import diffusers
import torch
from diffusers.schedulers import scheduling_lcm
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from weights import random_tensor  # noqa: E402

SEED = 7
SHAPE = (1, 4, 8, 8)


def make(config):
    config = dict(config)
    name = config.pop("_class_name")
    if name == "PNDMScheduler":
        return diffusers.DDIMScheduler.from_config({"_class_name": name, **config})
    return getattr(diffusers, name)(**config)


def ratio(scheduler, index, timestep):
    """Noise over signal before step `index`."""
    if hasattr(scheduler, "sigmas"):
        return scheduler.sigmas[index].double()
    product = scheduler.alphas_cumprod[int(timestep)].double()
    return ((1 - product) / product).sqrt()


def loop(name, case):
    scheduler = make(case["config"])
    scheduler.set_timesteps(case["steps"])
    draws = iter(range(1, 1000))
    scheduling_lcm.randn_tensor = lambda shape, **_: random_tensor(SEED, f"{name}.noise.{next(draws)}", shape)
    sample = random_tensor(SEED, f"{name}.sample", SHAPE) * 1.7 * scheduler.init_noise_sigma
    levels = []
    for index, timestep in enumerate(scheduler.timesteps):
        given = scheduler.scale_model_input(sample, timestep)
        model_output = (given * 2 + timestep / 500).sin() * 0.7
        levels.append(ratio(scheduler, index, timestep))
        sample = scheduler.step(model_output, timestep, sample).prev_sample
    assert sample.std() > 0.02, name
    print(f"{name}: {scheduler.timesteps.tolist()[:3]}..., std {sample.std():.3f}")
    if case["config"].get("final_sigmas_type") == "sigma_min" and "Euler" in case["config"]["_class_name"]:
        raise ValueError("Euler's scale and ours agree at sigma 0 only")
    levels = torch.stack(levels)
    return {
        f"{name}.sample": sample,
        f"{name}.timesteps": scheduler.timesteps.double(),
        f"{name}.sigmas": torch.where(levels.isinf(), 1.0, levels / (1 + levels**2).sqrt()),
    }


print(f"torch {torch.__version__}, diffusers {diffusers.__version__}")
outputs = {}
for name, case in json.loads((HERE / "cases.json").read_text()).items():
    outputs |= loop(name, case)
versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
save_file(outputs, HERE / "fixture.safetensors", metadata=versions)
