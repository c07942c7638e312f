"""The request to fuse.py, for images or video; importing it needs no other package."""

import dataclasses

from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.pipelines.options import FileOptions
from densefuse_tf.pipelines.options import RegistrationSettings


@dataclasses.dataclass(frozen=True)
class Request:
    """Says what is fused, how, and where the result goes.

    Attributes:
      names: The name of each kind of source, for a panel.
      sources: For each kind of source a file, a folder or a pattern.
      output: A file or a folder.
      settings: The settings of the fusion.
      options: Says how images are read and written.
      registration: Says whether and how the sources are aligned first.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    output: str
    settings: FusionSettings
    options: FileOptions
    registration: RegistrationSettings
