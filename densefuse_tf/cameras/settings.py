"""What a live run is asked for beside how images are fused."""

import dataclasses
import os
import re

from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import preset_values
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting

# How pictures are fused unless something else is asked for.
USUAL = preset_values("camera", is_video=True)


@explained
@dataclasses.dataclass(frozen=True)
class LiveSettings:
    """Says how two cameras are read, paired and shown."""

    ir_input: str = setting(
        "",
        "ffmpeg's options for the infrared source, as on its command line: '-f v4l2 "
        "-input_format y16 -framerate 9'.",
    )
    vis_input: str = setting("", "ffmpeg's options for the visible source.")
    live_rate: str = setting(
        "vis",
        "When a picture is made: with each infrared frame (ir), with each visible one "
        "(vis), or so many times a second (a number).",
    )
    max_skew: float = setting(
        100.0, "Frames farther apart are not fused, in ms.", lower_bound=0.0
    )
    timeout: float = setting(
        5.0, "A source silent for so many seconds is opened again.", lower_bound=0.1
    )
    range_memory: float = setting(
        2.0,
        "How long the value range of 16 bits takes to follow the scene, and how long "
        "frames of a closed shutter are left out, in seconds; 0 for neither.",
        lower_bound=0.0,
    )
    live_page: bool = setting(False, "Show the picture on a page, to this machine.")
    stats: str | os.PathLike | None = setting(
        None, "Also write a CSV file with a row a second: pictures, drops, delays."
    )

    def __post_init__(self):
        """Raises a UserError for a rate that is none."""
        rate = pick_rate("live_rate", self.live_rate)
        object.__setattr__(self, "live_rate", rate)


def pick_rate(name: str, rate: str | float) -> str:
    """Returns when a picture is made, or refuses what says nothing about that."""
    rate = naming.find(str(rate), ("ir", "vis")) or str(rate)
    if not re.fullmatch(r"ir|vis|(?=.*[1-9])\d{1,3}(\.\d+)?", rate):
        raise UserError(
            f"{name} is {rate!r}: expected ir, vis, or pictures a second, below 1000"
        )
    return rate
