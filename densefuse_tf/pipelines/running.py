"""What a run over many items runs on, which evaluation has as well as fusion."""

import dataclasses

from densefuse_tf.errors import UserError
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting


@explained
@dataclasses.dataclass(frozen=True)
class RunnerOptions:
    """Says whether a run is one of Apache Beam."""

    runner: str | None = setting(
        None,
        "Work on Apache Beam (needs the extra beam), with the same results: "
        "DirectRunner for processes of this machine; DaskRunner (needs the extra "
        "dask), FlinkRunner, SparkRunner, DataflowRunner, ... for machines that all "
        "see the files under the same paths. See docs/scaling.md.",
    )
    beam_options: str | None = setting(
        None,
        "With --runner: Beam's pipeline options, as on a command line.",
    )

    def __post_init__(self):
        """Raises a UserError for options without a runner."""
        if self.beam_options and self.runner is None:
            raise UserError("--beam_options goes with --runner")
