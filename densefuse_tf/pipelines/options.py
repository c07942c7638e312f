"""Settings of reading and writing images; importing them needs no other package."""

import dataclasses

from densefuse_tf.io import limits


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Says how source images are read and results are written.

    Attributes:
      value_ranges: For each source the value range, as `pixels.to_pixel_range` takes
        it; by default None for each.
      range_flags: For each source what a warning calls the user's choice of its range;
        by default the value range.
      max_pixels: The largest image that is read, in pixels.
      save_raw: Whether the decoder's output is written as well.
      overwrite: Whether results that exist are replaced.
    """

    value_ranges: tuple | None = None
    range_flags: tuple[str, ...] | None = None
    max_pixels: int = dataclasses.field(
        default=limits.MAX_PIXELS,
        metadata={
            "help": "The largest image that is read, in pixels.",
            "lower_bound": 1,
        },
    )
    save_raw: bool = dataclasses.field(
        default=False,
        metadata={
            "help": "Also write the decoder's output, float32, as NAME.npy: with "
            "addition the sum over the sources, about 0..255 times their number."
        },
    )

    overwrite: bool = dataclasses.field(
        default=True,
        metadata={
            "help": "Replace results that exist, each once the new one is whole; "
            "--nooverwrite refuses a run that would replace any, before it starts."
        },
    )

    def ranges(self, num_sources: int) -> tuple:
        """Returns the value range of each source."""
        return self.value_ranges or (None,) * num_sources
