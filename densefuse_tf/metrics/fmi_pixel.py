"""FMI_pixel: the feature mutual information of edges, under the authors' name.

What the authors of DenseFuse publish as FMI_pixel holds edges and no pixels, because
"edge" is the default of the Fast-FMI code and their call names no feature.
"""

from densefuse_tf.metrics.fmi import fmi
from densefuse_tf.metrics.metric import metric

metric(
    "FMI_pixel",
    "feature mutual information, Sobel edges",
    formula="mean of 2 I / (H + H) over 3x3 windows of MATLAB's edges",
    range=(-0.1, 1.1),
    options={"feature": "edge"},
    cost=4,
)(fmi)
