"""Builds the page of densefuse-demo with Gradio, and serves it."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import fastapi
import gradio as gr
from PIL import Image
from PIL import ImageDraw
from starlette.staticfiles import StaticFiles

import densefuse_tf
from densefuse_tf.demo import answers
from densefuse_tf.demo import layout
from densefuse_tf.demo.engine import Engine
from densefuse_tf.demo.jobs import Jobs
from densefuse_tf.demo.request import Request
from densefuse_tf.demo.server import Folder
from densefuse_tf.demo.server import Guard
from densefuse_tf.demo.server import Server

# Every so often files that are this old are deleted; in seconds.
_CLEANING = (600, 3600)
# So many requests are looked after at a time; those of one line wait for each other.
_CONCURRENT = 32
# Bytes of a pixel at most: three channels of float32.
_BYTES_PER_PIXEL = 12
_LEAST_UPLOAD = 2**20
# Where the documents are, if they are built.
_DOCUMENTS = "/documents"


def _build(
    running: Jobs,
    examples: Sequence[Sequence[pathlib.Path]],
    folder: Folder,
    documents: pathlib.Path | None,
) -> gr.Blocks:
    """Builds the page, which offers examples, (infrared, visible) each.

    The folder is the one that Gradio keeps uploads and results in. Documents are the
    folder of the built pages, which `serving` serves and the page links to.
    """

    def show(file):
        """Shows an image that was chosen."""
        if file is None:
            return gr.update(value=None, visible=False)
        with answers.as_message():
            picture = running.engine.preview(pathlib.Path(file))
        return gr.update(value=picture, visible=True)

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
                files = layout.files(show, examples)
            outputs = layout.Outputs()
            with gr.Column(elem_id="settings"):
                settings, ranges = layout.settings()
        gr.Markdown(" · ".join(_links(documents)), elem_id="footer")
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
            yield from answers.fuse(running, folder, outputs, values)

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
            return gr.update(visible=shown is not None and shown != answers.key(values))

        quiet = {**layout.QUIET, "queue": False}
        marks = ([outputs.shown, *inputs], outputs.old)
        buttons = [outputs.button, outputs.cancel]
        outputs.outliers.click(
            lambda: [layout.OUTLIERS] * len(ranges), None, ranges, **quiet
        )
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


def _links(documents: pathlib.Path | None) -> list[str]:
    built = f"[documents]({_DOCUMENTS}/index.html)" if documents else "documents: docs/"
    return [
        f"DenseFuse {densefuse_tf.__version__}",
        "[Apache License 2.0](https://www.apache.org/licenses/LICENSE-2.0)",
        "[the paper](https://doi.org/10.1109/TIP.2018.2887342)",
        built,
    ]


@contextlib.contextmanager
def serving(
    examples: Sequence[Sequence[pathlib.Path]],
    *,
    host: str,
    port: int,
    max_pixels: int,
    cache: str,
    cache_bytes: int,
    icon: pathlib.Path,
    documents: pathlib.Path | None,
) -> Iterator[str]:
    """Serves the page in threads of its own, on this machine alone.

    Args:
      examples: The pairs that the page offers.
      host: The address of this machine to listen on.
      port: The port, which has to be free.
      max_pixels: The largest image; uploads that could not be one are refused.
      cache: The folder in which Gradio keeps uploads and results.
      cache_bytes: How large it becomes; there is room for four uploads in any case.
      icon: Where the page's icon is written.
      documents: The folder of the built pages, or None.

    Yields:
      The page's address.
    """
    folder = Folder(cache, max(cache_bytes, 4 * _upload_limit(max_pixels)))
    running = Jobs(Engine(max_pixels))
    page = _build(running, examples, folder, documents)
    _draw_icon(icon)
    app = fastapi.FastAPI(openapi_url=None)
    if documents is not None:
        app.mount(_DOCUMENTS, StaticFiles(directory=documents))
    gr.mount_gradio_app(
        app,
        page,
        "/",
        server_name=host,
        server_port=port,
        max_file_size=_upload_limit(max_pixels),
        allowed_paths=[str(path) for pair in examples for path in pair],
        theme=layout.THEME,
        css=layout.CSS,
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
    try:
        yield f"http://{name}:{port}/"
    finally:
        server.close()
        running.close()
        page.close(verbose=False)


def _upload_limit(max_pixels: int) -> int:
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
