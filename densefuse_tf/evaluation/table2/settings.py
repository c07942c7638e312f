"""The settings of Table II; importing them needs neither NumPy nor TensorFlow."""

import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any, Literal

from densefuse_tf import naming
from densefuse_tf.setting import check_values
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting

Averages = Literal["uniform", "paper"]
AVERAGES: tuple[Averages, ...] = typing.get_args(Averages)
# In --methods: this project's rows, and every row there is.
OURS, ALL = "ours", "all"


def _field(default: Any, text: str, **limits: Any) -> Any:
    return setting(default, f"With --table2: {text}", **limits)


@explained
@dataclasses.dataclass(frozen=True)
class Table2Settings:
    """Says which rows of Table II are made, of what, and how they are averaged.

    The command makes its flags of the fields.
    """

    data_dir: str | os.PathLike | None = _field(
        None, "the folder of IR<n>.png and VIS<n>.png, n = 1 to 19 and 21."
    )
    methods: tuple[str, ...] = _field(
        (OURS,),
        "the rows to make: ours, the names of other methods, or all. Other rows of the "
        "paper show the paper's values alone.",
    )
    method_options: Mapping[str, Mapping[str, str]] = dataclasses.field(
        default_factory=dict,
        metadata={
            "help": "With --table2: METHOD.OPTION=VALUE,...: options of other methods. "
            "With a folder, as in jsr.dictionary=FOLDER, each pair <n> gets the "
            "file dictionary<n>.npz or dictionary<n>.npy."
        },
    )
    method_module: str | os.PathLike | None = _field(
        None,
        "a Python file, or the dotted name of a module, that registers fusion methods "
        "of your own, which --methods names; see CONTRIBUTING.md.",
    )
    averages: Averages = _field(
        AVERAGES[0],
        "uniform: every cell averages the 20 pairs, and each method has one setting. "
        "paper: CBF, GTF and DeepFuse average SCD and MS_SSIM over 21 pairs (20 is "
        "needed), and GTF has the settings of the published row.",
        choices=AVERAGES,
    )
    checkpoint_dir: str | os.PathLike | None = _field(
        None,
        "a folder with a checkpoint for each lambda: densefuse_1e0.keras, the authors' "
        "..._1e0.ckpt.index, or runs of train.py, 1e0/model.keras, and so on; by "
        "default the models of this project.",
    )
    lambdas: tuple[str, ...] | None = _field(
        None, "for which lambda; by default 1e0,1e1,1e2,1e3."
    )
    strategies: tuple[str, ...] | None = _field(
        None,
        "the fusion strategies of this project's rows; by default addition, l1_norm "
        "and all of --strategy_module.",
    )
    strategy_module: str | os.PathLike | None = _field(
        None,
        "a Python file, or the dotted name of a module, that registers fusion "
        "strategies of your own; see CONTRIBUTING.md.",
    )
    window_radius: int = _field(
        1,
        "r of the l1-norm's block average (Eq. 6): 1 in the paper, 0 in the release.",
        lower_bound=0,
    )
    methods_dir: str | os.PathLike | None = setting(
        None,
        "A folder with a sub-folder of fused images for each other method. With "
        "--table2 each adds a row, and the number of the pair is in each file's name; "
        "with --ir and --vis instead of --fused, one table has a row for each.",
    )
    work_dir: str | os.PathLike = _field(
        "out/table2",
        "where fused images and metrics are kept, so that nothing is done twice.",
    )
    fresh: bool = _field(False, "does all anew, whatever --work_dir has.")

    def __post_init__(self):
        """Refuses values that are none of the choices, or below their bound.

        Raises:
          UserError: There is one.
        """
        check_values(self)
        object.__setattr__(self, "methods", naming.spelled(self.methods, (OURS, ALL)))

    @property
    def has_ours(self) -> bool:
        """Whether this project's rows are asked for."""
        return bool({OURS, ALL} & set(self.methods))
