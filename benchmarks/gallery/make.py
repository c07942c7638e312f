"""Makes docs/gallery.md: what each strategy makes of each fusion problem.

  python -m benchmarks.gallery.make
  python -m benchmarks.gallery.make --output=own/gallery.md --noexamples \\
      --infrared_visible=IR,VIS --multi_focus=NEAR,FAR --multi_exposure=LOW,MID,HIGH

Fuses the example scenes with the strategies that suit them and with other methods,
and writes a page with pictures, metrics and advice; the pictures go into a folder
beside it that has the page's name. It takes some minutes.
"""

import pathlib
import sys
import textwrap
from collections.abc import Iterator

from absl import flags
from PIL import Image

from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_ROOT = pathlib.Path(__file__).resolve().parents[2]

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output",
    str(_ROOT / "docs" / "gallery.md"),
    "The page that is written.",
    flag_values=_FLAGS,
)
_EXAMPLES = flags.DEFINE_boolean(
    "examples",
    True,
    "Whether to show the project's example scenes.",
    flag_values=_FLAGS,
)
_METHODS = flags.DEFINE_list(
    "methods",
    ["cbf", "wls", "dchwt", "gtf", "cnn", "deepfuse"],
    "The other methods that are shown; jsr and jsrsd take minutes for each pair.",
    flag_values=_FLAGS,
)
_OWN = {
    name: flags.DEFINE_list(
        name,
        [],
        f"Folders with images of your own, {kind}: one folder for each source.",
        flag_values=_FLAGS,
    )
    for name, kind in (
        ("infrared_visible", "infrared and visible"),
        ("multi_focus", "of different focus"),
        ("multi_exposure", "of different exposure"),
    )
}


def main() -> None:
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".md":
        raise UserError(f"--output={output}: expected a name that ends in .md")
    own = {name: flag.value for name, flag in _OWN.items() if flag.value}
    for name, folders in own.items():
        if len(folders) < 2:
            raise UserError(
                f"--{name}={folders[0]}: expected two or more folders, one for each "
                "source, with commas between them"
            )
    if not own and not _EXAMPLES.value:
        raise UserError("there is nothing to show: expected --examples or folders")
    startup.import_tensorflow()
    from benchmarks.gallery import page
    from benchmarks.gallery import problems
    from densefuse_tf import baselines
    from densefuse_tf.io import files

    for name in _METHODS.value:
        baselines.get(name)
    parts = [page.introduction(_METHODS.value)] if _EXAMPLES.value else ["# Gallery\n"]
    for problem in problems.PROBLEMS:
        shown = list(_scenes(problem, own.get(problem.name, ())))
        if shown:
            parts.append(f"## {problem.title}\n\n{_wrapped(problem.advice)}\n")
            parts.append(f"Flags of fuse.py: `{problem.command}`.\n")
        for scene in shown:
            parts += _section(problem, scene, output)
    if _EXAMPLES.value:
        parts.append(page.closing())
    with files.replacing(output) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    print(output)


def _scenes(problem, folders) -> Iterator:
    """Yields the example scenes of a problem, then those of the user's folders."""
    from benchmarks.gallery import problems
    from densefuse_tf.io import finding
    from densefuse_tf.io import images

    if _EXAMPLES.value:
        yield from problems.examples(problem, _ROOT / "examples")
    if folders:
        for paths in finding.pair(folders):
            yield problems.Scene(
                name=f"{problem.name}_{paths[0].stem}",
                title=paths[0].stem,
                made="",
                look="",
                sources=[images.read(path) for path in paths],
                captions=[pathlib.Path(folder).name for folder in folders],
            )


def _section(problem, scene, output: pathlib.Path) -> list[str]:
    """Fuses a scene, writes its pictures and returns what the page says of it."""
    from benchmarks.gallery import page
    from densefuse_tf.io import files

    found = page.rows(problem, scene, _METHODS.value)
    pictures = {scene.name: (scene.title, page.picture(scene, found))}
    if scene.truth is not None:
        pictures[f"{scene.name}_differences"] = (
            f"{scene.title}: differences to the truth, times 4",
            page.differences(scene, found),
        )
    parts = [f"### {scene.title}\n"]
    text = f"{scene.made} {scene.look}".strip()
    if text:
        parts.append(_wrapped(text) + "\n")
    for name, (title, picture) in pictures.items():
        path = output.with_suffix("") / f"{name}.jpg"
        with files.replacing(path) as temporary:
            # Half as large as what images.write makes, and no worse to look at.
            Image.fromarray(picture).save(temporary, quality=85)
        parts.append(f"![{title}]({path.parent.name}/{path.name})\n")
        print(path)
    return [*parts, page.table(problem, found) + "\n"]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 88, break_long_words=False, break_on_hyphens=False)


def run(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
