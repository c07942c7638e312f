"""A history, for tests of what is written of a run and drawn of it."""

from densefuse_tf.training.settings import find_recipe

COLUMNS = find_recipe("paper").columns
ROWS = [
    dict(
        zip(
            COLUMNS,
            (100 * i, 90.5 / i, 0.5 / i, 140.25 / i, 80.0 / i, 1 - 0.1 / i),
            strict=True,
        )
    )
    for i in range(1, 6)
]
