"""The request to fuse.py, for images or video; importing it needs no other package."""

import dataclasses
from typing import TYPE_CHECKING

from densefuse_tf import startup
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import RegistrationSettings

if TYPE_CHECKING:
    from densefuse_tf.fusion.methods import MethodSettings


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
    settings: "FusionSettings | MethodSettings"
    options: FileOptions
    registration: RegistrationSettings

    def fuser(self):
        """Builds what fuses.

        Raises:
          UserError: One of the settings cannot be used.
        """
        from densefuse_tf.fusion import methods

        if methods.needs_tensorflow(self.settings):
            startup.import_tensorflow()
        return methods.build(self.settings)
