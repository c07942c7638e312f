"""Settings of an export; importing them needs no TensorFlow."""

import dataclasses
import typing
from typing import Literal

from densefuse_tf.errors import UserError
from densefuse_tf.setting import check_values
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting

Format = Literal["saved_model", "litert", "onnx"]
FORMATS: tuple[Format, ...] = typing.get_args(Format)


@explained
@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """Says in which form a fusion graph is exported."""

    format: Format = setting(
        "saved_model",
        "saved_model, for TensorFlow and TensorFlow Serving; litert (needs the extra "
        "litert); onnx (needs the extra onnx).",
        choices=FORMATS,
    )
    max_pixels: int = setting(
        2048 * 2048,
        "The largest image that the SavedModel's fuse_encoded decodes, in pixels; "
        "fusing takes some 1,100 bytes of memory a pixel.",
        lower_bound=1,
    )
    warmup: bool = setting(
        False,
        "Also write requests that TensorFlow Serving runs before it reports a "
        "SavedModel as available (needs the extra serving).",
    )

    def __post_init__(self):
        """Raises a UserError where no export can have a value."""
        check_values(self)
        if self.warmup and self.format != "saved_model":
            raise UserError(
                f"warmup goes with the format saved_model, not with {self.format}"
            )
