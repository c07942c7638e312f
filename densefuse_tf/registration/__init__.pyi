# The public names: __init__.py reads them here, and loads each when it is first used.
from .alignment import UNCOVERED as UNCOVERED
from .alignment import Alignment as Alignment
from .alignment import Rectangle as Rectangle
from .alignment import checkerboard as checkerboard
from .alignment import common_area as common_area
from .alignment import warp as warp
from .camera import placed as placed
from .misalignment import looks_misaligned as looks_misaligned
from .points import from_points as from_points
from .points import read_points as read_points
from .registration import Registration as Registration
from .registration import normalized_total_gradient as normalized_total_gradient
from .registration import register as register
from .rig import combine as combine
from .storing import load as load
from .storing import save as save
from .warping import covered as covered

MODELS: tuple[str, ...]
MODELS_HELP: str
