"""Other methods in the place of DenseFuse: their channels, colours and mistakes."""

import contextlib
import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import densefuse_tf
from densefuse_tf import baselines
from densefuse_tf import registration
from densefuse_tf.baselines.method import _METHODS
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.methods import MethodSettings
from densefuse_tf.fusion.settings import PALETTES
from densefuse_tf.io import images
from densefuse_tf.io import palettes
from densefuse_tf.io import pixels
from densefuse_tf.registration import transforms

SIZE = (40, 48)


def photograph(seed, channels=()):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, *channels), np.uint8)


@pytest.fixture
def blend(monkeypatch):
    """Registers a method "blend" that weighs the two images."""

    @dataclasses.dataclass(frozen=True)
    class Blend:
        """Weighs the two images."""

        weight: float = 0.25

        def fuse(self, ir, vis):
            check_pair(ir, vis, method="blend")
            baselines.check_not_constant(ir, vis, method="blend")
            return baselines.matlab_uint8(self.weight * ir + (1 - self.weight) * vis)

    monkeypatch.setitem(_METHODS, "blend", Blend)
    return Blend()


OWN = """
import dataclasses
import numpy as np
import densefuse_tf

@densefuse_tf.method("darker")
@dataclasses.dataclass(frozen=True)
class Darker:
    \"\"\"Takes the darker pixel.\"\"\"

    offset: int = 0

    def fuse(self, ir, vis):
        return np.minimum(ir, vis) + np.uint8(self.offset)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file that registers the method "darker"."""
    # The package's attribute `method` is the decorator.
    module = sys.modules["densefuse_tf.baselines.method"]
    monkeypatch.setattr(module, "_METHODS", dict(_METHODS))
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", ["cbf", "dchwt", "gtf", "wls"])
def test_a_grey_pair_gives_what_the_method_gives(name):
    ir, vis = photograph(0), photograph(1)
    fused = methods.build(MethodSettings(name)).fuse([ir, vis])
    np.testing.assert_array_equal(fused.image, baselines.create(name).fuse(ir, vis))
    np.testing.assert_array_equal(fused.raw, fused.image)


@pytest.mark.parametrize("color", ["auto", "gray"])
def test_a_method_that_takes_colour_gets_all_channels(blend, monkeypatch, color):
    shapes = []

    def fuse(self, ir, vis):
        check_pair(ir, vis, method="blend", takes_color=True)
        shapes.append(ir.shape)
        return vis

    monkeypatch.setattr(type(blend), "takes_color", True, raising=False)
    monkeypatch.setattr(type(blend), "fuse", fuse)
    ir, vis = photograph(0), photograph(1, (3,))
    fused = methods.build(MethodSettings("blend", color=color)).fuse([ir, vis]).image
    if color == "auto":
        np.testing.assert_array_equal(fused, vis)
    assert shapes == [(*SIZE, 3) if color == "auto" else SIZE]


@pytest.mark.parametrize("color", ["auto", "rgb"])
def test_colour_is_fused_channel_by_channel(blend, color):
    ir, vis = photograph(0), photograph(1, (3,))
    fused = methods.build(MethodSettings("blend", color=color)).fuse([ir, vis]).image
    expected = [blend.fuse(ir, vis[..., index]) for index in range(3)]
    np.testing.assert_array_equal(fused, np.stack(expected, axis=-1))


def test_luma_keeps_the_chroma_of_the_visible_image(blend):
    ir, vis = photograph(0), photograph(1, (3,))
    gray = methods.build(MethodSettings("blend", color="gray")).fuse([ir, vis]).image
    np.testing.assert_array_equal(gray, blend.fuse(ir, pixels.gray(vis)))
    luma = methods.build(MethodSettings("blend", color="luma")).fuse([ir, vis]).image
    ycbcr = pixels.to_ycbcr(vis.astype(np.float32))
    ycbcr[..., 0] = gray
    np.testing.assert_array_equal(luma, pixels.to_uint8(pixels.from_ycbcr(ycbcr)))


def test_thermal_is_the_fused_luma_in_a_palette_of_the_infrared_values(blend):
    ir, vis = photograph(0), photograph(1, (3,))
    gray, thermal = (
        methods.build(MethodSettings("blend", color=color, palette="iron"))
        .fuse([ir, vis])
        .image
        for color in ("gray", "thermal")
    )
    np.testing.assert_array_equal(thermal, palettes.shaded(gray, ir, "iron"))
    with pytest.raises(UserError, match="palette is 'hot': expected one of inferno"):
        MethodSettings("blend", palette="hot")


def test_palettes_are_those_that_there_are():
    """Settings name them without NumPy."""
    assert PALETTES == palettes.PALETTES


def test_luma_keeps_the_chroma_of_the_last_coloured_source(blend):
    first, last = photograph(0, (3,)), photograph(1, (3,))
    fuser = methods.build(MethodSettings("blend", color="luma"))
    # The visible one of two coloured sources gives them; if it is grey, the other.
    for pair, chroma in (([first, last], last), ([first, last[..., 0]], first)):
        grays = [pixels.gray(image) for image in pair]
        ycbcr = pixels.to_ycbcr(chroma.astype(np.float32))
        ycbcr[..., 0] = blend.fuse(*grays)
        expected = pixels.to_uint8(pixels.from_ycbcr(ycbcr))
        np.testing.assert_array_equal(fuser.fuse(pair).image, expected)


def test_more_than_8_bits_are_rounded_to_8(blend):
    ir, vis = photograph(0).astype(np.float32) + 0.3, photograph(1)
    deep = (vis.astype(np.uint16) - vis.min()) * 257
    fuser = methods.build(MethodSettings("blend", {"weight": "0.5"}))
    np.testing.assert_array_equal(
        fuser.fuse([np.minimum(ir, 255), vis]).image,
        fuser.fuse([photograph(0), vis]).image,
    )
    stretched = pixels.to_uint8(pixels.to_pixel_range(deep)[0])
    np.testing.assert_array_equal(
        fuser.fuse([photograph(0), deep]).image,
        fuser.fuse([photograph(0), stretched]).image,
    )


def test_images_that_cannot_be_fused_are_named(blend):
    flat = np.zeros(SIZE, np.uint8)
    fuser = methods.build(MethodSettings("blend"))
    with pytest.raises(UserError, match=r"^a\.png and b\.png: ir has the value 0 in"):
        fuser.fuse([flat, photograph(0)], names=["a.png", "b.png"])
    with pytest.raises(UserError, match=r"a\.png is 40x48 and b\.png is 40x47"):
        fuser.fuse([flat, photograph(0)[:, :-1]], names=["a.png", "b.png"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "soup"}, "unknown method 'soup'"),
        ({"method": "gtf", "options": {"mu": "1"}}, "method gtf has no option 'mu'"),
        ({"method": "gtf", "num_sources": 3}, "gtf fuses two sources: 3 are given"),
        ({"method": "gtf", "color": "pink"}, "color is 'pink'"),
        ({"method": "deepfuse", "options": {"checkpoint": "no.keras"}}, "no.keras: no"),
        ({"method": "cnn", "options": {"checkpoint": "no.npz"}}, "no.npz: "),
        ({"method": "jsrsd", "options": {"dictionary": "no.npy"}}, "no.npy: "),
    ],
)
def test_a_mistake_is_found_before_the_first_pair(settings, message):
    with pytest.raises(UserError, match=message):
        methods.build(MethodSettings(**settings))


def test_methods_without_a_network_need_no_tensorflow():
    code = (
        "import sys, numpy as np; from densefuse_tf.fusion import methods; "
        "settings = methods.MethodSettings('wls'); "
        "assert not settings.needs_tensorflow; "
        "pair = np.random.default_rng(0).integers(0, 256, (2, 40, 48), np.uint8); "
        "methods.build(settings).fuse(list(pair)); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert MethodSettings("cnn").needs_tensorflow


def test_densefuse_is_one_of_the_methods(checkpoint):
    assert methods.list_methods()[0] == "densefuse"
    assert methods.options("densefuse")[:2] == ("checkpoint", "strategy")
    assert not {"num_sources", "color"} & set(methods.options("densefuse"))
    pair = [photograph(0), photograph(1)]
    options = {"checkpoint": checkpoint, "strategy": "l1_norm", "window_radius": "0"}
    fused = methods.build(methods.settings(options=options)).fuse(pair).image
    expected = densefuse_tf.fuse(pair, checkpoint, strategy="l1_norm", window_radius=0)
    np.testing.assert_array_equal(fused, expected)


def test_fuse_takes_any_method_and_its_options(blend):
    ir, vis = photograph(0), photograph(1, (3,))
    for options in ({"weight": 0.5}, {"weight": "0.5"}):
        fused = densefuse_tf.fuse([ir, vis], method="blend", color="gray", **options)
        expected = dataclasses.replace(blend, weight=0.5).fuse(ir, pixels.gray(vis))
        np.testing.assert_array_equal(fused, expected)
    ir, vis = photograph(0), photograph(1)
    expected = baselines.create("gtf", {"lambda": 2.5}).fuse(ir, vis)
    for options in ({"lambda": 2.5}, {"lambda_": 2.5}):
        fused = densefuse_tf.fuse([ir, vis], method="gtf", **options)
        np.testing.assert_array_equal(fused, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "soup"}, "unknown method 'soup': expected one of densefuse, cbf,"),
        ({"method": "gtf", "mu": 1}, "gtf has no option 'mu': expected one of lambda"),
        ({"method": "gtf", "checkpoint": "1e2"}, "gtf has no option 'checkpoint'"),
        ({"method": "gtf", "color": "pink"}, "color is 'pink': expected one of auto"),
        ({"radius": 1}, "densefuse has no option 'radius': expected one of checkpoint"),
        ({"window_radius": "wide"}, "window_radius of method densefuse is 'wide'"),
        ({"window_radius": 1.5}, "window_radius is 1.5: expected a whole number"),
        ({"method": "gtf", "method_options": "mu=1"}, "'mu=1': expected a dict of opt"),
    ],
)
def test_fuse_says_which_options_a_method_has(arguments, message):
    with pytest.raises(UserError, match=message):
        densefuse_tf.fuse([photograph(0), photograph(1)], **arguments)


def test_a_method_of_the_user_fuses_by_its_name(own):
    assert methods.load(own) == ("darker",)
    assert methods.summary("darker") == "Takes the darker pixel."
    ir, vis = photograph(0), photograph(1)
    fused = densefuse_tf.fuse([ir, vis], method="darker", offset=1)
    np.testing.assert_array_equal(fused, np.minimum(ir, vis) + np.uint8(1))


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("1.5 * ir", r"an array of shape \[40, 48\], float64: expected .* \[40, 48\]"),
        ("ir[1:]", r"an array of shape \[39, 48\], uint8: expected an array of shape"),
        ("ir.tolist()", "a value of type list: expected an array of shape"),
    ],
)
def test_what_no_method_may_give_is_refused(own, channels, result, message):
    """Written into channels of 8 bits, values above 255 would wrap without a word."""
    own.write_text(re.sub("return .*", f"return {result}", OWN))
    methods.load(own)
    sources = [photograph(0, channels), photograph(1, channels)]
    with pytest.raises(UserError, match=f"ir and vis: method darker gives {message}"):
        densefuse_tf.fuse(sources, method="darker")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"darker"', '"gtf"', "line 6: ValueError: the fusion method 'gtf' is regist"),
        ('"darker"', '"densefuse"', "'densefuse' is registered already"),
        ("@dataclasses", "#", "TypeError: the class Darker is no dataclass"),
        ("@densefuse", "#", "registers no fusion method: expected a dataclass decor"),
    ],
)
def test_a_module_that_registers_no_method_is_refused(own, old, new, message):
    own.write_text(OWN.replace(old, new))
    with pytest.raises(UserError) as raised:
        methods.load(own)
    assert str(raised.value).startswith(f"method_module {own}: ")
    assert message in str(raised.value)


def test_fuse_takes_files_and_images_of_pillow(tmp_path):
    ir, vis = photograph(0), photograph(1, (3,))
    expected = densefuse_tf.fuse([ir, vis], method="dchwt")
    images.write(tmp_path / "ir.png", ir)
    Image.fromarray(vis).save(tmp_path / "vis.png")
    for given in (
        [tmp_path / "ir.png", str(tmp_path / "vis.png")],
        [Image.fromarray(ir), Image.fromarray(vis)],
        (ir, Image.open(tmp_path / "vis.png")),
    ):
        fused = densefuse_tf.fuse(given, method="DCHWT")
        np.testing.assert_array_equal(fused, expected)


class Tensor:
    """Has an array, or says why not, as the tensors of other libraries do."""

    def __init__(self, array=None):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        if self._array is None:
            raise TypeError("is on cuda:0:\ncopy the tensor first")
        return self._array


def test_fuse_takes_what_numpy_makes_an_array_of():
    ir, vis = photograph(0), photograph(1, (3,))
    expected = densefuse_tf.fuse([ir, vis], method="dchwt")
    fused = densefuse_tf.fuse([Tensor(ir), Tensor(vis)], method="dchwt")
    np.testing.assert_array_equal(fused, expected)
    with pytest.raises(UserError, match="0..1 found, 0..255 expected"):
        densefuse_tf.fuse([Tensor(ir / 255), vis])
    with pytest.raises(
        UserError, match="vis: is a Tensor that is no array: is on cuda:0: copy"
    ):
        densefuse_tf.fuse([ir, Tensor()])


def test_fuse_names_the_files_in_an_error(tmp_path):
    images.write(tmp_path / "vis.png", photograph(0)[1:])
    with pytest.raises(UserError, match=r"ir is 40x48 and .*vis\.png is 39x48"):
        densefuse_tf.fuse([photograph(0), tmp_path / "vis.png"], method="gtf")
    with pytest.raises(UserError, match=r"none\.png: cannot be read"):
        densefuse_tf.fuse([photograph(0), tmp_path / "none.png"])


@pytest.mark.parametrize("given", (5, __file__, photograph(0), None))
def test_fuse_says_what_to_give_where_no_list_is_given(given):
    with pytest.raises(UserError, match=r"expected: pass fuse\(\[infrared, visible\]"):
        densefuse_tf.fuse(given)


def test_fuse_says_that_a_photo_is_missing():
    with pytest.raises(UserError, match="^tpyo.jpg: no such file: expected one photo"):
        densefuse_tf.fuse("tpyo.jpg")


def test_options_of_a_method_are_given_by_name_as_well():
    pair = [photograph(0), photograph(1)]
    fused = densefuse_tf.fuse(pair, method="gtf", method_options={"lambda": 2.5})
    np.testing.assert_array_equal(
        fused, densefuse_tf.fuse(pair, method="gtf", lambda_=2.5)
    )


def test_a_preset_says_what_is_not_given():
    pair = [photograph(0), photograph(1, (3,))]
    camera = densefuse_tf.fuse(pair, preset="camera")
    expected = densefuse_tf.fuse(pair, strategy="l1_norm", color="luma")
    np.testing.assert_array_equal(camera, expected)
    given = densefuse_tf.fuse(pair, preset="camera", strategy="addition")
    expected = densefuse_tf.fuse(pair, color="luma")
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_array_equal(
        densefuse_tf.fuse(pair, method="dchwt", preset="camera"),
        densefuse_tf.fuse(pair, method="dchwt", color="luma"),
    )
    fuser = densefuse_tf.Fuser(preset="camera")
    np.testing.assert_array_equal(fuser.fuse(pair).image, camera)


def test_a_fuser_takes_settings_or_keywords():
    settings = densefuse_tf.FusionSettings("1e0")
    with pytest.raises(UserError, match="settings are given and keywords as well"):
        densefuse_tf.Fuser(settings, strategy="l1_norm")
    with pytest.raises(UserError, match='expected keywords, as Fuser\\(checkpoint="'):
        densefuse_tf.Fuser("1e0")


def test_fuse_registers_a_pair_first(blend, monkeypatch):
    infrared, visible = photograph(0), photograph(1, (3,))
    shift = transforms.of_matrix(
        np.array([[1.0, 0, 5], [0, 1, 3], [0, 0, 1]]), "affine"
    )

    def register(fixed, moving, *, names):
        assert fixed is visible and moving is infrared
        assert names == ("vis", "ir")
        return registration.Registration(shift, "affine", SIZE, SIZE)

    monkeypatch.setattr(registration, "register", register, raising=False)
    fused = densefuse_tf.fuse([infrared, visible], method="blend", register=True)
    aligned = [infrared[3:, 5:], visible[:-3, :-5]]
    np.testing.assert_array_equal(fused, densefuse_tf.fuse(aligned, method="blend"))


def test_fuse_says_why_it_cannot_register():
    pair = [photograph(0), photograph(1)]
    with pytest.raises(UserError, match="^ir and vis: not registered: "):
        densefuse_tf.fuse(pair, register=True)
    with pytest.raises(UserError, match="register takes two sources, infrared first"):
        densefuse_tf.fuse([*pair, photograph(2)], register=True)


@pytest.mark.parametrize(("beyond", "is_taken"), [(0.4, True), (0.6, False)])
def test_floats_beyond_0_to_255_by_arithmetic_alone_are_taken(beyond, is_taken):
    image = np.full((8, 8), 100, np.float32)
    image[0], image[1] = -beyond, 255 + beyond
    expected = contextlib.nullcontext()
    if not is_taken:
        expected = pytest.raises(
            UserError, match=r"ir has values of .*: expected 0..25"
        )
    with expected:
        densefuse_tf.fuse([image, image], method="cbf")
