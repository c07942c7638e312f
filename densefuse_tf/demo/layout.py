"""Lays out the parts of the page of densefuse-demo: images, settings and results."""

import functools
import inspect
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gradio as gr

from densefuse_tf import lambdas
from densefuse_tf.demo.engine import REGISTER
from densefuse_tf.demo.request import RANGE
from densefuse_tf.demo.request import Request
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.fusion.settings import PALETTES
from densefuse_tf.fusion.settings import PRECISIONS
from densefuse_tf.fusion.settings import PRESETS
from densefuse_tf.io import formats
from densefuse_tf.model import strategies

# A range without dead and hot pixels.
OUTLIERS = "1%,99%"
_LAMBDAS = [(f"{weight:g}", name) for name, weight in lambdas.SSIM_WEIGHTS.items()]
_RANGES: list[str | int | float | tuple[str, str | int | float]] = [
    ("as it is (8 bits) or auto", ""),
    "auto",
    OUTLIERS,
]
# The name of each choice on the page, and what it means.
_TEXTS = {
    "method": ("Method", methods.summary(Request.method)),
    "strategy": ("Strategy", "How the feature maps of the two images become one."),
    "checkpoint": (
        "Lambda of the training loss",
        "The weight of SSIM beside the pixels' error when the model was trained. The "
        "four models differ little.",
    ),
    "output_range": (
        "Output range",
        "minmax spreads the result over black to white, average keeps the sources' "
        "brightness, clip cuts the decoder's output off at 0 and 255.",
    ),
    "color": (
        "Colour",
        "rgb fuses each channel, luma keeps the visible image's colours, thermal shows "
        "by a palette how warm it is.",
    ),
    "palette": ("Palette", "In the first five equal steps look equal."),
    "precision": (
        "Precision",
        "bfloat16 is quicker where the processor has it, tf32 on a GPU; both are less "
        "exact.",
    ),
}
_LEGENDS = {
    "activity": "Activity level maps (Eq. 6): from black, none, to light yellow, the "
    "greatest of both images",
    "weight": "Weights of l1_norm (Eq. 7): from blue, 0, over white, 1/2, to red, 1",
}
# What happens on the page alone.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# What pictures of results, and lines of code, have in common.
_RESULT: Any = {"format": "png", "interactive": False, "buttons": ["fullscreen"]}
_LINES: Any = {"wrap_lines": True, "show_line_numbers": False, "interactive": False}
# The page's own fonts are those of the system: Gradio's would be fetched.
THEME = gr.themes.Default(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
CSS = """
#layout {
  display: grid; align-items: start;
  grid-template:
    "inputs results" auto "settings results" auto "settings details" 1fr / 2fr 3fr;
}
#layout > * {min-width: 0 !important}
#inputs {grid-area: inputs}
#settings {grid-area: settings}
#results {grid-area: results}
#details {grid-area: details}
#layout:has(#old) :is(#fused, [id$=_slider], [id^=map_], #metrics) {opacity: 0.4}
#strategy .wrap {flex-direction: column; gap: 4px}
#strategy label {padding: 4px 8px}
#footer {padding-top: 16px}
/* The message is said once, by the toast. */
#fused .error {display: none}
.file-preview .download {display: none}
.file-preview .filename {padding-left: 0 !important}
#metrics table {display: table; width: 100%; font-size: 0.9em}
#metrics td, #metrics th {padding: 2px 8px; border-color: var(--border-color-primary)}
#metrics td:not(:last-child), #metrics th {white-space: nowrap; word-break: normal}
@media (max-width: 640px) {
  #layout {grid-template: "inputs" "results" "settings" "details" / 1fr}
  fieldset label {padding: 6px 8px !important}
}
"""


def files(
    show: Callable[[str], dict], examples: Sequence[Sequence[pathlib.Path]]
) -> list[gr.File]:
    """Lays out the choice of the two images, of which `show` shows a picture."""
    chosen, previews = [], []
    with gr.Row():
        for kind in ("Infrared", "Visible"):
            with gr.Column(min_width=140):
                chosen.append(
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

    for file, picture in zip(chosen, previews, strict=True):
        file.change(show, file, picture, **QUIET)
    if examples:
        pictures = [gr.Image(label=file.label, render=False) for file in chosen]
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
            chosen,
            **QUIET,
        )
    return chosen


def settings() -> tuple[list[Any], list[gr.Dropdown]]:
    """Lays out the settings in the order of the fields of `Request`.

    Returns:
      All of them, and those of the value ranges.
    """
    gr.Markdown(
        "A preset sets the strategy, the output range and the colour: **camera** for "
        "pictures that look good, **paper** for comparisons."
    )
    with gr.Row():
        presets = [
            gr.Button(f"Preset: {name}", size="sm", elem_id=f"preset_{name}")
            for name in PRESETS
        ]
    method = _choice(gr.Dropdown, "method", methods.list_methods())
    with gr.Group() as of_maps:
        named = [(_help(name), name) for name in strategies.list_strategies()]
        strategy = _choice(gr.Radio, "strategy", named)
        checkpoint = _choice(gr.Radio, "checkpoint", _LAMBDAS)
        output_range = _choice(gr.Radio, "output_range", OUTPUT_RANGES)

    def choose(name):
        shown = methods.settings_class(name).fuses_maps
        return gr.update(info=methods.summary(name)), gr.update(visible=shown)

    method.input(choose, method, [method, of_maps], **QUIET)
    register = gr.Checkbox(label=REGISTER, elem_id="register")
    with gr.Accordion("Colour, value ranges, precision", open=False):
        color = _choice(gr.Radio, "color", COLOR_MODES)
        with gr.Group(visible=False) as of_thermal:
            palette = _choice(gr.Dropdown, "palette", PALETTES)
            scale = gr.Checkbox(label="Draw a scale beside it", elem_id="scale")
        color.change(
            lambda name: gr.update(visible=name == "thermal"),
            color,
            of_thermal,
            **QUIET,
        )
        ranges = [
            gr.Dropdown(
                _RANGES,
                value="",
                allow_custom_value=True,
                label=RANGE.format(kind),
                info="Or MIN,MAX, as in 7000,9000; or two percentiles.",
                elem_id=f"{kind.lower()}_range",
            )
            for kind in ("Infrared", "Visible")
        ]
        precision = _choice(gr.Radio, "precision", PRECISIONS)
    preset = {"strategy": strategy, "output_range": output_range, "color": color}
    for button, values in zip(presets, PRESETS.values(), strict=True):
        each = [values.get(name, getattr(Request, name)) for name in preset]
        button.click(
            functools.partial(list, each),
            None,
            list(preset.values()),
            **QUIET,
        )
    chosen = [method, strategy, checkpoint, output_range, color, *ranges]
    return [*chosen, register, precision, palette, scale], ranges


def _choice(kind, name: str, choices: Iterable):
    """Makes the control of a field of `Request`."""
    value, (label, info) = getattr(Request, name), _TEXTS[name]
    return kind(list(choices), value=value, label=label, info=info, elem_id=name)


def _help(strategy: str) -> str:
    """Names a strategy, with the first line of its docstring but for the formula."""
    function = strategies.get(strategy).function
    line = (inspect.getdoc(function) or "").partition("\n")[0]
    return f"{strategy}: {line.partition(': ')[0].rstrip('.')}"


class Outputs:
    """Lays out the buttons and what is answered."""

    def __init__(self):
        with gr.Column(elem_id="results"):
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
                f"Leave outliers out: apply {OUTLIERS} to both ranges",
                visible=False,
                size="sm",
                elem_id="outliers",
            )
            with gr.Tabs():
                with gr.Tab("Fused"):
                    self.fused = gr.Image(
                        show_label=False,
                        **_RESULT,
                        alt_text="The fused image",
                        elem_id="fused",
                    )
                self.compared = []
                for kind in ("Infrared", "Visible"):
                    with gr.Tab(kind):
                        self.compared.append(
                            gr.ImageSlider(
                                label=f"{kind.lower()} | fused",
                                elem_id=f"{kind.lower()}_slider",
                                **_RESULT,
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
                                        **_RESULT,
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
        with gr.Column(elem_id="details"):
            self.metrics = gr.Markdown("", elem_id="metrics")
            self.same = gr.Accordion(
                "The same from a shell and in Python", visible=False
            )
            with self.same:
                self.command = gr.Code(
                    language="shell",
                    label="In the folder of the images",
                    elem_id="command",
                    **_LINES,
                )
                self.program = gr.Code(
                    language="python",
                    show_label=False,
                    elem_id="program",
                    **_LINES,
                )

    @property
    def all(self) -> list:
        """Returns all components, those that a client wants first."""
        return [
            *(self.fused, self.metrics, self.command, self.program, self.status),
            *(*self.compared, *self.maps, self.image_file, self.settings_file),
            *(self.same, self.outliers, self.old, self.shown),
        ]
