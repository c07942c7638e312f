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
from absl import logging

from densefuse_tf import startup
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import progress
from densefuse_tf.commands import runner
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.serving.settings import ExportSettings

_FLAGS = flags.FlagValues()
common_flags.define(
    FusionSettings, _FLAGS, except_=("color", "palette", "memory_budget")
)
common_flags.define(ExportSettings, _FLAGS)
_OUTPUT = common_flags.define_path(
    "output",
    "What is written, a new name: DIR/1 for a SavedModel, where 1 is the version; a "
    ".tflite or .onnx file.",
    _FLAGS,
)


def main() -> None:
    output = common_flags.required(_OUTPUT, "a new name, DIR/1 for instance")
    fusion_settings = common_flags.read(FusionSettings, _FLAGS)
    settings = common_flags.read(ExportSettings, _FLAGS)
    logging.info("exporting %s, which takes some ten seconds", output)
    startup.import_tensorflow()
    from densefuse_tf.serving import export

    with startup.hushed():
        export.export(fusion_settings, output, settings)
    progress.say(f"{settings.format}: {output}")


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-export` and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
