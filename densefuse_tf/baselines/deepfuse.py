"""DeepFuse: a small encoder and decoder, between which the features are added.

Both sources pass the encoder of `densefuse_tf.model.deepfuse`, and the decoder takes
the sum of the two sets of 32 feature maps,

    phi = phi_1 + phi_2,    O = decoder(phi),

so that O spans some 10..520. The result is O stretched from its minimum and maximum
over the whole image to 0..255. The order of the two images does not matter.

References:
  K. R. Prabhakar, V. S. Srikar, R. V. Babu: DeepFuse: A deep unsupervised approach for
  exposure fusion with extreme exposure image pairs. ICCV 2017.
  https://doi.org/10.1109/ICCV.2017.505

Notes:
  The ICCV paper fuses the luma of over- and underexposed colour pairs, and trains
  without ground truth on a structural similarity of several exposures. Table II of the
  DenseFuse paper was made as above.

  The authors' weights were published without a licence; `checkpoint` reads them from
  the TensorFlow 1 checkpoint. The default weights are this project's own and have its
  licence.
"""

import dataclasses
import functools
from typing import ClassVar

import numpy as np

from densefuse_tf.baselines.method import check_not_constant
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import method
from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

# Reflection needs a second pixel.
_MIN_SIDE = 2


@method("deepfuse")
@dataclasses.dataclass(frozen=True)
class DeepFuse:
    """Adds the feature maps of a small encoder (Prabhakar et al. 2017, Li's version).

    Attributes:
      checkpoint: Weights: the prefix of the authors' TensorFlow 1 checkpoint or a
        .keras file; by default those that ship with this project.
    """

    needs_tensorflow: ClassVar[bool] = True
    checkpoint: str | None = None

    def prepare(self) -> None:
        """Reads the weights; see `Method`."""
        _ = self._fusion

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair of 2x2 or more; see `Method.fuse`."""
        raw = self.raw(ir, vis).astype(np.float64)
        low, high = raw.min(), raw.max()
        if low == high:
            raise UserError(
                "the output of deepfuse is one value in every pixel: expected source "
                "images that are not constant"
            )
        return pixels.matlab_uint8((raw - low) * (255 / (high - low)))

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Returns O before the stretch, [H, W] float32; see `fuse`."""
        check_pair(ir, vis, method="deepfuse", min_side=_MIN_SIDE)
        check_not_constant(ir, vis, method="deepfuse")
        return self._fusion(np.stack([ir, vis])[..., None].astype(np.float32))

    @functools.cached_property
    def _fusion(self):
        from densefuse_tf.model import deepfuse

        return deepfuse.fusion(deepfuse.load_autoencoder(self.checkpoint))
