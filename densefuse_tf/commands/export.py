"""Exports a DenseFuse model for serving.

  export.py --checkpoint=1e2 --strategy=l1_norm --output=models/densefuse/1
  export.py --checkpoint=1e2 --output_range=average --output=models/average/1
  export.py --checkpoint=1e2 --format=litert --output=densefuse.tflite
  export.py --checkpoint=1e2 --format=onnx --output=densefuse.onnx

A SavedModel runs in TensorFlow Serving and wherever TensorFlow is, without this
package: see docs/serving.md. Exit status: 0, 2 for a mistake.
"""

import sys

from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_CHECKPOINT = common_flags.define_checkpoint(_FLAGS)
_STRATEGY = common_flags.define_strategy(_FLAGS)
_WINDOW_RADIUS = common_flags.define_window_radius(_FLAGS)
_NUM_SOURCES = flags.DEFINE_integer(
    "num_sources",
    2,
    "How many source images are fused into one. Two are called ir and vis, others "
    "source_1, source_2, ...",
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "What is written, a new name: DIR/1 for a SavedModel, where 1 is the version; a "
    ".tflite or .onnx file.",
    flag_values=_FLAGS,
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "onnx"],
    "saved_model, for TensorFlow and TensorFlow Serving; litert (needs pip install "
    "'.[litert]'); onnx (needs pip install '.[onnx]').",
    flag_values=_FLAGS,
)
_OUTPUT_RANGE = flags.DEFINE_enum(
    "output_range",
    "minmax",
    ["minmax", "average"],
    "minmax: each result's minimum and maximum become 0 and 255, as in the release; "
    "average: the decoder's output, divided by k where the strategy adds, which keeps "
    "brightness comparable between images.",
    flag_values=_FLAGS,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    2048 * 2048,
    "The largest image that the SavedModel's fuse_encoded decodes, in pixels; fusing "
    "takes some 1,700 bytes of memory a pixel.",
    lower_bound=1,
    flag_values=_FLAGS,
)


def main() -> None:
    if not _OUTPUT.value:
        raise UserError("--output is missing: expected a new name, DIR/1 for instance")
    runner.import_tensorflow()
    from densefuse_tf.serving import serving

    with runner.hushed():
        serving.export(
            _CHECKPOINT.value,
            _OUTPUT.value,
            format=_FORMAT.value,
            strategy=_STRATEGY.value,
            window_radius=_WINDOW_RADIUS.value,
            num_sources=_NUM_SOURCES.value,
            output_range=_OUTPUT_RANGE.value,
            max_pixels=_MAX_PIXELS.value,
        )
    print(f"{_FORMAT.value}: {_OUTPUT.value}")


def run(argv: list[str] | None = None) -> int:
    """The command `densefuse-export`; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
