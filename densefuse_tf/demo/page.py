"""Lays out the page of densefuse-demo with Gradio."""

import contextlib
import html
import inspect
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import fastapi
import gradio as gr
from PIL import Image
from PIL import ImageDraw

import densefuse_tf
from densefuse_tf import metrics
from densefuse_tf.demo.engine import REGISTER
from densefuse_tf.demo.engine import Answer
from densefuse_tf.demo.engine import Engine
from densefuse_tf.demo.jobs import Jobs
from densefuse_tf.demo.jobs import told
from densefuse_tf.demo.request import Request
from densefuse_tf.demo.server import Folder
from densefuse_tf.demo.server import Guard
from densefuse_tf.demo.server import Server
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.fusion.settings import PALETTES
from densefuse_tf.fusion.settings import PRECISIONS
from densefuse_tf.io import formats
from densefuse_tf.io import radiometric
from densefuse_tf.model import checkpoints
from densefuse_tf.model import strategies

# Every so often files that are this old are deleted; in seconds.
_CLEANING = (600, 3600)
_HIDDEN = gr.update(visible=False)
# So many requests are looked after at a time; those of one line wait for each other.
_CONCURRENT = 32
# Bytes of a pixel at most: three channels of float32.
_BYTES_PER_PIXEL = 12
_LEAST_UPLOAD = 2**20
_LAMBDAS = [(f"{weight:g}", name) for name, weight in checkpoints.SSIM_WEIGHTS.items()]
_OUTLIERS = "1%,99%"
_RANGES: list[str | int | float | tuple[str, str | int | float]] = [
    ("as it is (8 bits) or auto", ""),
    "auto",
    _OUTLIERS,
]
_LEGENDS = {
    "activity": "Activity level maps (Eq. 6): from black, none, to light yellow, the "
    "greatest of both images",
    "weight": "Weights of l1_norm (Eq. 7): from blue, 0, over white, 1/2, to red, 1",
}
_DOCUMENTS = "https://doi.org/10.1109/TIP.2018.2887342"
_FOOTER = (
    f"DenseFuse {densefuse_tf.__version__} · Apache License 2.0 · "
    f"[the paper]({_DOCUMENTS}) · documents: docs/index.md of the project"
)
# The page's own fonts are those of the system: Gradio's would be fetched.
_THEME = gr.themes.Default(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
_CSS = """
#layout {
  display: grid; align-items: start;
  grid-template: "inputs results" auto "settings results" 1fr / 2fr 3fr;
}
#layout > * {min-width: 0 !important}
#inputs {grid-area: inputs}
#settings {grid-area: settings}
#results {grid-area: results}
#results:has(#old) :is(#fused, [id$=_slider], #metrics) {opacity: 0.4}
/* The message is said once, by the toast. */
#fused .error {display: none}
.file-preview .download {display: none}
.file-preview .filename {padding-left: 0 !important}
#metrics table {display: table; width: 100%; font-size: 0.9em}
#metrics td, #metrics th {padding: 2px 8px; border-color: var(--border-color-primary)}
#metrics td:not(:last-child), #metrics th {white-space: nowrap; word-break: normal}
@media (max-width: 640px) {
  #layout {grid-template: "inputs" auto "results" auto "settings" auto / 1fr}
  fieldset label {padding: 6px 8px !important}
}
"""


def build(
    running: Jobs, examples: Sequence[Sequence[pathlib.Path]], folder: Folder
) -> gr.Blocks:
    """Builds the page, which offers examples, (infrared, visible) each.

    The folder is the one that Gradio keeps uploads and results in.
    """
    with gr.Blocks(
        title="DenseFuse", analytics_enabled=False, delete_cache=_CLEANING
    ) as page:
        gr.Markdown(
            "# DenseFuse\nFuses an infrared and a visible image of one scene. Choose "
            "an example or two files, or one photo of a FLIR camera as the infrared "
            "image, then **Fuse**."
        )
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="inputs"):
                files = _files(running.engine, examples)
            with gr.Column(elem_id="results"):
                outputs = _Outputs()
            with gr.Column(elem_id="settings"):
                settings, ranges = _settings()
        gr.Markdown(_FOOTER, elem_id="footer")
        inputs: list[Any] = [*files, *settings]

        # The names of the parameters are those that a client of the page's interface
        # gives.
        def fuse(
            ir,
            vis,
            method,
            strategy,
            checkpoint,
            output_range,
            color,
            ir_range,
            vis_range,
            register,
            precision=Request.precision,
            palette=Request.palette,
            scale=Request.scale,
        ) -> Iterator[dict]:
            others = (color, ir_range, vis_range, register, precision, palette, scale)
            values = (ir, vis, method, strategy, checkpoint, output_range, *others)
            yield from _fuse(running, folder, outputs, values)

        def begin(shown):
            return {
                outputs.button: gr.update(interactive=False),
                outputs.cancel: gr.update(visible=True),
                outputs.old: gr.update(visible=shown is not None),
            }

        def end():
            return {
                outputs.button: gr.update(interactive=True),
                outputs.cancel: gr.update(visible=False),
            }

        def compare(shown, *values):
            """Marks a result that other settings gave."""
            return gr.update(visible=shown is not None and shown != _key(values))

        quiet: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "queue": False,
        }
        marks = ([outputs.shown, *inputs], outputs.old)
        buttons = [outputs.button, outputs.cancel]
        outputs.outliers.click(lambda: [_OUTLIERS] * len(ranges), None, ranges, **quiet)
        outputs.button.click(begin, outputs.shown, [*buttons, outputs.old], **quiet)
        fused = outputs.button.click(
            fuse,
            inputs,
            outputs.all,
            api_name="fuse",
            show_progress="minimal",
            show_progress_on=outputs.fused,
            concurrency_limit=_CONCURRENT,
        )
        fused.then(end, None, buttons, **quiet).then(compare, *marks, **quiet)
        outputs.cancel.click(
            lambda: {**end(), outputs.status: "Cancelled."},
            None,
            [*buttons, outputs.status],
            cancels=[fused],
            **quiet,
        ).then(compare, *marks, **quiet)
        gr.on([each.change for each in inputs], compare, *marks, **quiet)
    page.queue(max_size=2 * _CONCURRENT)
    return page


def launch(
    page: gr.Blocks,
    *,
    host: str,
    port: int,
    max_pixels: int,
    examples: Sequence[Sequence[pathlib.Path]],
    folder: Folder,
    icon: pathlib.Path,
) -> "tuple[Server, str]":
    """Serves the page in threads of its own, on this machine alone.

    Args:
      page: From `build`.
      host: The address of this machine to listen on.
      port: The port, which has to be free.
      max_pixels: The largest image; uploads that could not be one are refused.
      examples: As `build` took them, like the next one.
      folder: Refuses an upload for which it has no room.
      icon: Where the page's icon is written.

    Returns:
      What serves, and the page's address.
    """
    _draw_icon(icon)
    app = fastapi.FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        app,
        page,
        "/",
        server_name=host,
        server_port=port,
        max_file_size=upload_limit(max_pixels),
        allowed_paths=[str(path) for pair in examples for path in pair],
        theme=_THEME,
        css=_CSS,
        favicon_path=str(icon),
        # What a user need not see is in the terminal.
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )
    # Until it is, Gradio lets a client name any file that the page may read.
    page.has_launched = True
    server = Server(Guard(app, host, folder), host, port)
    name = f"[{host}]" if ":" in host else host
    return server, f"http://{name}:{port}/"


def upload_limit(max_pixels: int) -> int:
    """Returns the size of the largest upload, in bytes."""
    return max(_LEAST_UPLOAD, _BYTES_PER_PIXEL * max_pixels)


def _draw_icon(path: pathlib.Path) -> None:
    """Draws two discs, of which the common part is bright."""
    both = []
    for x in (2, 22):
        disc = Image.new("L", (64, 64))
        ImageDraw.Draw(disc).ellipse((x, 12, x + 40, 52), fill=255)
        both.append(disc)
    red, blue = both
    green = Image.new("L", (64, 64))
    green.paste(red, mask=blue)
    mask = Image.new("L", (64, 64))
    for disc in both:
        mask.paste(disc, mask=disc)
    Image.merge("RGBA", (red, green, blue, mask)).save(path)


def _files(engine: Engine, examples: Sequence) -> list[gr.File]:
    """Lays out the choice of the two images."""
    files, previews = [], []
    with gr.Row():
        for kind in ("Infrared", "Visible"):
            with gr.Column(min_width=140):
                files.append(
                    gr.File(
                        label=kind,
                        file_types=list(formats.READ),
                        height=124,
                        elem_id=kind.lower(),
                    )
                )
                previews.append(
                    gr.Image(
                        show_label=False,
                        interactive=False,
                        buttons=[],
                        height=150,
                        visible=False,
                        alt_text=f"The {kind.lower()} image",
                        elem_id=f"{kind.lower()}_preview",
                    )
                )

    def preview(file):
        if file is None:
            return gr.update(value=None, visible=False)
        with _as_message():
            picture = engine.preview(pathlib.Path(file))
        return gr.update(value=picture, visible=True)

    for file, picture in zip(files, previews, strict=True):
        file.change(
            preview, file, picture, show_progress="hidden", api_visibility="private"
        )
    if examples:
        pictures = [gr.Image(label=file.label, render=False) for file in files]
        dataset = gr.Dataset(
            label="Examples",
            components=pictures,
            samples=[[str(path) for path in pair] for pair in examples],
            type="index",
            elem_id="examples",
        )
        dataset.click(
            lambda index: [str(path) for path in examples[index]],
            dataset,
            files,
            show_progress="hidden",
            api_visibility="private",
        )
    return files


def _settings() -> tuple[list[Any], list[gr.Dropdown]]:
    """Lays out the settings in the order of the fields of `Request`.

    Returns:
      All of them, and those of the value ranges.
    """
    method = gr.Dropdown(
        list(methods.list_methods()),
        value=Request.method,
        label="Method",
        info=methods.summary(Request.method),
        elem_id="method",
    )
    with gr.Group() as of_maps:
        strategy = gr.Radio(
            list(strategies.list_strategies()),
            value=Request.strategy,
            label="Strategy",
            info=_help(Request.strategy),
            elem_id="strategy",
        )
        checkpoint = gr.Radio(
            _LAMBDAS,
            value=Request.checkpoint,
            label="Lambda of the training loss",
            info="The weight of SSIM beside the pixels' error when the model was "
            "trained. The four models differ little.",
        )
        output_range = gr.Radio(
            list(OUTPUT_RANGES),
            value=Request.output_range,
            label="Output range",
            info="minmax spreads the result over black to white, average keeps the "
            "sources' brightness, clip cuts the decoder's output off at 0 and 255.",
        )
        precision = gr.Radio(
            list(PRECISIONS),
            value=Request.precision,
            label="Precision",
            info="bfloat16 is quicker where the processor has it, and less exact.",
            render=False,
        )

    def choose(name):
        shown = methods.settings_class(name).fuses_maps
        return gr.update(info=methods.summary(name)), gr.update(visible=shown)

    method.input(
        choose,
        method,
        [method, of_maps],
        show_progress="hidden",
        api_visibility="private",
    )
    strategy.input(
        lambda name: gr.update(info=_help(name)),
        strategy,
        strategy,
        show_progress="hidden",
        api_visibility="private",
    )
    with gr.Accordion("Colour, value ranges, registration, precision", open=False):
        color = gr.Radio(
            list(COLOR_MODES),
            value=Request.color,
            label="Colour",
            info="rgb fuses each channel, luma keeps the visible image's colours, "
            "thermal shows by a palette how warm it is.",
            elem_id="color",
        )
        with gr.Group(visible=False) as of_thermal:
            palette = gr.Dropdown(
                list(PALETTES),
                value=Request.palette,
                label="Palette",
                info="In the first five equal steps look equal.",
                elem_id="palette",
            )
            scale = gr.Checkbox(label="Draw a scale beside it", elem_id="scale")
        color.change(
            lambda name: gr.update(visible=name == "thermal"),
            color,
            of_thermal,
            show_progress="hidden",
            api_visibility="private",
        )
        ranges = [
            gr.Dropdown(
                _RANGES,
                value="",
                allow_custom_value=True,
                label=f"{kind} values that become 0 and 255",
                info="Or MIN,MAX, as in 7000,9000; or two percentiles.",
                elem_id=f"{kind.lower()}_range",
            )
            for kind in ("Infrared", "Visible")
        ]
        register = gr.Checkbox(label=REGISTER, elem_id="register")
        precision.render()
    settings = [method, strategy, checkpoint, output_range, color, *ranges]
    return [*settings, register, precision, palette, scale], ranges


def _help(strategy: str) -> str:
    """Returns the first line of a strategy's docstring."""
    function = strategies.get(strategy).function
    return (inspect.getdoc(function) or "").partition("\n")[0]


class _Outputs:
    """Lays out the buttons and what is answered."""

    def __init__(self):
        with gr.Row():
            self.button = gr.Button("Fuse", variant="primary", elem_id="fuse")
            self.cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
        # What the result that is shown was made of.
        self.shown = gr.State()
        self.old = gr.Markdown(
            "**This result was made with other settings or images.**",
            visible=False,
            elem_id="old",
        )
        self.status = gr.Markdown("", elem_id="status")
        self.outliers = gr.Button(
            f"Leave outliers out: apply {_OUTLIERS} to both ranges",
            visible=False,
            size="sm",
            elem_id="outliers",
        )
        with gr.Tabs():
            with gr.Tab("Fused"):
                self.fused = gr.Image(
                    show_label=False,
                    format="png",
                    interactive=False,
                    buttons=["fullscreen"],
                    alt_text="The fused image",
                    elem_id="fused",
                )
            self.compared = []
            for kind in ("Infrared", "Visible"):
                with gr.Tab(kind):
                    self.compared.append(
                        gr.ImageSlider(
                            label=f"{kind.lower()} | fused",
                            format="png",
                            interactive=False,
                            buttons=["fullscreen"],
                            elem_id=f"{kind.lower()}_slider",
                        )
                    )
            with gr.Tab("Maps"):
                self.maps = []
                for what, legend in _LEGENDS.items():
                    gr.Markdown(legend)
                    with gr.Row():
                        for kind in ("infrared", "visible"):
                            self.maps.append(
                                gr.Image(
                                    label=kind,
                                    format="png",
                                    interactive=False,
                                    buttons=["fullscreen"],
                                    min_width=150,
                                    alt_text=f"The {what} map of the {kind} image",
                                    elem_id=f"map_{what}_{kind}",
                                )
                            )
        with gr.Row():
            self.image_file = gr.DownloadButton(
                "Download image", size="md", interactive=False, elem_id="image_file"
            )
            self.settings_file = gr.DownloadButton(
                "Download settings",
                size="md",
                interactive=False,
                elem_id="settings_file",
            )
        self.metrics = gr.Markdown("", elem_id="metrics")
        self.same = gr.Accordion("The same from a shell and in Python", visible=False)
        with self.same:
            self.command = gr.Code(
                language="shell",
                label="In the folder of the images",
                wrap_lines=True,
                show_line_numbers=False,
                interactive=False,
                elem_id="command",
            )
            self.program = gr.Code(
                language="python",
                show_label=False,
                wrap_lines=True,
                show_line_numbers=False,
                interactive=False,
                elem_id="program",
            )

    @property
    def all(self) -> list:
        """Returns all components, those that a client wants first."""
        return [
            *(self.fused, self.metrics, self.command, self.program, self.status),
            *(*self.compared, *self.maps, self.image_file, self.settings_file),
            *(self.same, self.outliers, self.old, self.shown),
        ]


def _fuse(
    running: Jobs, folder: Folder, outputs: _Outputs, values: Sequence[Any]
) -> Iterator[dict]:
    """Shows the fused image, then the maps, then the metrics."""
    try:
        request = _request(values)
        with (
            folder.using(*request.files),
            contextlib.closing(running.run(request)) as steps,
        ):
            folder.make_room()
            shown: dict[Any, Any] = {}
            for step in steps:
                if isinstance(step, str):
                    yield (
                        {outputs.status: step} if not shown else {outputs.old: _HIDDEN}
                    )
                    continue
                if isinstance(step, Answer):
                    shown = _shown(outputs, step, _key(values))
                elif isinstance(step, list):
                    shown |= zip(outputs.maps, map(str, step), strict=False)
                else:
                    shown[outputs.metrics] = _table(step)
                # A client gets the whole answer with its last part.
                yield shown
            folder.make_room()
    except Exception as error:
        # What is left of an earlier answer would be taken for this one's.
        yield _nothing(outputs)
        raise _message(error) from error


def _request(values: Sequence[Any]) -> Request:
    ir, vis, *others = values
    if ir is None:
        raise UserError("the infrared image is missing: expected two images")
    if vis is None and not radiometric.maker(ir):
        raise UserError(
            "the visible image is missing: expected two images, or as the infrared one "
            "a photo of a FLIR camera, which has both inside"
        )
    return Request(pathlib.Path(ir), vis and pathlib.Path(vis), *others)


def _key(values: Sequence[Any]) -> list[str]:
    """Returns what tells one request from another."""
    return list(map(str, values))


def _status(answer: Answer) -> str:
    height, width = answer.image.shape[:2]
    status = f"{width}x{height} pixels, fused in {answer.seconds:.2f} s"
    notes = [f"\n\n**Warning:** {html.escape(text)}" for text in answer.warnings]
    return "".join([status, *notes])


def _shown(outputs: _Outputs, answer: Answer, key: Sequence[str]) -> dict[Any, Any]:
    texts = [tuple(map(str, pair)) for pair in answer.compared]
    has_outliers = any(_OUTLIERS in text for text in answer.warnings)
    return {
        **_nothing(outputs),
        outputs.status: _status(answer),
        outputs.fused: str(answer.fused_file),
        **dict(zip(outputs.compared, texts, strict=True)),
        outputs.image_file: _download(answer.fused_file),
        outputs.settings_file: _download(answer.settings_file),
        outputs.command: answer.command,
        outputs.program: answer.program,
        outputs.same: gr.update(visible=True),
        outputs.outliers: gr.update(visible=has_outliers),
        outputs.shown: list(key),
    }


def _nothing(outputs: _Outputs) -> dict:
    texts = (outputs.status, outputs.metrics, outputs.command, outputs.program)
    files = (outputs.image_file, outputs.settings_file)
    hidden = (outputs.same, outputs.outliers, outputs.old)
    return {
        **dict.fromkeys(outputs.all),
        **dict.fromkeys(texts, ""),
        **{each: gr.update(value=None, interactive=False) for each in files},
        **dict.fromkeys(hidden, _HIDDEN),
    }


def _table(values: dict[str, float]) -> str:
    if not values:
        return (
            "The metrics of an image as large as this take more memory than fusing it: "
            "`densefuse-evaluate` computes them."
        )
    rows = [
        f"| {name} {metrics.METRICS[name].arrow} | {value:.4f} | "
        f"{metrics.METRICS[name].title} |"
        for name, value in values.items()
    ]
    return "\n".join(["| metric | value | |", "|---|---:|---|", *rows])


def _download(path: pathlib.Path) -> dict:
    return gr.update(value=str(path), interactive=True)


@contextlib.contextmanager
def _as_message() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _message(error) from error


def _message(error: Exception) -> gr.Error:
    """Makes a mistake the page's message, which stays until it is closed."""
    text = html.escape(str(told(error)))
    return gr.Error(text, duration=None, print_exception=False)
