"""What example_values.json holds, computed once: `python tests/example_values.py`.

Everything here is written again from the papers and from REFERENCE's formulas, in plain
NumPy and SciPy: pixel by pixel in the `naive_` functions that the tests of each method
and metric compare it with, and in `numpy_densefuse`. None of it is the package's code,
which reads the weights alone. So the values are independent ones, and a machine that
has nothing but the checkout notices when a result changes.

DenseFuse's values are of the whole example pairs, all others of a part of them, because
loops over pixels take long.
"""

import json
import math
import pathlib

import imageio.v3 as iio
import numpy as np
import numpy_densefuse
from baselines import test_cbf
from baselines import test_dchwt
from baselines import test_gtf
from baselines import test_jsr
from baselines import test_wls
from metrics import test_ag
from metrics import test_edge
from metrics import test_ei
from metrics import test_fmi
from metrics import test_ms_ssim
from metrics import test_nabf
from metrics import test_q_cb
from metrics import test_q_cv
from metrics import test_qabf
from metrics import test_sd
from metrics import test_ssim_a
from metrics import test_vif
from metrics import test_windows
from scipy import ndimage
from scipy import special

FILE = pathlib.Path(__file__).with_suffix(".json")
PAIRS = FILE.parents[1] / "examples" / "pairs"
NAMES = ("hut", "street")
CHECKPOINTS = ("1e0", "1e1", "1e2", "1e3")
STRATEGIES = {"addition": numpy_densefuse.addition, "l1_norm": numpy_densefuse.l1_norm}
# Parts of both pairs that have edges, textures and flat areas in both images.
PART = np.s_[200:280, 240:344]
# JSR codes 16 atoms of 768 in each patch.
SMALL_PART = np.s_[220:244, 260:290]


def read(name, part=np.s_[:]):
    """An example pair or a part of it, [H, W] uint8 each."""
    folders = (PAIRS / "ir", PAIRS / "vis")
    return [iio.imread(folder / f"{name}.png")[part] for folder in folders]


def summary(values):
    """Mean, standard deviation and some forty pixels of an image."""
    step = [math.ceil(side / n) for side, n in zip(values.shape, (6, 7), strict=True)]
    pixels = values[:: step[0], :: step[1]].ravel()
    # Seven digits of 0..510, and of 0..1, are more than single precision has.
    digits = 7 - len(str(int(np.abs(values).max())))
    return np.round([values.mean(), values.std(), *pixels], digits).tolist()


def cosine_dictionary():
    """256 atoms of 7x7, [49, 256]: products of cosines, the last of them at 15 / 2."""
    places, waves = np.mgrid[:7, :16]
    cosines = np.cos(places * waves * math.pi / 16)
    cosines -= cosines.mean(axis=0) * (waves[0] > 0)
    atoms = np.kron(cosines, cosines)
    return atoms / np.linalg.norm(atoms, axis=0)


def blended(ir, vis):
    """A fused image for the metrics: three parts of the lighter, one of the other."""
    lighter, darker = np.maximum(ir, vis), np.minimum(ir, vis)
    return ((3 * lighter.astype(int) + darker + 2) // 4).astype(np.uint8)


# Methods


def naive_deepfuse(ir, vis, weights):
    def convolve(maps, name, activation=True):
        return numpy_densefuse.convolution(maps, *weights[name], activation)

    maps = 0
    for image in (ir, vis):
        first = convolve(image.astype(float)[..., None], "conv1_1")
        maps = maps + convolve(first, "conv1_2", activation=False)
    for name in ("conv2_1", "conv2_2"):
        maps = convolve(maps, name)
    return convolve(maps, "conv2_3", activation=False)[..., 0]


def naive_cnn(ir, vis, weights):
    def convolve(maps, name):
        side = 3
        padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
        total = np.zeros((*maps.shape[:2], len(weights[f"{name}/bias"])))
        for i, j in np.ndindex(side, side):
            window = padded[i : i + maps.shape[0], j : j + maps.shape[1]]
            total += window @ weights[f"{name}/kernel"][i, j]
        return np.maximum(total + weights[f"{name}/bias"], 0)

    def branch(image):
        maps = convolve(convolve(image[..., None] / 255, "conv1"), "conv2")
        height, width, count = maps.shape
        blocks = maps.reshape(height // 2, 2, width // 2, 2, count)
        return convolve(blocks.max(axis=(1, 3)), "conv3")

    maps = np.concatenate([branch(ir), branch(vis)], axis=-1)
    rows, columns = maps.shape[0] - 7, maps.shape[1] - 7
    sums, counts = np.zeros(ir.shape), np.zeros(ir.shape)
    kernel = weights["score/kernel"]
    for y, x in np.ndindex(rows, columns):
        s1, s2 = np.einsum("ijc,ijck->k", maps[y : y + 8, x : x + 8], kernel)
        block = np.s_[2 * y : 2 * y + 16, 2 * x : 2 * x + 16]
        sums[block] += special.expit(s2 - s1)
        counts[block] += 1
    decisions = sums / counts > 0.5
    least = math.ceil(0.01 * ir.size)
    for value in (True, False):
        labels, count = ndimage.label(decisions == value, np.ones((3, 3)))
        for label in range(1, count + 1):
            if (labels == label).sum() < least:
                decisions[labels == label] = not value
    first, second, chosen = ir / 255, vis / 255, decisions.astype(float)
    guide = np.where(decisions, first, second)

    def mean(image):
        return test_wls.naive_mean(image, 8)

    covariance = mean(guide * chosen) - mean(guide) * mean(chosen)
    slope = covariance / (mean(guide**2) - mean(guide) ** 2 + 0.1)
    offset = mean(chosen) - slope * mean(guide)
    share = mean(slope) * guide + mean(offset)
    return first * share + second * (1 - share)


def eight_bits(method, raw):
    """The fused image of a raw result: halves are rounded up, as MATLAB rounds them."""
    levels = raw.astype(float)
    if method == "deepfuse":
        levels = (levels - levels.min()) / (levels.max() - levels.min())
    if method not in ("cbf", "dchwt"):
        levels = 255 * levels
    return np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)


def method_values(name):
    """The raw results by method, on the scale that its `raw` has."""
    from densefuse_tf.baselines import cnn_network
    from densefuse_tf.io import weights
    from densefuse_tf.model import deepfuse

    pair = read(name, PART)
    of_deepfuse = {}
    for key, variable in deepfuse.variables(deepfuse.load_autoencoder()).items():
        layer = key.split("/")[1]
        of_deepfuse.setdefault(layer, []).append(variable.numpy().astype(float))
    of_cnn = cnn_network.read_weights(weights.shipped("cnn.npz"))
    of_cnn = {key: value.astype(float) for key, value in of_cnn.items()}
    small, dictionary = read(name, SMALL_PART), cosine_dictionary()
    codes = test_jsr.naive_codes(small, dictionary)
    joint = {
        method: test_jsr.naive_jsr(
            codes,
            test_jsr.naive_weights(codes, saliency=method == "jsrsd"),
            dictionary,
        )
        for method in ("jsr", "jsrsd")
    }
    return joint | {
        "cbf": test_cbf.naive_cbf(*pair),
        "cnn": naive_cnn(*pair, of_cnn),
        "dchwt": test_dchwt.naive_dchwt(*pair),
        "deepfuse": naive_deepfuse(*pair, of_deepfuse),
        "gtf": test_gtf.naive_gtf(*pair, 4, 5),
        "wls": test_wls.naive_wls(*pair, 0.01),
    }


# Metrics


def entropy(image):
    shares = np.unique(image, return_counts=True)[1] / image.size
    return -(shares * np.log2(shares)).sum()


def information(source, fused, levels=256):
    """Mutual information in bits; levels=255 counts 255 as 254 in the joint counts."""
    joint = np.minimum(source, levels - 1) * 256.0 + np.minimum(fused, levels - 1)
    return entropy(source) + entropy(fused) - entropy(joint)


def relative_entropy(source, fused):
    total = 0.0
    for level in range(256):
        p, q = (source == level).mean(), (fused == level).mean()
        total += p * math.log2(p / q) if p and q else 0
    return total


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def metric_values(name):
    """The values by metric and convention."""
    ir, vis = pair = read(name, PART)
    fused = blended(ir, vis)
    whole = [image.astype(float) for image in (*pair, fused)]
    a, b, f = whole
    slopes = [
        math.hypot(test_ag.naive_slope(f[y], x), test_ag.naive_slope(f[:, x], y))
        for y, x in np.ndindex(*f.shape)
    ]
    padded = np.pad(f, 1, mode="edge")
    edges = [
        test_ei.naive_strength(padded[y : y + 3, x : x + 3])
        for y, x in np.ndindex(*f.shape)
    ]
    steps = [(np.diff(f, axis=axis) ** 2).sum() for axis in (1, 0)]
    height, width = f.shape
    counts = height * (width - 1), (height - 1) * width
    sf = math.sqrt(steps[0] / counts[0] + steps[1] / counts[1])
    errors = [((source - f) ** 2).mean() for source in (a, b)]
    mse = sum(errors) / 2 / 255**2
    vifb_error = sum(math.sqrt(e * f.size) / f.size for e in errors) / 2
    mi = sum(information(source, f) for source in (a, b))
    values = {
        "En": entropy(f),
        "SCD": correlation(f - b, a) + correlation(f - a, b),
        "SSIM_a": sum(test_ssim_a.naive_ssim(s, f) for s in (a, b)) / 2,
        "SSIM": sum(test_ssim_a.naive_ssim(s, f, border=0) for s in (a, b)),
        "MS_SSIM": test_ms_ssim.naive_ms_ssim(*whole),
        "MI": mi,
        "MI toolkit": sum(information(source, f, 255) for source in (a, b)),
        "MI authors": 2 * entropy(f),
        "MI vifb": mi * math.log(2),
        "SD": math.sqrt(((f - f.mean()) ** 2).mean()),
        "SD toolkit": test_sd.naive_toolkit(fused),
        "SF": sf,
        "SF toolkit": sf / 255,
        "SF vifb": math.sqrt(sum(steps) / f.size),
        "AG": np.mean(slopes) / math.sqrt(2),
        "AG toolkit": np.sum(slopes) / math.sqrt(2) / (height - 1) / (width - 1),
        "CC": (correlation(a, f) + correlation(b, f)) / 2,
        "VIF": sum(test_vif.naive_vif(source, f) for source in (a, b)),
        "MSE": mse,
        "PSNR": 10 * math.log10(1 / mse),
        "PSNR toolkit": 10 * math.log10(255**2 / mse),
        "PSNR vifb": 10 * math.log10(255**2 / vifb_error),
        "RMSE": sum(math.sqrt(error) for error in errors) / 2 / 255,
        "RMSE vifb": vifb_error,
        "CE": sum(relative_entropy(source, f) for source in (a, b)) / 2,
        "EI": np.mean(edges),
        "Qabf": test_qabf.naive_qabf(ir, vis, fused),
        "Qabf vifb": test_qabf.naive_qabf(ir, vis, fused, unit=1),
        "Nabf": test_nabf.naive_nabf(ir, vis, fused),
        "VIF toolkit": sum(
            test_vif.naive_vif(source, f, saturated=True) for source in (a, b)
        ),
    }
    values["AG vifb"] = values["AG toolkit"]
    for convention, label in (("intended", ""), ("vifb", " vifb")):
        images = (ir, vis, fused)
        values[f"Q_CB{label}"] = test_q_cb.naive_q_cb(images, convention)
        values[f"Q_CV{label}"] = test_q_cv.naive_q_cv(images, convention)
    for metric, feature in (
        ("FMI_w", test_fmi.naive_wavelet),
        ("FMI_dct", test_fmi.naive_cosine),
        ("FMI_pixel", test_edge.naive_edges),
    ):
        features = [feature(image / 255) for image in whole]
        values[metric] = test_windows.naive_scores(*features).mean()
    return {key: float(f"{value:.9g}") for key, value in values.items()}


def densefuse_values(name):
    """The raw outputs of the whole pair by checkpoint and strategy."""
    from densefuse_tf.model import checkpoints

    found = {}
    for checkpoint in CHECKPOINTS:
        model = checkpoints.load_autoencoder(checkpoint)
        weights = numpy_densefuse.weights_of(model)
        for strategy, function in STRATEGIES.items():
            raw = numpy_densefuse.fuse(weights, read(name), function)
            found[f"{checkpoint} {strategy}"] = raw
    return found


def main():
    lines = []
    for name in NAMES:
        found = {
            f"densefuse {k}": summary(v) for k, v in densefuse_values(name).items()
        }
        found |= {k: summary(v) for k, v in method_values(name).items()}
        found["metrics"] = metric_values(name)
        lines += [
            f'"{name} {key}": {json.dumps(value)}' for key, value in found.items()
        ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
