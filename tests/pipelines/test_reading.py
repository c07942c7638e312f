"""Sources of pairs as they are read, and radiometric JPEGs in the whole run."""

import numpy as np
import pytest
from skimage import transform

import densefuse_tf
from densefuse_tf import extras
from densefuse_tf import registration
from densefuse_tf.commands import fuse
from densefuse_tf.commands import register
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.io import images
from densefuse_tf.io import panels
from densefuse_tf.io import pixels
from densefuse_tf.pipelines import footage
from densefuse_tf.pipelines import reading
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.pipelines.settings import RegistrationSettings
from tests import image_bytes
from tests import radiometric_files

needs_flyr = pytest.mark.skipif(
    bool(extras.missing("flir")), reason="needs flyr: pip install '.[flir]'"
)
CELSIUS = np.linspace(10, 70, 30 * 40).reshape(30, 40)
# A thermal pixel is two of the photograph.
PHOTOGRAPH = np.kron(image_bytes.ramp(48, 64, 3), np.ones((2, 2, 1), np.uint8))
SHOWN = np.zeros((60, 80, 3), np.uint8) + np.uint8([200, 20, 90])
PLACING = (1.6, 4, -2)
EMBEDDED = FileOptions(embedded=True, infrared=True)
INFRARED = FileOptions(infrared=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """photos/ with a whole file, one without photograph, DJI's and one that is none."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    radiometric_files.write(photos / "a.jpg", SHOWN, CELSIUS, PHOTOGRAPH, PLACING)
    radiometric_files.write(photos / "b.jpg", SHOWN, CELSIUS)
    (photos / "c.jpg").write_bytes(radiometric_files.dji(SHOWN))
    images.write(photos / "d.jpg", SHOWN)
    return photos


@pytest.fixture
def found(monkeypatch):
    """Replaces the search by what the camera says; returns what it was called with."""
    calls = []

    def register(fixed, moving, **options):
        calls.append((fixed, moving, options))
        shapes = fixed.shape[:2], moving.shape[:2]
        guess = transform.SimilarityTransform(matrix=options["guess"])
        return registration.Registration(guess, "similarity", *shapes, 0.5, 0.1)

    monkeypatch.setattr(registration, "register", register)
    return calls


def run(*flags):
    return fuse.run(["fuse.py", "--ir=photos", "--method=wls", *flags])


@needs_flyr
def test_infrared_is_degrees_and_a_range_is_one_of_degrees(folder, caplog):
    paths = folder / "a.jpg", folder / "d.jpg"
    options = FileOptions(infrared=True, value_ranges=((20.0, 40.0), None))
    caplog.set_level("INFO", logger="absl")
    read = reading.read(paths, options)
    expected = (CELSIUS - 20) / 20 * 255
    np.testing.assert_allclose(read.sources[0], expected.clip(0, 255), atol=0.1)
    assert read.values == (20, 40, True)
    assert "a.jpg: 20..40 degrees Celsius brought to 0..255" in caplog.text
    # A source that is no infrared image is what viewers show.
    read = reading.read(paths[::-1], FileOptions(infrared=True))
    np.testing.assert_array_equal(read.sources[1], images.read(paths[0]))


@needs_flyr
def test_a_visible_image_of_its_own_is_registered_as_any(folder):
    images.write("vis.png", PHOTOGRAPH)
    read = reading.read((folder / "b.jpg", folder.parent / "vis.png"), INFRARED)
    assert read.sources[0].shape == CELSIUS.shape
    assert read.guess is None


@needs_flyr
def test_files_of_another_maker_are_what_viewers_show_and_a_line_says_so(
    folder, caplog
):
    read = reading.read((folder / "c.jpg", folder / "d.jpg"), INFRARED)
    np.testing.assert_array_equal(read.sources[0], images.read(folder / "c.jpg"))
    assert "c.jpg: has thermal data of DJI that are not read" in caplog.text


@needs_flyr
def test_the_photograph_is_the_visible_image(folder):
    read = reading.read((folder / "a.jpg",) * 2, EMBEDDED)
    assert [source.shape for source in read.sources] == [(30, 40), (96, 128, 3)]
    assert read.names[1] == f"the photograph in {folder / 'a.jpg'}"
    assert read.guess.fixed_shape == (96, 128)


@needs_flyr
def test_a_folder_fuses_what_is_whole_and_names_the_others(folder, found, capsys):
    assert run("--vis=embedded", "--output=fused") == 1
    said = capsys.readouterr().err
    for line in (
        "b.jpg: has temperatures of 30x40 pixels and no photograph",
        "c.jpg: has thermal data of DJI that are not read",
        "d.jpg: has no temperatures: expected a radiometric JPEG",
    ):
        assert said.count(line) == 1
    assert [path.name for path in (folder.parent / "fused").iterdir()] == ["a.png"]
    image = images.read("fused/a.png")
    # The thermal camera's field of view in pixels of the photograph, in its colours.
    assert image.ndim == 3
    assert 74 <= image.shape[1] <= 80 and 54 <= image.shape[0] <= 60
    (_, _, options), *_ = found
    assert options["model"] == "similarity"


@needs_flyr
def test_register_to_infrared_has_the_pixels_of_the_thermal_image(folder, found):
    flags = ("--vis=embedded", "--register_to=infrared", "--output=fused.png")
    assert run("--ir=photos/a.jpg", *flags) == 2
    assert fuse.run(["x", "--ir=photos/a.jpg", "--method=wls", *flags]) == 0
    assert images.read("fused.png").shape == (30, 40, 3)


@needs_flyr
def test_a_request_registers_and_keeps_colours_unless_it_says_otherwise():
    request = FusionRequest(("a.jpg",) * 2, "out", options=EMBEDDED)
    assert request.registration.register == "each"
    assert request.settings.color == "luma"
    given = RegistrationSettings(transform="t.json")
    request = FusionRequest(("a",) * 2, "o", options=EMBEDDED, registration=given)
    assert request.registration == given


def test_without_the_extra_false_colours_are_fused_and_one_line_says_so(
    folder, monkeypatch, caplog
):
    monkeypatch.setitem(extras._PACKAGES, "flir", {"no_flyr": "flyr"})
    images.write("vis/a.png", image_bytes.smooth(60, 80))
    images.write("vis/b.png", image_bytes.smooth(60, 80))
    for name in ("c.jpg", "d.jpg"):
        (folder / name).unlink()
    assert run("--vis=vis", "--output=fused") == 0
    lines = [line for line in caplog.messages if "flir" in line]
    assert len(lines) == 1
    assert "pip install '.[flir]'" in lines[0]


def test_without_the_extra_photographs_are_refused(folder, monkeypatch, capsys):
    monkeypatch.setitem(extras._PACKAGES, "flir", {"no_flyr": "flyr"})
    assert run("--vis=embedded", "--output=fused") == 2
    assert "--vis=embedded needs flyr" in capsys.readouterr().err


@needs_flyr
def test_a_video_of_photographs_is_refused(folder, capsys):
    assert run("--vis=embedded", "--output=fused.mp4") == 2
    assert "goes with images, not with a video" in capsys.readouterr().err


def test_a_photograph_that_is_missing_is_an_error(folder):
    with pytest.raises(UserError):
        reading.stored((folder / "d.jpg",) * 2, EMBEDDED)


@needs_flyr
def test_thermal_colours_have_a_scale_in_degrees(folder, found):
    flags = ("x", "--ir=photos/a.jpg", "--vis=embedded", "--method=wls")
    assert fuse.run([*flags, "--color=gray", "--output=gray.png"]) == 0
    flags = (*flags, "--color=thermal", "--palette=iron", "--ir_range=10,70")
    assert fuse.run([*flags, "--output=thermal.png"]) == 0
    assert fuse.run([*flags, "--scale", "--output=scale.png"]) == 0
    gray, thermal, scale = (
        images.read(f"{name}.png") for name in ("gray", "thermal", "scale")
    )
    assert np.abs(pixels.gray(thermal).astype(int) - gray).max() <= 1
    assert scale.shape[1] > thermal.shape[1]
    np.testing.assert_array_equal(scale[:, : thermal.shape[1]], thermal)
    expected = panels.with_scale(thermal, "iron", 10, 70, "°C")
    np.testing.assert_array_equal(scale, expected)


def test_scales_and_palettes_go_with_thermal_colours(folder, capsys):
    for flag in ("--scale", "--palette=iron"):
        assert run("--vis=photos", "--output=fused", flag) == 2
        line = f"{flag.partition('=')[0]} goes with --color=thermal"
        assert line in capsys.readouterr().err


@needs_flyr
def test_fuse_takes_the_path_of_a_photo(folder, found):
    flags = ("--vis=embedded", "--output=fused.png")
    assert fuse.run(["x", "--ir=photos/a.jpg", "--method=wls", *flags]) == 0
    image = densefuse_tf.fuse(folder / "a.jpg", method="wls")
    np.testing.assert_array_equal(image, images.read("fused.png"))
    gray = densefuse_tf.fuse("photos/a.jpg", method="wls", color="gray")
    np.testing.assert_array_equal(gray.shape, image.shape[:2])
    with pytest.raises(UserError, match=r"a list of images is .* or one photo"):
        densefuse_tf.fuse("photos/d.jpg")


@needs_flyr
def test_temperatures_have_the_size_of_an_aligned_image_and_not_of_the_header(folder):
    images.write("vis/a.png", image_bytes.ramp(30, 40))
    flags = ("x", "--ir=photos/a.jpg", "--vis=vis", "--method=wls")
    assert fuse.run([*flags, "--output=fused.png"]) == 0
    assert images.read("fused.png").shape == (30, 40)


@needs_flyr
def test_every_way_to_fuse_and_to_register_reads_the_temperatures(folder, capsys):
    """What densefuse-register saves is of the size that fuse.py aligns."""
    images.write("vis/a.png", image_bytes.ramp(30, 40))
    pair = folder / "a.jpg", "vis/a.png"
    flags = ("x", f"--ir={pair[0]}", "--vis=vis", "--method=wls")
    assert fuse.run([*flags, "--output=fused.png"]) == 0
    expected = images.read("fused.png")
    image = densefuse_tf.fuse(pair, method="wls")
    np.testing.assert_array_equal(image, expected)
    fuser = methods.build(methods.settings("wls"))
    np.testing.assert_array_equal(fuser.fuse(pair).image, expected)
    (folder.parent / "points.csv").write_text("0,0,0,0\n9,0,9,0\n9,9,9,9\n0,9,0,9\n")
    given = ("x", "--fixed=vis/a.png", f"--moving={pair[0]}", "--points=points.csv")
    assert register.run([*given, "--save_transform=rig.json"]) == 0
    assert registration.load("rig.json").moving_shape == CELSIUS.shape
    assert fuse.run([*flags, "--transform=rig.json", "--output=aligned.png"]) == 0
    assert register.run([*given, "--output=aligned.png"]) == 2
    assert "the image has float32 values" in capsys.readouterr().err


@needs_flyr
def test_frames_of_a_sequence_are_temperatures(folder, caplog):
    images.write("vis/a.png", image_bytes.ramp(30, 40))
    opened = footage.open_sources([folder / "a.jpg", "vis"], infrared=True)
    found = [next(source.frames()) for source in opened]
    np.testing.assert_allclose(found[0], CELSIUS, atol=0.01)
    assert found[1].shape == CELSIUS.shape
    # Others than infrared ones are what viewers show, as those of evaluate.py.
    with pytest.raises(UserError, match="60x80"):
        footage.open_sources([folder / "a.jpg", "vis"])
    footage.open_sources([folder / "c.jpg", folder / "d.jpg"], infrared=True)
    assert "c.jpg: has thermal data of DJI that are not read" in caplog.text


def test_without_the_extra_python_and_register_say_so(folder, monkeypatch, caplog):
    monkeypatch.setitem(extras._PACKAGES, "flir", {"no_flyr": "flyr"})
    images.write("vis.png", image_bytes.ramp(60, 80, 3))
    image = densefuse_tf.fuse([folder / "a.jpg", "vis.png"], method="wls")
    assert image.shape == (60, 80, 3)
    assert caplog.text.count("pip install '.[flir]'") == 1
