"""The settings of a run, against the paper's section IV-A."""

from densefuse_tf.training.crops import Crops
from densefuse_tf.training.settings import TrainingSettings


def test_the_defaults_are_those_of_the_paper():
    default = TrainingSettings("photos")
    assert (default.network, default.recipe) == ("densefuse", "paper")
    assert (default.epochs, default.iterations, default.batch_size) == (4, None, 2)
    assert (default.learning_rate, default.mixed_precision) == (1e-4, "none")
    # Each photograph is squashed to a square; the paper does not say how, the release
    # takes the nearest pixel.
    assert (default.image_size, default.resize) == (256, "nearest")
    assert not default.random_crop
    assert Crops() == Crops(256, "nearest", False)
    # Figures 5 and 6 have a point for each 100 iterations.
    assert (default.num_val_images, default.val_every) == (1000, 100)
