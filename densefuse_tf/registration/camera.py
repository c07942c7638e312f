"""Guesses how images lie from the figures that a camera stores beside them."""

import numpy as np

from densefuse_tf.io.radiometric import Placing
from densefuse_tf.registration import transforms
from densefuse_tf.registration.choices import Model
from densefuse_tf.registration.registration import Registration

_MODEL: Model = "similarity"


def placed(
    placing: Placing | None,
    photograph: tuple[int, int],
    thermal: tuple[int, int],
) -> Registration | None:
    """Makes a guess of the transform from a photograph to the thermal image beside it.

    The photograph's width is `real_to_ir` times that of the thermal image, whose centre
    lies away from the photograph's by the shift. Some models mean pixels of
    the photograph by the shift and others thermal ones: what lies halfway between is
    near enough to either for `register`, whose `guess` it is for.

    Args:
      placing: The camera's figures.
      photograph: Height and width.
      thermal: The same of the thermal image.

    Returns:
      A similarity, the photograph being the fixed image; not accepted. None without
      figures.
    """
    if placing is None:
        return None
    # Pixels of the photograph for a thermal one.
    scale = photograph[1] / (placing.real_to_ir * thermal[1])
    centre, middle = (
        (np.array(shape[::-1]) - 1) / 2 for shape in (photograph, thermal)
    )
    matrix = np.diag([scale, scale, 1.0])
    shift = np.array([placing.x, placing.y]) * (1 + scale) / 2
    matrix[:2, 2] = centre - scale * middle + shift
    return Registration(
        transforms.of_matrix(np.linalg.inv(matrix), _MODEL),
        _MODEL,
        photograph,
        thermal,
        reason="it is a guess from the camera's own figures",
    )
