# The public names: __init__.py reads them here, and loads each when it is first used.
from . import baselines as baselines
from . import io as io
from . import metrics as metrics
from . import registration as registration
from .baselines.method import method as method
from .cameras.live import live as live
from .errors import UserError as UserError
from .fusion.fuser import Fuser as Fuser
from .fusion.graph import load_fusion_model as load_fusion_model
from .fusion.methods import fuse as fuse
from .fusion.methods import list_methods as list_methods
from .fusion.settings import FusionSettings as FusionSettings
from .lambdas import list_checkpoints as list_checkpoints
from .model.checkpoints import load_autoencoder as load_autoencoder
from .model.strategies import list_strategies as list_strategies
from .model.strategies import strategy as strategy

__version__: str
