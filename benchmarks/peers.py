"""Times the same network in other programs: ONNX Runtime, OpenVINO and PyTorch.

    pip install openvino onnxruntime torch
    python benchmarks/peers.py
    python benchmarks/peers.py --sizes=576x768 --strategies=l1_norm

ONNX Runtime and OpenVINO run the file that export.py writes; PyTorch runs the layers of
Table I, written with its own operations. A program that is not installed is left out.
All of them are timed in turn, with as many threads as there are cores; a ratio is this
project's time divided by that of the other, above 1 where the other is quicker. What
bfloat16 costs in accuracy is the largest difference of the raw output from float32, on
a scale of 255.
"""

import dataclasses
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable

import measuring
import numpy as np
from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner

_FLAGS = flags.FlagValues()
_SIZES = flags.DEFINE_list(
    "sizes",
    ["288x384", "576x768", "1080x1920"],
    "HEIGHTxWIDTH of the pairs.",
    flag_values=_FLAGS,
)
_STRATEGIES = flags.DEFINE_list(
    "strategies", ["addition", "l1_norm"], "The strategies.", flag_values=_FLAGS
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 5, "Number of runs, of which the median counts.", 1, flag_values=_FLAGS
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "1e2", "A checkpoint, as fuse.py takes it.", flag_values=_FLAGS
)
_WINDOW_RADIUS = 1
# k images [H, W] float32 in 0..255 -> raw output [H, W].
_Fuse = Callable[[list[np.ndarray]], np.ndarray]


def main() -> None:
    startup.import_tensorflow()
    for strategy in _STRATEGIES.value:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "fusion.onnx"
            programs = build(strategy, path)
            for size in _SIZES.value:
                compare(strategy, size, programs)


def build(strategy: str, path: pathlib.Path) -> dict[str, _Fuse]:
    """Returns what fuses a pair by the name of the program, this project first."""
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings
    from densefuse_tf.model import low_precision
    from densefuse_tf.serving import export
    from densefuse_tf.serving.settings import ExportSettings

    settings = FusionSettings(
        _CHECKPOINT.value, strategy=strategy, window_radius=_WINDOW_RADIUS
    )
    with startup.hushed():
        export.export(settings, str(path), ExportSettings(format="onnx"))
    programs: dict[str, _Fuse] = {"densefuse_tf": Fuser(settings).raw}
    if low_precision.obstacle() is None:
        preview = dataclasses.replace(settings, precision="bfloat16")
        programs["densefuse_tf, bfloat16"] = Fuser(preview).raw
    for make in (onnx_runtime, openvino, pytorch):
        try:
            programs |= make(strategy, path)
        except ImportError as error:
            print(f"{make.__name__} is left out: {error}", file=sys.stderr)
    return programs


def compare(strategy: str, size: str, programs: dict[str, _Fuse]) -> None:
    height, width = map(int, size.split("x"))
    pair = [
        image.astype(np.float32)
        for image in measuring.synthetic_pair(height, width)[:2]
    ]
    outputs = {name: fuse(pair) for name, fuse in programs.items()}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(_REPEATS.value):
        for name, fuse in programs.items():
            times[name].append(measuring.seconds(lambda fuse=fuse: fuse(pair)))
    ours, *_ = (np.median(seconds) for seconds in times.values())
    expected, *_ = outputs.values()
    for name, seconds in times.items():
        median = np.median(seconds)
        difference = np.abs(outputs[name] - expected).max() * 255 / np.ptp(expected)
        print(
            f"{strategy:9}{size:>10} {name:22} {median:.3f} s, ratio "
            f"{ours / median:.2f}, largest difference {difference:.2g}",
            flush=True,
        )


def onnx_runtime(strategy: str, path: pathlib.Path) -> dict[str, _Fuse]:
    """ONNX Runtime; its provider for CPUs has no convolution in bfloat16."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )

    def fuse(pair):
        (raw,) = session.run(["raw"], batches(pair))
        return raw[0, :, :, 0]

    return {"ONNX Runtime": fuse}


def openvino(strategy: str, path: pathlib.Path) -> dict[str, _Fuse]:
    import openvino

    core = openvino.Core()

    def compiled(precision: str) -> _Fuse:
        hints = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": cores(),
        }
        model = core.compile_model(path, "CPU", hints)
        return lambda pair: model(batches(pair))["raw"][0, :, :, 0]

    return {
        "OpenVINO": compiled("f32"),
        "OpenVINO, bfloat16": compiled("bf16"),
    }


def pytorch(strategy: str, path: pathlib.Path) -> dict[str, _Fuse]:
    import torch
    from torch.nn import functional

    from densefuse_tf.model import checkpoints
    from densefuse_tf.model import network

    torch.set_num_threads(cores())
    model = checkpoints.load_autoencoder(_CHECKPOINT.value)
    weights = {}
    for name in network.CONVOLUTIONS:
        kernel, bias = network.convolution_layer(model, name).get_weights()
        kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        weights[name] = kernel, torch.from_numpy(bias)

    def convolve(name, maps):
        kernel, bias = weights[name]
        padded = functional.pad(maps, (1, 1, 1, 1), mode="reflect")
        outputs = functional.conv2d(padded, kernel, bias)
        return outputs if name == "C5" else functional.relu(outputs)

    def encode(image):
        maps = convolve("C1", image)
        for name in ("DC1", "DC2", "DC3"):
            maps = torch.cat([convolve(name, maps), maps], 1)
        return maps

    def strength(maps):
        size = 2 * _WINDOW_RADIUS + 1
        activity = maps.abs().sum(1, keepdim=True)
        return functional.avg_pool2d(activity, size, 1, _WINDOW_RADIUS)

    def fuse(pair):
        images = [torch.from_numpy(image)[None, None] for image in pair]
        first, second = (
            encode(image.contiguous(memory_format=torch.channels_last))
            for image in images
        )
        if strategy == "addition":
            maps = first + second
        else:
            activities = strength(first), strength(second)
            # Where both are 0 so are the maps.
            total = (activities[0] + activities[1]).clamp(min=1e-30)
            maps = first * (activities[0] / total) + second * (activities[1] / total)
        for name in ("C2", "C3", "C4", "C5"):
            maps = convolve(name, maps)
        return maps[0, 0].float().numpy()

    def in_float32(pair):
        with torch.inference_mode():
            return fuse(pair)

    def in_bfloat16(pair):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return fuse(pair)

    return {"PyTorch": in_float32, "PyTorch, bfloat16": in_bfloat16}


def batches(pair: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: image[None, :, :, None]
        for name, image in zip(("ir", "vis"), pair, strict=True)
    }


def cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
