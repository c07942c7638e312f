"""Lays out the page of densefuse-demo with Gradio."""

import html
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from densefuse_tf import metrics
from densefuse_tf.demo import engine as requests
from densefuse_tf.demo.request import Request
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.io import formats
from densefuse_tf.model import checkpoints
from densefuse_tf.model import strategies

# Every so often files that are this old are deleted; in seconds.
_CLEANING = (600, 3600)
# Further clicks are refused while so many wait.
_QUEUE = 16
# Bytes of a pixel at most: three channels of float32.
_BYTES_PER_PIXEL = 12
_LEAST_UPLOAD = 2**20
_LAMBDAS = [(f"{weight:g}", name) for name, weight in checkpoints.SSIM_WEIGHTS.items()]
_RANGES: list[str | int | float | tuple[str, str | int | float]] = [
    ("as it is (8 bits) or auto", ""),
    "auto",
    "1%,99%",
]
_LEGENDS = {
    "activity": "Activity level maps (Eq. 6): from black, none, to light yellow, the "
    "greatest of both images",
    "weight": "Weights of l1_norm (Eq. 7): from blue, 0, over white, 1/2, to red, 1",
}
# The page's own fonts are those of the system: Gradio's would be fetched.
_THEME = gr.themes.Default(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
_CSS = """
#fuse {position: sticky; bottom: 8px; z-index: 5}
.file-preview .download {display: none}
.file-preview .filename {padding-left: 0 !important}
#metrics table {display: table; width: 100%; font-size: 0.9em}
#metrics td, #metrics th {padding: 2px 8px; border-color: var(--border-color-primary)}
#metrics td:not(:last-child), #metrics th {white-space: nowrap; word-break: normal}
@media (max-width: 640px) {
  fieldset label {padding: 6px 8px !important}
}
"""


def build(
    engine: requests.Engine, examples: Sequence[Sequence[pathlib.Path]]
) -> gr.Blocks:
    """Builds the page, which offers examples, (infrared, visible) each."""
    with gr.Blocks(
        title="DenseFuse", analytics_enabled=False, delete_cache=_CLEANING
    ) as page:
        gr.Markdown(
            "# DenseFuse\nFuses an infrared and a visible image of one scene. Choose "
            "an example or two files, then **Fuse**."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                inputs = _inputs(engine, examples)
                button = gr.Button("Fuse", variant="primary", elem_id="fuse")
            with gr.Column(scale=3, min_width=320):
                outputs = _Outputs()

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
        ) -> Iterator[dict]:
            settings = (method, strategy, checkpoint, output_range)
            others = (color, ir_range, vis_range, register)
            yield from _fuse(engine, outputs, (ir, vis, *settings, *others))

        button.click(
            fuse,
            inputs,
            outputs.all,
            api_name="fuse",
            show_progress="minimal",
            show_progress_on=outputs.fused,
            concurrency_limit=1,
        )
    page.queue(max_size=_QUEUE, default_concurrency_limit=1)
    return page


def launch(
    page: gr.Blocks,
    *,
    host: str,
    port: int,
    max_pixels: int,
    examples: Sequence[Sequence[pathlib.Path]],
) -> str:
    """Serves the page in threads of its own, on this machine alone.

    Args:
      page: From `build`.
      host: The address of this machine to listen on.
      port: The port, which has to be free.
      max_pixels: The largest image; uploads that could not be one are refused.
      examples: As `build` took them.

    Returns:
      The page's address.
    """
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        max_file_size=max(_LEAST_UPLOAD, _BYTES_PER_PIXEL * max_pixels),
        allowed_paths=[str(path) for pair in examples for path in pair],
        theme=_THEME,
        css=_CSS,
        prevent_thread_lock=True,
        show_error=True,
        quiet=True,
        inbrowser=False,
        inline=False,
        footer_links=[],
        # Nothing leaves this machine.
        share=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )
    return url


def _inputs(engine: requests.Engine, examples: Sequence) -> list[gr.Component]:
    """Lays out what is asked for, in the order of the fields of `Request`."""
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
                        elem_id=f"{kind.lower()}_preview",
                    )
                )

    def preview(file):
        if file is None:
            return gr.update(value=None, visible=False)
        try:
            picture = engine.preview(pathlib.Path(file))
        except UserError as error:
            raise _shown(error) from error
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
    method = gr.Dropdown(
        list(methods.names()),
        value=Request.method,
        label="Method",
        info=methods.summary(Request.method),
        elem_id="method",
    )
    with gr.Group() as of_maps:
        strategy = gr.Radio(
            list(strategies.names()),
            value=Request.strategy,
            label="Strategy",
            elem_id="strategy",
        )
        checkpoint = gr.Radio(
            _LAMBDAS, value=Request.checkpoint, label="Lambda of the training loss"
        )
        output_range = gr.Radio(
            list(OUTPUT_RANGES), value=Request.output_range, label="Output range"
        )

    def choose(name):
        has_strategy = methods.settings_class(name).fuses_maps
        return gr.update(info=methods.summary(name)), gr.update(visible=has_strategy)

    method.input(
        choose,
        method,
        [method, of_maps],
        show_progress="hidden",
        api_visibility="private",
    )
    with gr.Accordion("Colour, value ranges, registration", open=False):
        color = gr.Radio(
            list(COLOR_MODES),
            value=Request.color,
            label="Colour",
            info="rgb fuses each channel, luma keeps the visible image's colours.",
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
        register = gr.Checkbox(
            label="Register the infrared image to the visible one first",
            elem_id="register",
        )
    return [
        *(*files, method, strategy, checkpoint, output_range),
        *(color, *ranges, register),
    ]


class _Outputs:
    """Lays out what is answered."""

    def __init__(self):
        self.status = gr.Markdown("", elem_id="status")
        with gr.Tabs():
            with gr.Tab("Fused"):
                self.fused = gr.Image(
                    show_label=False,
                    format="png",
                    interactive=False,
                    buttons=["fullscreen"],
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
            self.same,
        ]


def _fuse(
    engine: requests.Engine, outputs: _Outputs, values: Sequence[Any]
) -> Iterator[dict]:
    """Shows the fused image, then the maps, then the metrics."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            answer = engine.fuse(_request(values), folder)
        except UserError as error:
            # What is left of an earlier answer would be taken for this one's.
            yield _nothing(outputs)
            raise _shown(error) from error
        height, width = answer.image.shape[:2]
        status = f"{width}x{height} pixels, fused in {answer.seconds:.2f} s"
        notes = [f"\n\n**Warning:** {html.escape(text)}" for text in answer.warnings]
        shown = {
            **_nothing(outputs),
            outputs.status: "".join([status, *notes]),
            outputs.fused: str(answer.fused_file),
            **dict(zip(outputs.compared, _texts(answer.compared), strict=True)),
            outputs.image_file: _download(answer.fused_file),
            outputs.settings_file: _download(answer.settings_file),
            outputs.command: answer.command,
            outputs.program: answer.program,
            outputs.same: gr.update(visible=True),
        }
        yield shown
        if maps := engine.maps(answer, folder):
            shown |= dict(zip(outputs.maps, map(str, maps), strict=True))
            yield shown
        yield shown | {outputs.metrics: _table(requests.evaluate(answer))}


def _request(values: Sequence[Any]) -> Request:
    ir, vis, *others = values
    for kind, file in (("infrared", ir), ("visible", vis)):
        if file is None:
            raise UserError(f"the {kind} image is missing: expected two images")
    return Request(pathlib.Path(ir), pathlib.Path(vis), *others)


def _nothing(outputs: _Outputs) -> dict:
    texts = (outputs.status, outputs.metrics, outputs.command, outputs.program)
    files = (outputs.image_file, outputs.settings_file)
    return {
        **dict.fromkeys(outputs.all),
        **dict.fromkeys(texts, ""),
        **{each: gr.update(value=None, interactive=False) for each in files},
        outputs.same: gr.update(visible=False),
    }


def _table(values: dict[str, float]) -> str:
    rows = [
        f"| {name} {metrics.METRICS[name].arrow} | {value:.4f} | "
        f"{metrics.METRICS[name].title} |"
        for name, value in values.items()
    ]
    return "\n".join(["| metric | value | |", "|---|---:|---|", *rows])


def _texts(compared: Sequence) -> list[tuple[str, ...]]:
    return [tuple(str(path) for path in pair) for pair in compared]


def _download(path: pathlib.Path) -> dict:
    return gr.update(value=str(path), interactive=True)


def _shown(error: UserError) -> gr.Error:
    """Makes a mistake the page's message, which stays until it is closed."""
    return gr.Error(html.escape(str(error)), duration=None, print_exception=False)
