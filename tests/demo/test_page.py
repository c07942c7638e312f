"""The page of densefuse-demo: its interface over HTTP, and in Chromium."""

import contextlib
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

import numpy as np
import pytest

from densefuse_tf import extras
from densefuse_tf.commands import demo
from densefuse_tf.commands import fuse
from densefuse_tf.demo import examples
from densefuse_tf.io import images
from tests import radiometric_files
from tests.registration.conftest import noisy
from tests.registration.conftest import scene

pytest.importorskip("gradio", reason="needs gradio: pip install '.[demo]'")
gradio_client = pytest.importorskip("gradio_client")
httpx = pytest.importorskip("httpx")

ROOT = pathlib.Path(__file__).resolve().parents[2]
HUT = examples.find()[0]
# Nothing of this runs for so long, a first fusion on a busy machine included.
PATIENCE = 120
# The page is started with a limit of 0.5 megapixels, and so one of 6 MB for uploads.
LIMIT = 0.5
CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def address(port):
    """Serves the page, and ends it as Ctrl-C does."""
    command = [sys.executable, "-m", "densefuse_tf.commands.demo"]
    flags = [f"--port={port}", f"--max_megapixels={LIMIT}"]
    with subprocess.Popen(
        [*command, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _, url, *_ = process.stdout.readline().split()
            yield url
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def client(address):
    return gradio_client.Client(
        address, verbose=False, download_files=tempfile.gettempdir()
    )


def ask(client, *pair, **settings):
    files = [gradio_client.handle_file(str(path)) for path in pair]
    return client.predict(*files, **settings, api_name="/fuse")


@pytest.mark.guard
def test_a_client_gets_the_bytes_of_the_command_line(client, tmp_path):
    image, metrics, command, *_ = ask(client, *HUT, strategy="l1_norm")
    output = tmp_path / "fused.png"
    flags = [f"--ir={HUT[0]}", f"--vis={HUT[1]}", f"--output={output}"]
    assert fuse.run(["fuse.py", *flags, "--strategy=l1_norm"]) == 0
    assert pathlib.Path(image).read_bytes() == output.read_bytes()
    assert "--strategy=l1_norm" in command
    assert "| FMI_w ↑ |" in metrics and "| MSE ↓ |" in metrics


def test_a_client_gets_the_librarys_message(client, tmp_path):
    images.write(tmp_path / "small.png", np.zeros((30, 40), np.uint8))
    # Sizes are width x height, and what solves it is a setting of the page.
    with pytest.raises(
        Exception, match="infrared image small.png is 40x30 and vis"
    ) as e:
        ask(client, tmp_path / "small.png", HUT[1])
    assert "tick &quot;Register the infrared image to the visible one" in str(e.value)


@pytest.mark.skipif(bool(extras.missing("flir")), reason="needs flyr")
def test_one_photo_of_a_camera_is_enough(client, tmp_path):
    seen = noisy(scene(1), 2)
    part = 255 - scene(1)[30:150, 40:200]
    celsius = noisy(part.reshape(60, 2, 80, 2).mean(axis=(1, 3)), 3) / 4
    placing = (1.5, 0, 0)
    path = radiometric_files.write(
        tmp_path / "photo.jpg", np.dstack([seen] * 3), celsius, seen, placing
    )
    ir = gradio_client.handle_file(str(path))
    settings = {"method": "dchwt", "color": "thermal", "scale": True}
    image, _, command, *_ = client.predict(ir, None, **settings, api_name="/fuse")
    assert "--vis=embedded" in command and "--scale" in command
    height, width = images.read(image).shape[:2]
    assert abs(height - 120) < 6
    # With the scale beside it.
    assert width > 170


def test_an_image_above_the_limit_is_refused(client, tmp_path):
    images.write(tmp_path / "large.png", np.zeros((800, 800), np.uint8))
    with pytest.raises(Exception, match="large.png: .*expected at most 500000"):
        ask(client, tmp_path / "large.png", HUT[1])


def test_an_upload_that_no_image_within_the_limit_needs_is_refused(address):
    answered = httpx.post(
        f"{address}gradio_api/upload",
        files={"files": ("large.png", bytes(int(12e6 * LIMIT) + 1))},
        timeout=PATIENCE,
    )
    assert answered.status_code == 413


def upload(address, path):
    with open(path, "rb") as file:
        answered = httpx.post(
            f"{address}gradio_api/upload",
            files={"files": (path.name, file)},
            timeout=PATIENCE,
        )
    return answered.json()[0]


def error_of(address, infrared, visible):
    """Fuses two files of the server; returns what the page answers."""
    files = [
        {"path": str(path), "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
        for path in (infrared, visible)
    ]
    settings = ["densefuse", "addition", "1e2", "minmax", "auto", "", "", False]
    begun = httpx.post(
        f"{address}gradio_api/call/fuse",
        json={"data": [*files, *settings, "float32", "inferno", False]},
        timeout=PATIENCE,
    )
    said = httpx.get(
        f"{address}gradio_api/call/fuse/{begun.json()['event_id']}", timeout=PATIENCE
    )
    kind, data = said.text.strip().split("\n\n")[-1].split("\n")
    assert kind == "event: error"
    return json.loads(data.removeprefix("data: "))["error"]


def test_an_upload_that_is_no_longer_there_is_named(address):
    paths = [upload(address, path) for path in HUT]
    pathlib.Path(paths[1]).unlink()
    line = "visible image hut.png: is no longer here: the page keeps a file for an hour"
    assert error_of(address, *paths).startswith(line)


def test_a_file_that_was_not_uploaded_is_not_read(address, tmp_path):
    images.write(tmp_path / "own.png", np.zeros((60, 80), np.uint8))
    # Gradio refuses it before the page hears of it.
    assert error_of(address, tmp_path / "own.png", upload(address, HUT[1])) is None


@pytest.mark.parametrize(
    "header",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
)
def test_only_the_page_itself_asks(address, header):
    for method, path in (("GET", ""), ("POST", "gradio_api/upload"), ("GET", "config")):
        answered = httpx.request(method, f"{address}{path}", headers=header)
        assert answered.status_code == 403
    answered = httpx.get(address)
    assert answered.status_code == 200
    assert "frame-ancestors 'none'" in answered.headers["Content-Security-Policy"]


def test_only_this_machine_is_listened_to(capsys):
    assert demo.run(["densefuse-demo", "--host=0.0.0.0"]) == 2
    assert "--host=0.0.0.0: expected a loopback address" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused(address, port, capsys):
    assert demo.run(["densefuse-demo", f"--port={port}"]) == 2
    assert f"--port={port}: cannot be used on 127.0.0.1" in capsys.readouterr().err


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless Chromium; its downloads go to `chromium.downloads`."""
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromedriver, not here")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in CHROMIUM:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(downloads)}
    )
    service = webdriver.ChromeService(programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    driver.downloads = downloads
    yield driver
    driver.quit()


class Page:
    """The page in a browser: elements by CSS, waited for."""

    def __init__(self, driver, address):
        self.driver = driver
        driver.get(address)
        self.wait_for("#examples tbody tr")

    def wait(self, condition, what):
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(StaleElementReferenceException):
                # The page may draw anew what has just been found.
                if found := condition():
                    return found
            time.sleep(0.05)
        raise AssertionError(f"{what}: still missing")

    def wait_for(self, css):
        return self.wait(lambda: self.driver.find_elements("css selector", css), css)[0]

    def click(self, css):
        element = self.wait_for(css)
        script = "arguments[0].scrollIntoView({block: 'center'})"
        self.driver.execute_script(script, element)
        self.wait(lambda: self._clicked(element), f"a click on {css}")

    def _clicked(self, element):
        """Clicks, unless what is laid out is not yet where it stays."""
        from selenium.common.exceptions import ElementClickInterceptedException

        with contextlib.suppress(ElementClickInterceptedException):
            element.click()
            return True

    def all(self, css):
        return [
            element
            for element in self.driver.find_elements("css selector", css)
            if element.is_displayed()
        ]

    def set(self, css):
        self.driver.execute_script("arguments[0].click()", self.wait_for(css))

    def text(self, css):
        return self.wait_for(css).text

    def choose_example(self, row=1):
        self.click(f"#examples tbody tr:nth-child({row})")
        self.wait_for("#infrared_preview img")
        self.wait_for("#visible_preview img")

    def upload(self, infrared, visible):
        for kind, path in (("infrared", infrared), ("visible", visible)):
            self.wait_for(f"#{kind} input[type=file]").send_keys(str(path))

    def fuse(self):
        self.click("#fuse")
        self.wait_for("#fused img")
        self.wait(lambda: "SSIM" in self.text("#metrics"), "metrics")

    def download(self, css, name):
        path = self.driver.downloads / name
        path.unlink(missing_ok=True)
        self.click(css)
        return self.wait(lambda: path if path.exists() else None, name)

    def show_tab(self, name):
        tabs = self.driver.find_elements("css selector", "[role=tab]")
        tab = next(tab for tab in tabs if tab.text == name)
        self.driver.execute_script("arguments[0].click()", tab)


@pytest.fixture
def page(chromium, address):
    return Page(chromium, address)


@pytest.mark.guard
def test_an_example_is_fused_compared_and_downloaded(page):
    page.choose_example()
    page.fuse()
    assert "En ↑" in page.text("#metrics")
    assert "--ir=ir/hut.png" in page.text("#command")
    image = images.read(page.download("#image_file", "fused.png"))
    assert image.shape == images.read(HUT[0]).shape
    settings = json.loads(page.download("#settings_file", "settings.json").read_text())
    assert settings["infrared"] == "hut.png" and settings["method"] == "densefuse"
    page.show_tab("Maps")
    page.wait(
        lambda: len(page.driver.find_elements("css selector", "[id^=map_] img")) == 4,
        "four maps",
    )


@pytest.mark.guard
def test_the_slider_moves(page):
    from selenium.webdriver import ActionChains

    page.choose_example(2)
    page.fuse()
    page.show_tab("Infrared")
    handle = page.wait_for("#infrared_slider .outer")
    page.wait(lambda: handle.is_displayed(), "slider")
    before = handle.rect["x"]
    ActionChains(page.driver).drag_and_drop_by_offset(handle, 100, 0).perform()
    page.wait(lambda: 90 < handle.rect["x"] - before < 110, "another position")


@pytest.mark.guard
def test_two_files_are_uploaded_and_a_mistake_is_the_pages_message(page, tmp_path):
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (60, 80), np.uint8)
        images.write(tmp_path / name, pixels)
    page.upload(tmp_path / "a.png", tmp_path / "b.png")
    page.wait_for("#visible_preview img")
    page.fuse()
    assert "--ir=a.png" in page.text("#command")
    assert "80x60 pixels" in page.text("#status")
    page.click("#visible [aria-label=Clear]")
    page.wait(
        lambda: not page.driver.find_elements("css selector", "#visible .filename"),
        "no file",
    )
    page.click("#fuse")
    message = "the visible image is missing: expected two images"
    page.wait(lambda: message in page.text(".toast-body"), "message")
    # The result before the mistake is not left on the page, and it is said once.
    assert page.text("#status") == ""
    assert len(page.all(".toast-body")) == 1
    assert not page.all("#results .error")


@pytest.mark.guard
def test_a_result_of_other_settings_is_marked(page):
    page.choose_example()
    page.fuse()
    page.wait(lambda: not page.all("#old"), "no mark")
    page.set("#strategy input[value=l1_norm]")
    page.wait(lambda: "other settings" in page.text("#old"), "a mark")
    page.click("#preset_paper")
    page.wait(lambda: not page.all("#old"), "no mark")
    page.choose_example(2)
    page.wait(lambda: page.all("#old"), "a mark")


@pytest.mark.guard
def test_a_preset_sets_and_each_strategy_has_a_line_of_help(page):
    page.choose_example()
    page.click("#preset_camera")
    page.wait(
        lambda: page.wait_for("#strategy input[value=l1_norm]").is_selected(),
        "the strategy of the preset",
    )
    page.fuse()
    assert "--strategy=l1_norm" in page.text("#command")
    assert "--color=luma" in page.text("#command")
    lines = page.text("#strategy").splitlines()
    assert "addition: Adds the feature maps, Eq. 4" in lines
    assert "l1_norm: Weighs the feature maps by their l1-norm, Eq. 5-7" in lines


@pytest.mark.guard
def test_a_slow_method_is_cancelled_and_nobody_waits_for_it(page, client):
    page.choose_example()
    page.click("#method input")
    page.wait_for("#method [role=option][aria-label=jsr]").click()
    page.click("#fuse")
    page.wait(lambda: "fusing with jsr" in page.text("#status"), "the method")
    assert not page.wait_for("#fuse").is_enabled()
    image, *_ = ask(client, *HUT)
    assert pathlib.Path(image).exists()
    assert not page.wait_for("#fuse").is_enabled()
    page.click("#cancel")
    page.wait(lambda: page.text("#status") == "Cancelled.", "the end")
    page.wait(lambda: page.wait_for("#fuse").is_enabled(), "another request")
    assert not page.all("#cancel")
    assert not page.all(".toast-body")


@pytest.mark.guard
def test_a_hot_spot_is_left_out_by_a_button(page, tmp_path):
    values = np.random.default_rng(0).integers(7000, 7100, (60, 80), np.uint16)
    values[10:12, 10:12] = 60000 + 37 * np.arange(4).reshape(2, 2)
    images.write(tmp_path / "ir.tif", values)
    images.write(tmp_path / "vis.png", (values - 7000).astype(np.uint8))
    page.upload(tmp_path / "ir.tif", tmp_path / "vis.png")
    page.wait_for("#visible_preview img")
    page.fuse()
    assert "its extremes" in page.text("#status")
    page.click("#outliers")
    page.wait(lambda: page.all("#old"), "another setting")
    page.fuse()
    page.wait(lambda: not page.all("#outliers"), "no warning")
    assert "--ir_range=1%,99%" in page.text("#command")


@pytest.mark.guard
def test_nothing_is_asked_of_another_machine(page):
    page.choose_example()
    page.fuse()
    asked = set()
    for entry in page.driver.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked.add(urllib.parse.urlsplit(event["params"]["request"]["url"]))
    # Others, as chrome and data, are the browser's own and leave no machine.
    asked = {url for url in asked if url.scheme in ("http", "https", "ws", "wss")}
    assert {url.hostname for url in asked} == {"127.0.0.1"}


@pytest.mark.guard
def test_nothing_is_wider_than_a_telephone(page):
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        page.choose_example()
        page.fuse()
        width = page.driver.execute_script(
            "return document.documentElement.scrollWidth"
        )
        assert width == 390
        for name in ("Fused", "Infrared", "Visible", "Maps"):
            page.show_tab(name)
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
