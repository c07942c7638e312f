"""Evaluates fused images with the metrics of image fusion, by default Table II's.

  evaluate.py --ir=pairs/ir --vis=pairs/vis --fused=fused --csv=metrics.csv
  evaluate.py --ir=pairs/ir --vis=pairs/vis --methods_dir=methods --markdown=table.md
  evaluate.py --ir=ir.png --vis=vis.png --fused=fused.png --metrics=paper,SD,VIF
  evaluate.py --ir=ir --vis=vis --fused=fused --metrics=vifb --convention=vifb
  evaluate.py --ir=ir.mp4 --vis=vis.mp4 --fused=fused.mp4 --csv=frames.csv
  evaluate.py --list

The first prints a row for each pair and their mean, the second one table with a row for
each sub-folder of methods. Images are 8-bit, matched by their names; of colour images
the luma is evaluated, and with --convention=vifb each channel. --list shows the metrics
there are. TensorFlow is not needed.

Of a video (a source or the fused one is named as one, or --video) the table shows the
mean over the frames, and --csv has a row for each frame. Videos and folders of frames
may stand beside each other; --methods_dir then has a video or a folder of frames for
each method.

  evaluate.py --table2 --data_dir=tno --csv=table2.csv --markdown=table2.md
  evaluate.py --table2 --data_dir=tno --checkpoint_dir=released_checkpoints
  evaluate.py --table2 --data_dir=tno --checkpoint_dir=runs --lambdas=1e2,1e3
  evaluate.py --table2 --data_dir=tno --methods_dir=methods --panels=panels
  evaluate.py --table2 --data_dir=tno --methods=all --averages=paper
  evaluate.py --table2 --data_dir=tno --strategy_module=my_strategies.py

--table2 fuses the 20 pairs of the paper with both strategies and four checkpoints, and
with strategies of your own or other methods if they are asked for. It prints Table II
with this run's values beside the paper's, the best marked * and the second best '. Run
again, it goes on where it was.

On many machines, which all see the files, --runner evaluates a large set as fuse.py
fuses it: --csv takes the rows, in order, and what is printed is about all pairs.

  evaluate.py --ir=archive/ir --vis=archive/vis --fused=fused --csv=metrics.csv \\
      --runner=DaskRunner --beam_options='--dask_client_address=tcp://HOST:8786'

Exit status: 0, 1 if --runner could not evaluate all pairs, or 2 for a mistake.
"""

import dataclasses
import sys
import typing
from typing import TYPE_CHECKING

from absl import flags

import densefuse_tf
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation.table2 import settings
from densefuse_tf.pipelines.running import RunnerOptions

if TYPE_CHECKING:
    from densefuse_tf.metrics import Convention

_FLAGS = flags.FlagValues()
_IR, _VIS = common_flags.define_ir_and_vis(_FLAGS)
_FUSED = common_flags.define_path(
    "fused",
    "Fused images, or a fused video: a file, a folder or a glob pattern.",
    _FLAGS,
)
_VIDEO = flags.DEFINE_bool(
    "video",
    False,
    "The images are the frames of a video, whatever the names say: value ranges are "
    "decided once for all of them, and the table shows no row for each.",
    flag_values=_FLAGS,
)
_RANGES = common_flags.define_ranges(
    ", as fuse.py takes them: MIN,MAX; two percentiles, 1%,99%; or auto for the "
    "image's own minimum and maximum, or those of all frames of a video. Sources of "
    "more than 8 bits need it.",
    _FLAGS,
)
common_flags.define_path(
    "csv",
    "Also write a CSV file: a row for each pair or frame, and the mean of one set of "
    "fused images; with --table2 a row for each cell.",
    _FLAGS,
)
common_flags.define_path(
    "markdown",
    "Also write the table as Markdown, the best values bold and the second best in "
    "italics.",
    _FLAGS,
)
common_flags.define_path(
    "latex",
    "Also write the table as a LaTeX tabular for the package booktabs.",
    _FLAGS,
)
_METRICS = flags.DEFINE_string(
    "metrics",
    "paper",
    "The metrics: paper (the seven of Table II), toolkit (the eleven of the MATLAB "
    "toolkit of Tang et al.), vifb (the thirteen of the VIFB benchmark), all, or names "
    "out of --list, separated by commas.",
    flag_values=_FLAGS,
)
_CONVENTION = common_flags.define_choice(
    "convention",
    "intended",
    ["intended", "toolkit", "authors", "vifb"],
    "What a metric is: as its paper defines it, or as the values that the toolkit, the "
    "authors of DenseFuse or VIFB published under its name; see docs/metrics.md. Only "
    "vifb evaluates colour images channel by channel instead of their luma.",
    _FLAGS,
)
_LIST = flags.DEFINE_bool(
    "list",
    False,
    "Show the metrics: name, direction, range, conventions, paper; evaluate nothing.",
    flag_values=_FLAGS,
)
_TABLE2 = flags.DEFINE_bool(
    "table2", False, "Reproduce Table II of the paper.", flag_values=_FLAGS
)
common_flags.define(settings.Table2Settings, _FLAGS, except_=("method_options",))
_METHOD_OPTIONS = flags.DEFINE_list(
    "method_options",
    [],
    settings.Table2Settings.__dataclass_fields__["method_options"].metadata["help"],
    flag_values=_FLAGS,
)
common_flags.define_path(
    "pairs_csv",
    "With --table2: also write a CSV file with the values of each pair of each row.",
    _FLAGS,
)
_PANELS = common_flags.define_path(
    "panels",
    "With --table2: also write, into this folder, a picture of each pair's sources and "
    "results, like the paper's Figures 8 and 9.",
    _FLAGS,
)
common_flags.define(RunnerOptions, _FLAGS)
_OF_FILES = (
    *("ir", "vis", "fused", "video", "ir_range", "vis_range", "metrics"),
    *("convention", "list", "runner", "beam_options"),
)
_OF_TABLE2 = [
    *(field.name for field in dataclasses.fields(settings.Table2Settings)),
    *("pairs_csv", "panels"),
]
_OF_TABLE2.remove("methods_dir")


def main() -> int:
    how, others = ("does not go", _OF_FILES) if _TABLE2.value else ("goes", _OF_TABLE2)
    common_flags.refuse(_FLAGS, others, f"{how} with --table2")
    from densefuse_tf.commands import evaluate_outputs

    outputs = common_flags.read(evaluate_outputs.Outputs, _FLAGS)
    if _TABLE2.value:
        options = common_flags.options_by_method(_METHOD_OPTIONS.value)
        chosen = common_flags.read(
            settings.Table2Settings, _FLAGS, method_options=options
        )
        from densefuse_tf.commands import evaluate_table2

        evaluate_table2.reproduce(chosen, outputs, _PANELS.value)
        return 0
    from densefuse_tf.commands import evaluate_own

    if _LIST.value:
        evaluate_own.list_metrics()
        return 0
    selection = densefuse_tf.metrics.select(_METRICS.value)
    for flag in (_IR, _VIS):
        if flag.value is None:
            raise UserError(
                f"--{flag.name} is missing: expected --ir, --vis and --fused, or "
                "--table2"
            )
    question = evaluate_own.Question(
        _IR.value,
        _VIS.value,
        _FUSED.value,
        _FLAGS["methods_dir"].value,
        _VIDEO.value,
        {flag.name: common_flags.value_range(flag) for flag in _RANGES},
        selection,
        typing.cast("Convention", _CONVENTION.value),
    )
    run = common_flags.read(RunnerOptions, _FLAGS)
    return evaluate_own.evaluate_own(question, run, outputs)


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-evaluate` and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
