"""The metrics against values of ../shared that other codes gave for the same images."""

import json

import imageio.v3 as iio
import pytest

from densefuse_tf import metrics
from densefuse_tf.metrics import METRICS

CROPS = ("crop_pair1", "crop_pair8")
PUBLISHED = ("matlab_densefuse_05", "matlab_ifcnn_11", "matlab_seafusion_08")
AUTHORS = {
    "CBF": ("1", "5", "8", "11", "18", "20"),
    "WLS": ("1", "5", "8", "11", "18", "20"),
    "DCHWT": ("1", "8", "11", "20"),
}
VIFB_PAIRS = ("carLight", "fight", "labMan", "manCar", "snow", "walking2")
# The names of VIFB's files of values.
VIFB = {
    "Avg_gradient": "AG",
    "Cross_entropy": "CE",
    "Edge_intensity": "EI",
    "Entropy": "En",
    "Mutinf": "MI",
    "Psnr": "PSNR",
    "Qabf": "Qabf",
    "Qcb": "Q_CB",
    "Qcv": "Q_CV",
    "Rmse": "RMSE",
    "Spatial_frequency": "SF",
    "Ssim": "SSIM",
    "Variance": "SD",
}
# Absolute ones; MATLAB's values of the paper's metrics have ten digits.
TOLERANCES = {"MI": 1e-9, "VIF": 1e-8, "En": 1e-9, "SCD": 1e-9, "MS_SSIM": 1e-9}
TOLERANCES |= {"FMI_w": 1e-9, "FMI_dct": 1e-9, "FMI_none": 1e-9, "SSIM_a": 1e-9}


@pytest.fixture(scope="module")
def read(shared):
    """Reads a triplet, and the values by metric that a file has for it."""

    def triplet(name, file="expected"):
        folder = shared / "reference_metrics"
        images = []
        for part in ("infrared", "visible", "fused"):
            image = iio.imread(folder / name / f"{part}.png")
            # Some hold a grey image in three equal channels.
            images.append(image if image.ndim == 2 else image[..., 0])
        return images, json.loads((folder / f"{file}.json").read_text())[name]

    return triplet


def assert_equal(found, expected):
    for name, value in expected.items():
        tolerance = TOLERANCES.get(name, 1e-12)
        assert found[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("name", CROPS + PUBLISHED)
def test_the_metrics_of_table_2_have_the_values_of_matlab(read, name):
    images, expected = read(name)
    other_code = expected.pop("independent_implementation")
    expected.pop("source")
    found = metrics.evaluate(*images)
    found["FMI_none"] = metrics.fmi(*images, feature="none")
    assert other_code.keys() >= {"FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM"}
    assert_equal(found, expected)
    assert_equal(found, other_code)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_convention_toolkit_has_the_values_of_the_toolkit(read, name):
    images, expected = read(name, "toolkit")
    assert len(expected) == 8
    assert_equal(
        metrics.evaluate(*images, metrics="toolkit", convention="toolkit"), expected
    )


@pytest.mark.parametrize(
    ("method", "number"),
    [(method, number) for method in AUTHORS for number in AUTHORS[method]],
)
def test_values_are_those_that_authors_published_for_their_images(
    shared, method, number
):
    images = [
        iio.imread(shared / path)
        for path in (
            f"tno/IR{number}.png",
            f"tno/VIS{number}.png",
            f"methods/{method}/fused{number}.png",
        )
    ]
    text = (shared / "reference_metrics" / "authors.json").read_text()
    found = {
        "Nabf": metrics.nabf(*images),
        "FMI_pixel": metrics.fmi(*images, feature="edge"),
        "SSIMa": metrics.ssim_a(*images),
    }
    assert_equal(found, json.loads(text)[method][number])


@pytest.mark.parametrize("pair", ["03", "09", "16", "24", "31", "38"])
def test_densefuse_of_the_toolkit_has_its_published_values(shared, pair):
    """66 values of six of the toolkit's 42 images of DenseFuse."""
    folder = shared / "published" / "toolkit"
    images = [
        iio.imread(folder / part / f"{pair}.png") for part in ("ir", "vis", "densefuse")
    ]
    images = [image if image.ndim == 2 else image[..., 0] for image in images]
    text = (folder / "values.json").read_text()
    expected = json.loads(text)["images"][f"{pair}.png"]
    expected["En"] = expected.pop("EN")
    assert len(expected) == 11
    found = metrics.evaluate(*images, metrics="toolkit", convention="toolkit")
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", ["CBF", "GTF", "SeAFusion", "U2Fusion", "VSMWLS"])
@pytest.mark.parametrize("pair", VIFB_PAIRS)
def test_the_convention_vifb_has_the_values_of_vifb(shared, pair, method):
    """390 values, published with five digits."""
    folder = shared / "published" / "vifb"
    images = [
        iio.imread(folder / part / f"{pair}.jpg") for part in ("ir", "vis", method)
    ]
    published = json.loads((folder / "values.json").read_text())["values"]
    expected = {VIFB[name]: v for name, v in published[f"{pair}/{method}"].items()}
    found = metrics.evaluate(*images, metrics="vifb", convention="vifb")
    assert found == pytest.approx(expected, rel=5.5e-5)


# The sum of vifp(source, fused) of the package sewar 0.4.10, a port of vifp_mscale.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("matlab_densefuse_05", 0.5624711895806764),
        ("matlab_ifcnn_11", 0.4937349702832350),
        ("matlab_seafusion_08", 1.0137788758780300),
    ],
)
def test_vif_has_the_value_of_sewar(read, name, value):
    images, _ = read(name)
    assert METRICS["VIF"](*images) == pytest.approx(value, abs=1e-12)
