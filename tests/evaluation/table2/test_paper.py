"""The paper's numbers and its protocol, against the description of both."""

import re

from densefuse_tf.evaluation.table2 import paper


def test_numbers_are_those_of_the_reference(shared):
    found = {}
    for line in (shared / "REFERENCE.md").read_text("utf-8").splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")]
        numbers = [float(cell) for cell in row if re.fullmatch(r"\d\.\d{5}", cell)]
        if len(numbers) == 7:
            name, lambda_ = (*row[:-7], "")[:2]
            values = dict(zip(paper.METRICS, numbers, strict=True))
            found[name.replace("-", "_"), lambda_] = values
    assert len(found) == 14
    assert paper.rows() == found


def test_protocol_has_20_pairs_and_4_lambdas():
    assert set(range(1, 22)) - set(paper.PAIRS) == {20}
    assert len(paper.PAIRS) == 20
    assert paper.LAMBDAS == ("1e0", "1e1", "1e2", "1e3")


def test_claims_are_those_of_the_numbers():
    best, second = [], []
    for metric in paper.METRICS:
        values = sorted(
            ((own[metric], key) for key, own in paper.rows().items()), reverse=True
        )
        is_ours = [bool(key[1]) for _, key in values]
        if is_ours[0]:
            best.append(metric)
        elif is_ours[1]:
            second.append(metric)
    assert tuple(best) == paper.CLAIMED_BEST
    assert tuple(second) == paper.CLAIMED_SECOND


def test_published_cells_average_20_or_21_pairs():
    cells = [(n, m) for n in ("CBF", "GTF", "DeepFuse") for m in ("SCD", "MS_SSIM")]
    for name in (*paper.OTHERS, *paper.STRATEGIES, "DCHWT"):
        for metric in paper.METRICS:
            count = 21 if (name, metric) in cells else 20
            assert len(paper.averaged_pairs(name, metric, "paper")) == count
            assert paper.averaged_pairs(name, metric, "uniform") == paper.PAIRS
        assert paper.pairs(name, "uniform") == paper.PAIRS
    assert 20 in paper.pairs("GTF", "paper") and 20 not in paper.pairs("JSR", "paper")


def test_methods_have_the_papers_names():
    assert paper.name_of("deepfuse") == "DeepFuse"
    assert paper.name_of("wls") == "wls"
