"""evaluate.py from its flags to its files."""

import contextlib
import csv
import functools
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import videos
from PIL import Image

from densefuse_tf import metrics
from densefuse_tf.commands import evaluate
from densefuse_tf.commands import evaluate_table2
from densefuse_tf.evaluation.table2 import inputs
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.channels import Fused
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from tests.commands import conftest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = (44, 46)
COLUMNS = ["En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM"]
FOLDERS = ("--ir=ir", "--vis=vis", "--fused=fused")
TABLE2 = ("--table2", "--data_dir=tno", "--checkpoint_dir=models")


def photograph(seed, channels=()):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, *channels), np.uint8)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """ir/, vis/ and fused/ of three pairs in the current folder, the third is 10."""
    monkeypatch.chdir(tmp_path)
    for seed, number in enumerate((1, 2, 10)):
        images.write(tmp_path / f"ir/IR{number}.png", photograph(seed))
        images.write(tmp_path / f"vis/VIS{number}.png", photograph(seed + 10))
        images.write(tmp_path / f"fused/VIS{number}.png", photograph(seed + 20))
    return tmp_path


@pytest.fixture
def protocol(tmp_path, monkeypatch, checkpoint):
    """tno/ with the 20 pairs, and models/ with two lambdas, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for n in (*range(1, 20), 21):
        images.write(tmp_path / f"tno/IR{n}.png", photograph(n))
        images.write(tmp_path / f"tno/VIS{n}.png", photograph(n + 100))
    pathlib.Path("models").mkdir()
    for name in ("1e0", "1e2"):
        shutil.copy(checkpoint, f"models/densefuse_{name}.keras")
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Fuses with a mean: for tests that are not about fusing."""

    class Mean:
        def fuse(self, sources, *, names):
            image = np.mean(sources, axis=0).astype(np.uint8)
            return Fused(image, image)

    monkeypatch.setattr(methods, "build", lambda settings: Mean())


@pytest.fixture
def run(ended):
    """Runs evaluate.py with flags; returns its status, output and errors."""
    return functools.partial(ended, evaluate)


mistake = functools.partial(conftest.mistake, evaluate)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return reader.fieldnames, list(reader)


# Fused images


def test_files_give_a_table_csv_and_markdown(files, run):
    status, output, _ = run(*FOLDERS, "--csv=new/m.csv", "--markdown=new/m.md")
    assert status == 0
    lines = output.splitlines()
    assert lines[2] == "ir/IR10.png + vis/VIS10.png: fused/VIS10.png"
    assert lines.pop(3) == "↑ higher is better"
    assert lines[3].split() == ["pair", *" ↑ ".join(COLUMNS).split(), "↑"]
    assert [line.split()[0] for line in lines[4:]] == ["VIS1", "VIS2", "VIS10", "mean"]

    names, table = rows("new/m.csv")
    assert names == ["pair", *COLUMNS]
    assert [row["pair"] for row in table] == ["VIS1", "VIS2", "VIS10", "mean"]
    for seed, row in enumerate(table[:3]):
        expected = metrics.evaluate(*(photograph(seed + 10 * i) for i in range(3)))
        assert {name: float(row[name]) for name in COLUMNS} == expected
        shown = lines[4 + seed].split()[1:]
        assert shown == [f"{expected[name]:.5f}" for name in COLUMNS]
    for name in COLUMNS:
        mean = sum(float(row[name]) for row in table[:3]) / 3
        assert float(table[3][name]) == pytest.approx(mean, rel=1e-14)
    markdown = pathlib.Path("new/m.md").read_text("utf-8").splitlines()
    assert markdown[:2] == ["↑ higher is better", ""]
    assert markdown[2] == "| pair | " + " ↑ | ".join(COLUMNS) + " ↑ |"
    assert len(markdown) == 8


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_columns_follow_the_selection_and_the_convention(files, run, convention):
    flags = ("--metrics=toolkit,Nabf", f"--convention={convention}")
    status, output, _ = run(*FOLDERS, *flags, "--csv=m.csv", "--latex=m.tex")
    assert status == 0
    chosen = (*metrics.SELECTIONS["toolkit"], "Nabf")
    names, table = rows("m.csv")
    assert names == ["pair", *chosen]
    expected = metrics.evaluate(
        *(photograph(10 * i) for i in range(3)), metrics=chosen, convention=convention
    )
    assert {name: float(table[0][name]) for name in chosen} == expected
    assert " PSNR ↑" in output and output.splitlines()[4].endswith("Nabf ↓")
    assert r"MSE $\downarrow$" in pathlib.Path("m.tex").read_text("utf-8")


def test_the_best_is_the_smallest_where_lower_is_better(files, run):
    for name, seed in (("good", 0), ("bad", 50)):
        images.write(f"methods/{name}/1.png", photograph(seed))
    pair = ("--ir=ir/IR1.png", "--vis=ir/IR1.png", "--methods_dir=methods")
    status, output, _ = run(*pair, "--metrics=mse,psnr,en", "--csv=m.csv")
    assert status == 0
    bad, good = (line.split() for line in output.splitlines()[-2:])
    # Identical images: no error, and a ratio without limit.
    assert good[:7] == ["good", "0.00000", "±", "0.00000*", "inf", "±", "-*"]
    assert bad[0] == "bad" and not {cell[-1] for cell in bad[1:7]} & set("*'")
    _, table = rows("m.csv")
    assert float(table[1]["PSNR"]) == float("inf") and float(table[1]["MSE"]) == 0
    images.write("same.png", images.read("ir/IR1.png"))
    pair = ("--ir=ir/IR1.png", "--vis=ir/IR1.png", "--fused=same.png")
    assert run(*pair, "--metrics=psnr", "--csv=m.csv")[0] == 0
    assert [float(row["PSNR"]) for row in rows("m.csv")[1]] == [float("inf")] * 2


def test_list_shows_every_metric(run):
    status, output, _ = run("--list")
    assert status == 0
    lines = output.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(metrics.METRICS)
    for line, metric in zip(lines, metrics.METRICS.values(), strict=True):
        assert line.split()[1] == metric.arrow and metric.reference in line
        assert ", ".join(metric.conventions) in line


def test_vifb_evaluates_each_channel(files, run):
    images.write("colour.png", photograph(5, (3,)))
    pair = ("--ir=ir/IR1.png", "--vis=colour.png", "--fused=colour.png")
    chosen = ("--metrics=vifb", "--convention=vifb", "--csv=m.csv")
    status, output, _ = run(*pair, *chosen)
    assert status == 0 and "in grey" not in output
    colour = images.read("colour.png")
    expected = metrics.evaluate(
        images.read("ir/IR1.png"), colour, colour, metrics="vifb", convention="vifb"
    )
    found = {
        name: float(value) for name, value in list(rows("m.csv")[1][0].items())[1:]
    }
    assert found == pytest.approx(expected, rel=1e-12)
    assert run(*pair, "--metrics=SD")[1].count("evaluated in grey") == 1


def test_one_pair_is_its_own_mean(files, run):
    status, output, _ = run(
        "--ir=ir/IR1.png", "--vis=vis/VIS1.png", "--fused=fused/VIS1.png"
    )
    assert status == 0
    first, mean = [line.split()[1:] for line in output.splitlines()[-2:]]
    assert first == mean


def test_colour_is_evaluated_in_grey_and_said(files, run):
    color = photograph(50, (3,))
    images.write("fused/VIS2.png", color)
    status, output, _ = run(*FOLDERS, "--csv=m.csv")
    assert status == 0
    said = [line for line in output.splitlines() if "colour" in line]
    assert said == [
        "1 colour image, evaluated in grey (its luma): fused/VIS2.png",
    ]
    expected = metrics.evaluate(photograph(1), photograph(11), pixels.gray(color))
    assert float(rows("m.csv")[1][1]["Qabf"]) == expected["Qabf"]


def test_file_names_may_hold_any_bytes(files, run):
    name = os.fsdecode(b"\xff")
    os.rename("fused/VIS1.png", f"fused/{name}.png")
    assert run(*FOLDERS, "--csv=m.csv", "--markdown=m.md")[0] == 0
    for table in ("m.csv", "m.md"):
        assert b"\xff" in pathlib.Path(table).read_bytes()


def test_files_are_evaluated_without_tensorflow(files):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras'))); "
        "from densefuse_tf.commands import evaluate; "
        "sys.exit(evaluate.run(['evaluate.py', *sys.argv[1:]]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *FOLDERS, "--csv=m.csv"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert len(rows("m.csv")[1]) == 4


def test_help_imports_nothing_heavy():
    code = (
        "import json, sys; from densefuse_tf.commands import evaluate; "
        "status = evaluate.run(['evaluate.py', '--help']); "
        "print(json.dumps([status, *sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    status, *modules = json.loads(result.stdout.splitlines()[-1])
    assert status == 0
    assert not {"tensorflow", "keras", "numpy", "PIL", "numba"} & set(modules)
    for flag in ("--ir", "--fused", "--[no]table2", "--methods_dir", "--work_dir"):
        assert f"\n  {flag}:" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--ir is missing: expected --ir, --vis and --fused, or --table2"),
        (("--ir=ir", "--vis=vis"), "--fused is missing"),
        ((*FOLDERS, "--methods_dir=ir"), "--fused is given as well as --methods_dir"),
        ((*FOLDERS, "--ir_range=9,7"), "--ir_range: value range"),
        ((*FOLDERS, "--latex=a.npy"), "--latex=a.npy: is named as an image or"),
        (("--table2", "--data_dir=ir", "--methods=soup"), "unknown method 'soup'"),
        (("--table2", "--data_dir=ir", "--averages=odd"), "--averages=odd: expected"),
        (("--ir=ir", "--vis=vis", "--fused=no"), "no: no such file or folder"),
        (("--ir=ir", "--vis=vis", "--fused=fused/VIS1.png"), "different numbers of"),
        ((*FOLDERS[:2], "--fused=more"), "more/VIS2.png: cut off or damaged"),
        ((*FOLDERS, "--csv=ir/IR1.png"), "--csv=ir/IR1.png: would overwrite an image"),
        ((*FOLDERS, "--csv=ir"), "--csv=ir: is a folder: expected a file"),
        ((*FOLDERS, "--csv=a.txt", "--markdown=a.txt"), "would overwrite what --csv"),
        ((*FOLDERS, "--csv=more/VIS1.png"), "named as an image or"),
        ((*FOLDERS, "--markdown=new.JPG"), "--markdown=new.JPG: is named as an image"),
        (
            (*FOLDERS, "--csv=a/b.keras"),
            "--csv=a/b.keras: is named as an image or a che",
        ),
        ((*FOLDERS, "--csv=x.ckpt.data-00000-of-00001"), "an image or a checkpoint"),
        ((*FOLDERS, "--csv=ir/IR1.png/m.csv"), "cannot be written"),
        ((*FOLDERS, "--data_dir=ir"), "--data_dir goes with --table2"),
        ((*FOLDERS, "--table2"), "--ir does not go with --table2"),
        ((*FOLDERS, "--metrics=SD,XY"), "metric 'XY' is unknown: expected paper, too"),
        ((*FOLDERS, "--convention=old"), "--convention=old"),
        (
            ("--table2", "--data_dir=ir", "--metrics=SD"),
            "--metrics does not go with --table2",
        ),
        ((*FOLDERS, "more"), "unexpected argument 'more'"),
        ((*FOLDERS, "--no_such_flag"), "no_such_flag"),
        (("--table2",), "--data_dir is missing"),
        (("--table2", "--data_dir=no"), "no: no such folder"),
        (
            ("--table2", "--data_dir=ir"),
            "ir: VIS1.png, VIS2.png, IR3.png, VIS3.png and",
        ),
        (
            ("--table2", "--data_dir=ir", "--lambdas=1e9"),
            "--lambdas=1e9: expected some",
        ),
        (("--table2", "--data_dir=ir", "--lambdas="), "--lambdas=: expected some of"),
        (("--table2", "--window_radius=-1"), "--window_radius=-1"),
    ],
)
def test_mistake_is_one_line_and_changes_nothing(files, run, arguments, message):
    shutil.copytree("fused", "more")
    damaged = pathlib.Path("more/VIS2.png")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    assert message in mistake(run(*arguments))
    after = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    assert after == before


def test_the_first_of_many_pairs_are_shown(files, run):
    for folder, name in (("ir", "IR"), ("vis", "VIS"), ("fused", "VIS")):
        for number in (11, 12):
            images.write(f"{folder}/{name}{number}.png", photograph(number))
    for method in ("ours", "theirs"):
        shutil.copytree("fused", f"methods/{method}")
    status, output, _ = run(*FOLDERS[:2], "--methods_dir=methods", "--metrics=En")
    assert status == 0
    lines = output.splitlines()
    for method, shown in (("ours", lines[:4]), ("theirs", lines[4:8])):
        fused = f"methods/{method}/VIS"
        assert shown == [
            *(f"ir/IR{n}.png + vis/VIS{n}.png: {fused}{n}.png" for n in (1, 2, 10)),
            "... 5 pairs in all",
        ]


def test_methods_on_own_data_make_one_table(files, run):
    shutil.copytree("fused", "methods/ours")
    for number in (1, 2, 10):
        images.write(f"methods/other/{number}.png", photograph(number + 50))
    arguments = (*FOLDERS[:2], "--methods_dir=methods", "--csv=m.csv", "--latex=m.tex")
    status, output, _ = run(*arguments)
    assert status == 0
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["method", "other", "ours"]
    names, table = rows("m.csv")
    assert names == ["method", "pair", *COLUMNS]
    assert [(row["method"], row["pair"]) for row in table[2:4]] == [
        *(("other", "10"), ("ours", "VIS1"))
    ]
    values = [float(row["En"]) for row in table[3:]]
    assert f"{np.mean(values):.5f} ± {np.std(values):.5f}" in lines[-1]
    assert r"$\pm$" in pathlib.Path("m.tex").read_text("utf-8")


def test_16_bit_sources_are_read_with_a_range(files, run):
    for seed, number in enumerate((1, 2, 10)):
        deep = photograph(seed).astype(np.uint16) * 40 + 7000
        Image.fromarray(deep).save(f"ir/IR{number}.png")
    assert "has uint16 values: expected an 8-bit" in mistake(run(*FOLDERS))
    assert run(*FOLDERS, "--ir_range=7000,17200", "--csv=m.csv")[0] == 0
    expected = metrics.evaluate(*(photograph(10 * i) for i in range(3)))
    assert float(rows("m.csv")[1][0]["Qabf"]) == expected["Qabf"]


# Fused videos


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """ir.mp4, vis.mp4 in colour and fused.mp4, of five frames, in the current folder"""
    monkeypatch.chdir(tmp_path)
    for seed, (name, channels) in enumerate((("ir", ()), ("vis", (3,)), ("fused", ()))):
        frames = videos.scene(5, SIZE, seed=seed, channels=channels)
        videos.write(f"{name}.mp4", frames)
    return tmp_path


CLIPS = ("--ir=ir.mp4", "--vis=vis.mp4", "--fused=fused.mp4")


def grey_frames(name):
    """The frames of a video as the metrics see them."""
    return [pixels.gray(frame) for frame in videos.read(name)[0]]


def test_each_frame_of_a_video_has_a_row(clips, run):
    status, output, _ = run(*CLIPS, "--csv=m.csv", "--markdown=m.md")
    assert status == 0
    names, table = rows("m.csv")
    assert names == ["frame", *COLUMNS]
    assert [row["frame"] for row in table] == [*"12345", "mean"]
    read = [grey_frames(f"{name}.mp4") for name in ("ir", "vis", "fused")]
    for row, *moment in zip(table[:-1], *read, strict=True):
        expected = metrics.evaluate(*moment)
        assert {name: float(row[name]) for name in COLUMNS} == expected
    lines = output.splitlines()
    assert lines[0] == "ir.mp4 + vis.mp4: fused.mp4: 5 frames"
    assert lines[1] == "in colour, evaluated in grey (their luma): vis.mp4"
    assert lines.pop(2) == "↑ higher is better"
    assert lines[2].split()[:3] == ["frames:", "5", "En"]
    entropies = [float(row["En"]) for row in table[:-1]]
    for line, name, value in zip(
        lines[3:],
        ("mean", "standard deviation", "minimum", "maximum"),
        (f(entropies) for f in (np.mean, np.std, np.min, np.max)),
        strict=True,
    ):
        assert line.startswith(name)
        assert line.removeprefix(name).split()[0] == f"{value:.5f}"
    assert len(pathlib.Path("m.md").read_text("utf-8").splitlines()) == 8


def test_frames_in_folders_are_evaluated_as_those_of_videos(clips, run):
    for name in ("ir", "vis", "fused"):
        for number, frame in enumerate(videos.read(f"{name}.mp4")[0], 1):
            images.write(f"{name}/{number}.png", frame)
    assert run(*CLIPS, "--csv=video.csv")[0] == 0
    assert run(*CLIPS[:2], "--fused=fused", "--csv=mixed.csv")[0] == 0
    status, output, _ = run(*FOLDERS, "--video", "--csv=folders.csv")
    assert status == 0 and output.splitlines()[-2].startswith("minimum")
    assert rows("mixed.csv") == rows("folders.csv") == rows("video.csv")


def test_methods_may_be_videos_and_folders_of_frames(clips, run):
    for number, frame in enumerate(videos.scene(5, SIZE, seed=5), 1):
        images.write(f"methods/other/{number}.png", frame)
    shutil.copy("fused.mp4", "methods/ours.mp4")
    status, output, _ = run(*CLIPS[:2], "--methods_dir=methods", "--csv=m.csv")
    assert status == 0
    assert [line.split()[0] for line in output.splitlines()[-2:]] == [
        *("other", "ours.mp4")
    ]
    names, table = rows("m.csv")
    assert names == ["method", "frame", *COLUMNS]
    assert [row["frame"] for row in table] == [*"12345"] * 2


def test_deep_frames_have_one_range(clips, run):
    deep = [frame.astype(np.uint16) * 40 + 7000 for frame in grey_frames("ir.mp4")]
    for number, frame in enumerate(deep, 1):
        pathlib.Path("deep").mkdir(exist_ok=True)
        Image.fromarray(frame).save(f"deep/{number}.png")
    arguments = ("--ir=deep", *CLIPS[1:])
    said = mistake(run(*arguments))
    assert "deep: has frames of more than 8 bits" in said and "--ir_range" in said
    assert run(*arguments, "--ir_range=auto", "--csv=m.csv")[0] == 0
    low, high = np.min(deep), np.max(deep)
    read = deep, grey_frames("vis.mp4"), grey_frames("fused.mp4")
    for row, ir, vis, fused in zip(rows("m.csv")[1][:-1], *read, strict=True):
        ir = np.rint((ir - low) * (255 / (high - low))).astype(np.uint8)
        expected = metrics.evaluate(ir, vis, fused)["SCD"]
        assert float(row["SCD"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*CLIPS[:2], "--fused=short.mp4"), "the sources differ in frames: ir.mp4 has"),
        (
            (*CLIPS[:2], "--fused=pictures"),
            "pictures has 2; expected one frame of each",
        ),
        ((*CLIPS[:2], "--fused=small.mp4"), "differ in height and width"),
        (("--ir=ir.mp4", "--vis=ir.mp4", "--fused=ir.mp4"), "each of the 3 sources"),
        ((*CLIPS, "--ir_range=1%,99%"), "percentiles"),
        ((*CLIPS, "--csv=ir.mp4"), "--csv=ir.mp4: would overwrite"),
        ((*CLIPS[:2], "--methods_dir=pictures"), "has no sub-folder and no video"),
        ((*FOLDERS[:2], "--fused=x", "--video"), "no such file"),
    ],
)
def test_a_mistake_with_videos_is_one_line(clips, run, arguments, message):
    videos.write("short.mp4", videos.scene(4, SIZE))
    videos.write("small.mp4", videos.scene(5, (32, 32)))
    for number, frame in enumerate(videos.scene(2, SIZE), 1):
        for name in ("pictures", "ir", "vis"):
            images.write(f"{name}/{number}.png", frame)
    assert message in mistake(run(*arguments))


# Table II


@pytest.mark.guard
def test_table2_gives_the_same_numbers_in_all_files(protocol, run):
    for n in range(1, 22):
        images.write(f"methods/CNN/{n}.png", photograph(n + 200, (3,)))
    status, output, _ = run(
        *(*TABLE2, "--lambdas=1e2,1e0", "--work_dir=kept", "--methods_dir=methods"),
        *("--csv=out/t.csv", "--markdown=out/t.md", "--panels=panels"),
        *("--pairs_csv=out/p.csv", "--latex=out/t.tex"),
    )
    assert status == 0
    lines = output.splitlines()
    assert lines[:2] == [
        f"lambda {name}: models/densefuse_{name}.keras" for name in ("1e0", "1e2")
    ]
    assert lines[2] == "100 images to fuse and evaluate, kept in kept"
    assert lines[3].startswith("20 colour images, evaluated in grey (their luma): met")
    marks = "diff (run - paper) / paper, {} the best, {} the second best"
    assert lines[4] == marks.format("*", "'")
    assert lines[5].split() == ["method", "lambda", *COLUMNS]
    assert lines[-5].startswith("DenseFuse: 28 cells, mean absolute difference ")
    names, table = rows("out/t.csv")
    assert ",".join(names) == "strategy,lambda,metric,value,paper,relative_difference"
    assert [(row["strategy"], row["lambda"]) for row in table[::7]] == [
        ("CNN", ""),
        *((s, name) for s in ("addition", "l1_norm") for name in ("1e0", "1e2")),
    ]
    assert [row["metric"] for row in table[:7]] == COLUMNS
    assert table[0]["paper"] == "6.80593"
    # The text, the CSV and the Markdown hold the same numbers.
    addition = next(line for line in lines if line.startswith("addition  1e0"))
    shown = addition.replace("*", " ").replace("'", " ").split()
    assert shown[3:] == [f"{float(row['value']):.5f}" for row in table[7:14]]
    markdown = pathlib.Path("out/t.md").read_text("utf-8")
    assert f"| {' | '.join(shown)} |" in markdown.replace("*", "")
    latex = pathlib.Path("out/t.tex").read_text("utf-8")
    assert latex.startswith(r"\begin{tabular}{lllrrrrrrr}") and shown[3] in latex
    names, pairs = rows("out/p.csv")
    assert names == ["strategy", "lambda", "pair", *COLUMNS]
    assert len(pairs) == 20 * 5
    mean = np.mean([float(row["En"]) for row in pairs if row["strategy"] == "CNN"])
    assert float(table[0]["value"]) == pytest.approx(mean)
    assert markdown.splitlines()[-5] == f"- {lines[-5]}"
    assert markdown.splitlines()[0] == marks.format("bold", "italics")
    panels = sorted(path.name for path in pathlib.Path("panels").iterdir())
    assert panels == sorted(f"pair{n}.png" for n in (*range(1, 20), 21))


def test_table2_says_what_is_kept_where_it_is_interrupted(protocol, run, monkeypatch):
    made = evaluate_table2.reproducing.reproduce

    def stopped(*arguments):
        yield from itertools.islice(made(*arguments), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_table2.reproducing, "reproduce", stopped)
    flags = (*TABLE2, "--lambdas=1e2", "--strategies=addition", "--work_dir=kept")
    status, output, _ = run(*flags)
    assert status == 130
    assert output.splitlines()[-1] == (
        "3 of 20 images are fused and evaluated: they are kept in kept, and the same "
        "command goes on there"
    )
    shown = []

    @contextlib.contextmanager
    def counted(count, unit):
        assert (count, unit) == (20, " images")
        yield shown.append

    monkeypatch.setattr(evaluate_table2.progress, "counted", counted)
    assert run(*flags)[0] == 130
    assert shown == [f"{count} were kept before" for count in (1, 2, 3)]


@pytest.mark.parametrize("methods", ["all", "ours", "cnn,gtf"])
def test_table2_imports_tensorflow_where_it_is_hushed(protocol, methods):
    code = (
        "import sys; from densefuse_tf import startup\n"
        "from densefuse_tf.commands import evaluate\n"
        "def stop(): print('before', 'tensorflow' in sys.modules); sys.exit(0)\n"
        "startup.import_tensorflow = stop\n"
        "evaluate.run(['evaluate.py', *sys.argv[1:]])"
    )
    flags = (*TABLE2, "--lambdas=1e0", f"--methods={methods}")
    result = subprocess.run(
        [sys.executable, "-c", code, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.stdout.splitlines()[-1] == "before False"


def test_missing_lambdas_are_named(protocol, run):
    line = mistake(run(*TABLE2, "--work_dir=kept"))
    assert "models: no checkpoint for lambda 1e1, 1e3: expected densefuse_1e1" in line
    assert line.endswith("; --lambdas=1e0,1e2 takes those that are there")
    pathlib.Path("empty").mkdir()
    line = mistake(run(*TABLE2[:2], "--checkpoint_dir=empty", "--work_dir=kept"))
    assert "empty: no checkpoint for lambda 1e0, 1e1, 1e2, 1e3" in line
    assert "takes those" not in line


def test_bad_checkpoint_is_one_line(protocol, run):
    pathlib.Path("models/densefuse_1e0.keras").write_text("nothing")
    line = mistake(run(*TABLE2, "--lambdas=1e0", "--work_dir=kept"))
    assert "models/densefuse_1e0.keras: cannot be read as a checkpoint" in line


def test_image_that_is_too_small_is_one_line(protocol, run, quick):
    for kind in ("IR", "VIS"):
        images.write(f"tno/{kind}5.png", np.zeros((40, 60), np.uint8))
    line = mistake(run(*TABLE2, "--lambdas=1e0", "--work_dir=kept"))
    assert (
        "tno/IR5.png and tno/VIS5.png, addition_1e0: ir is 40x60: expected at" in line
    )


def test_inputs_and_files_beside_them_are_not_overwritten(protocol, run):
    for n in range(1, 22):
        images.write(f"methods/GTF/pair{n}.png", photograph(n))
    # Pair 20 is in the folder, but not in the protocol.
    images.write("tno/IR20.png", photograph(20))
    before = {path: path.read_bytes() for path in protocol.rglob("*") if path.is_file()}
    flags = (*TABLE2, "--lambdas=1e0", "--methods_dir=methods", "--work_dir=kept")
    assert "IR20.png: is named as an image" in mistake(
        run(*flags, "--csv=tno/IR20.png")
    )
    assert "--csv=models/densefuse_1e0.keras: is named as an image or" in mistake(
        run(*flags, "--csv=models/densefuse_1e0.keras")
    )
    assert "would overwrite methods/GTF/pair1.png" in mistake(
        run(*flags, "--panels=methods/GTF")
    )
    after = {path: path.read_bytes() for path in protocol.rglob("*") if path.is_file()}
    assert after == before


def test_method_that_lacks_images_is_refused(protocol, run):
    images.write("methods/GTF/1.png", photograph(1))
    line = mistake(run(*TABLE2, "--lambdas=1e0", "--methods_dir=methods"))
    assert "methods/GTF: no image for pair 2, 3, 4, 5 and 15 more" in line
    assert not pathlib.Path("out").exists()


def test_full_disk_keeps_what_was_done(protocol, run, quick, small_disk):
    disk = small_disk(80)
    flags = (*TABLE2, "--lambdas=1e0", f"--work_dir={disk}")
    assert "cannot be written: No space left on device" in mistake(run(*flags))
    times = {path: path.stat().st_mtime_ns for path in disk.rglob("*.*")}
    assert times and not any(path.name.startswith(".") for path in times)
    small_disk.change("size=4m")
    assert run(*flags, "--csv=resumed.csv")[0] == 0
    assert times.items() <= {p: p.stat().st_mtime_ns for p in disk.rglob("*.*")}.items()
    assert run(*TABLE2, "--lambdas=1e0", "--work_dir=fresh", "--csv=fresh.csv")[0] == 0
    resumed, fresh = pathlib.Path("resumed.csv"), pathlib.Path("fresh.csv")
    assert resumed.read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("flag", ["csv", "markdown"])
def test_full_disk_leaves_no_half_table(files, run, small_disk, flag):
    disk = small_disk(4)
    (disk / "full").write_bytes(bytes(4096))
    line = mistake(run(*FOLDERS, f"--{flag}={disk}/table"))
    assert "table: cannot be written: No space left on device" in line
    assert [path.name for path in disk.iterdir()] == ["full"]


def test_read_only_folder_is_one_line(protocol, run, small_disk):
    disk = small_disk(4)
    small_disk.change("ro")
    for flag in ("work_dir", "csv", "panels"):
        target = disk / "t.csv" if flag == "csv" else disk
        line = mistake(run(*TABLE2, "--lambdas=1e0", f"--{flag}={target}"))
        assert "cannot be written: Read-only file system" in line
    assert not list(disk.iterdir())


def test_image_that_vanishes_is_one_line(files, run, monkeypatch):
    read = images.read

    def vanish(path, **settings):
        pathlib.Path("fused/VIS10.png").unlink(missing_ok=True)
        return read(path, **settings)

    monkeypatch.setattr(images, "read", vanish)
    line = mistake(run(*FOLDERS, "--csv=m.csv"))
    assert "fused/VIS10.png: cannot be read: No such file or directory" in line
    assert not pathlib.Path("m.csv").exists()


@pytest.mark.guard
def test_a_strategy_of_a_module_has_rows(protocol, run, own_strategies):
    pathlib.Path("second_alone.py").write_text(
        "import densefuse_tf\n"
        "@densefuse_tf.strategy('second_alone', scales_with_sources=False, reach=0)\n"
        "def second_alone(feature_maps):\n    return feature_maps[1]\n"
    )
    status, output, _ = run(
        *(*TABLE2, "--lambdas=1e2", "--work_dir=kept", "--csv=t.csv"),
        *("--strategies=addition,second_alone", "--panels=panels"),
        "--strategy_module=second_alone.py",
    )
    assert status == 0
    found = [row["strategy"] for row in rows("t.csv")[1][::7]]
    assert found == ["addition", "second_alone"]
    lines = [line.split() for line in output.splitlines()]
    assert [line[:3] for line in lines if line[:1] == ["second_alone"]] == [
        ["second_alone", "1e2", "run"]
    ]
    assert len(list(pathlib.Path("panels").iterdir())) == 20


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--strategy_module=no.py",), "strategy_module no.py: no such file"),
        (
            ("--strategies=mean",),
            "--strategies=mean: unknown strategy 'mean': expected",
        ),
        (("--strategies=",), "--strategies=: unknown strategy ''"),
        (("--strategies=addition", "--methods=cbf"), "--strategies goes with the rows"),
    ],
)
def test_strategies_that_are_not_there_are_refused(protocol, run, flags, message):
    assert message in mistake(run(*TABLE2, "--lambdas=1e2", *flags))


def test_models_of_this_project_are_the_default(protocol, run, quick):
    """Without --checkpoint_dir; whichever of them are there."""
    found = inputs.find_checkpoints(None)
    if not found:
        assert "the models of this project: no checkpoint" in mistake(
            run(*TABLE2[:2], "--work_dir=kept")
        )
        return
    status, output, _ = run(
        *TABLE2[:2], "--work_dir=kept", f"--lambdas={next(iter(found))}"
    )
    assert status == 0
    assert "DenseFuse: 14 cells" in output
