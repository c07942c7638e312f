"""Where the output of a command leads, and what is lost of it."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from densefuse_tf.io import images

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def scored(tmp_path):
    """The arguments of an evaluation that writes out.csv, and how a shell runs it."""
    image = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    for name in ("ir", "vis", "fused"):
        images.write(tmp_path / f"{name}.png", image)
    words = [sys.executable, str(ROOT / "evaluate.py"), "--metrics=En,SD"]
    words += [f"--{name}={name}.png" for name in ("ir", "vis", "fused")]

    def call(how: str, **environment):
        (tmp_path / "out.csv").unlink(missing_ok=True)
        return subprocess.run(
            ["sh", "-c", f"exec {' '.join(words)} --csv=out.csv {how}"],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
        )

    return call


@pytest.mark.parametrize(
    ("how", "status", "line"),
    [
        (">&- 2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        (
            ">/dev/full",
            74,
            "evaluate.py: standard output cannot be written: No space left on device\n",
        ),
    ],
)
def test_results_are_written_wherever_the_output_leads(
    scored, tmp_path, how, status, line
):
    ended = scored(how)
    assert (ended.returncode, ended.stderr.decode()) == (status, line)
    table = (tmp_path / "out.csv").read_text()
    # Nothing that was printed has got into the file.
    assert table.startswith("pair,En,SD\nfused,") and table.count("\n") == 3


def test_output_that_is_not_utf_8_is_written_with_escapes(scored):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = scored("", **ascii_only)
    assert ended.returncode == 0 and ended.stderr == b""
    assert rb"En \u2191" in ended.stdout
