# The public modules: __init__.py reads them here, and loads each when it is first used.
from . import finding as finding
from . import images as images
from . import pixels as pixels
from . import temperatures as temperatures
from . import video as video
