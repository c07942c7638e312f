"""The place of a run: what its points are means of."""

from densefuse_tf.training.settings import find_recipe
from densefuse_tf.training.state import State


def test_a_point_is_the_mean_of_the_steps_since_the_last_one():
    recipe = find_recipe("paper")
    state = State(recipe)
    validation = {"pixel_loss": 7.0, "ssim": 0.5}
    for steps, mean in (([2.0, 4.0], 3.0), ([10.0], 10.0), ([1.0, 2.0, 6.0], 3.0)):
        for value in steps:
            losses = dict.fromkeys(recipe.step_losses, value)
            state.count(losses, last_position=2 * state.iteration + 1)
        row = state.close_row(validation)
        assert [row[name] for name in recipe.step_losses] == [mean] * 3
        assert (row["val_pixel_loss"], row["val_ssim"]) == (7.0, 0.5)
    assert state.iteration == 6 and state.next_position == 12
    assert [row["iteration"] for row in state.rows] == [2, 3, 6]
