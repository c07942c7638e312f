"""How close strategies come to the truth where photographs are blurred in parts.

  python benchmarks/multifocus.py --images=coco/original_size
  python benchmarks/multifocus.py --images=photos --count=5 --sources=3

Each photograph, grey and of its own size, is the truth. k sources are made of it by a
Gaussian blur (sigma 3): once in strips side by side (halves for k = 2), once in
regions of random depth, always the same. All strategies fuse them, with the shipped
model of lambda = 100 and --output_range=average, which keeps the brightness; so does
the method cnn, which is made for multi-focus and takes two sources. Prints PSNR (dB)
and SSIM to the truth, averages over the photographs.
"""

import sys

from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_IMAGES = flags.DEFINE_string(
    "images", None, "Photographs: a folder or a glob.", flag_values=_FLAGS
)
_COUNT = flags.DEFINE_integer(
    "count", 20, "How many of them, the first in order.", 1, flag_values=_FLAGS
)
_SOURCES = flags.DEFINE_integer(
    "sources", 2, "k, the number of focal planes.", 2, flag_values=_FLAGS
)
# Strategies, and the radius of their window where they have one.
_VARIATIONS = (
    ("addition", None),
    ("l1_norm", 1),
    ("maximum", None),
    ("l1_norm_softmax", 8),
    ("choose_max", 1),
    ("choose_max", 8),
    ("detail_softmax", 8),
    ("detail_choose_max", 1),
)


def main() -> None:
    if _IMAGES.value is None:
        raise UserError("--images is missing")
    startup.import_tensorflow()
    import numpy as np
    from skimage import metrics

    from densefuse_tf.demo import scenes
    from densefuse_tf.fusion import methods
    from densefuse_tf.fusion.settings import FusionSettings
    from densefuse_tf.io import finding
    from densefuse_tf.io import images
    from densefuse_tf.io import pixels

    count = _SOURCES.value
    fusers = {}
    for strategy, radius in _VARIATIONS:
        name = strategy if radius is None else f"{strategy}, r = {radius}"
        settings = FusionSettings(
            strategy=strategy,
            num_sources=count,
            window_radius=radius or 0,
            output_range="average",
        )
        fusers[name] = methods.build(settings)
    if count == 2:
        fusers["cnn"] = methods.build(methods.MethodSettings("cnn"))

    figures = {name: {"strips": [], "depths": []} for name in fusers}
    paths = finding.find(_IMAGES.value)[: _COUNT.value]
    for index, path in enumerate(paths):
        truth = pixels.to_uint8(pixels.gray(images.read(path)))
        random = np.random.default_rng(index)
        kinds = {
            "strips": scenes.strips(truth.shape, count),
            "depths": scenes.depths(truth.shape, count, random),
        }
        for kind, shares in kinds.items():
            sources = scenes.focal_planes(truth, shares)
            for name, fuser in fusers.items():
                fused = fuser.fuse(sources).image
                figures[name][kind].append(
                    (
                        metrics.peak_signal_noise_ratio(truth, fused, data_range=255),
                        metrics.structural_similarity(truth, fused, data_range=255),
                    )
                )
    print(f"{len(paths)} photographs, k = {count}")
    print(f"{'':24}  strips: PSNR    SSIM  depths: PSNR    SSIM")
    for name, kinds in figures.items():
        cells = [np.mean(kinds[kind], axis=0) for kind in ("strips", "depths")]
        print(f"{name:24}" + "".join(f"{p:14.2f}{s:8.4f}" for p, s in cells))


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
