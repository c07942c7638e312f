"""Shows on the page what a request is answered, or the mistake in it."""

import contextlib
import html
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from densefuse_tf import metrics
from densefuse_tf.demo.engine import Answer
from densefuse_tf.demo.jobs import Jobs
from densefuse_tf.demo.jobs import told
from densefuse_tf.demo.layout import OUTLIERS
from densefuse_tf.demo.layout import Outputs
from densefuse_tf.demo.request import Request
from densefuse_tf.demo.server import Folder
from densefuse_tf.errors import UserError
from densefuse_tf.io import radiometric

_HIDDEN = gr.update(visible=False)


def fuse(
    running: Jobs, folder: Folder, outputs: Outputs, values: Sequence[Any]
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
                    shown = _shown(outputs, step, key(values))
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
        raise message(error) from error


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


def key(values: Sequence[Any]) -> list[str]:
    """Returns what tells one request from another."""
    return list(map(str, values))


def _status(answer: Answer) -> str:
    height, width = answer.image.shape[:2]
    status = f"{width}x{height} pixels, fused in {answer.seconds:.2f} s"
    notes = [f"\n\n**Warning:** {html.escape(text)}" for text in answer.warnings]
    return "".join([status, *notes])


def _shown(outputs: Outputs, answer: Answer, values: Sequence[str]) -> dict[Any, Any]:
    texts = [tuple(map(str, pair)) for pair in answer.compared]
    has_outliers = any(OUTLIERS in text for text in answer.warnings)
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
        outputs.shown: list(values),
    }


def _nothing(outputs: Outputs) -> dict:
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
def as_message() -> Iterator[None]:
    """Makes what is raised the page's message."""
    try:
        yield
    except Exception as error:
        raise message(error) from error


def message(error: Exception) -> gr.Error:
    """Makes a mistake the page's message, which stays until it is closed."""
    text = html.escape(str(told(error)))
    return gr.Error(text, duration=None, print_exception=False)
