"""A training run: its folder, its data and model, and the loop from start to end."""

import json
import os
import pathlib
import warnings

import keras
from absl import logging

from densefuse_tf.io import files
from densefuse_tf.training import devices
from densefuse_tf.training import folder
from densefuse_tf.training import history
from densefuse_tf.training import interrupts
from densefuse_tf.training import networks
from densefuse_tf.training import photographs
from densefuse_tf.training import recipes
from densefuse_tf.training import state
from densefuse_tf.training.recorder import Recorder
from densefuse_tf.training.settings import Settings
from densefuse_tf.training.trainer import Trainer


class Paths:
    """The files of a run in its folder."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        # The weights of the last save, and of the least validation loss of the curves.
        self.model = self.folder / "model.keras"
        self.best = self.folder / "best.keras"
        self.history = self.folder / "history.csv"
        self.state = self.folder / "state.npz"
        # The losses over all validation images at the end.
        self.validation = self.folder / "validation.json"
        self.tensorboard = self.folder / "tensorboard"


class Run:
    """One training run in one folder.

    Attributes:
      settings: Its settings.
      paths: Its files.
      is_chief: Whether this worker writes them: of several one does, the chief if the
        cluster has one, or the first.
      state: Its place.
      trainer: The model.
      train_images: The photographs to train on.
      val_images: The photographs to validate on.
    """

    def __init__(
        self,
        settings: Settings,
        run_dir: str | os.PathLike,
        *,
        multi_worker: bool = False,
    ):
        """Reads what the folder holds and builds data and model.

        Args:
          settings: The run.
          run_dir: Its folder; made when it is missing. If it holds the state of the
            same run, `train` goes on from there.
          multi_worker: See `devices.choose_strategy`.

        Raises:
          UserError: Impossible settings, a folder that holds another run, too few
            photographs, a batch that the devices cannot share alike.
        """
        settings.check()
        self.settings = settings
        self.paths = Paths(run_dir)
        self._recipe = recipes.get(settings.recipe, settings.network)
        self._strategy = devices.choose_strategy(
            settings.batch_size, multi_worker=multi_worker
        )
        devices.check_shares(settings.batch_size, self._strategy.num_replicas_in_sync)
        self.is_chief = self._strategy.extended.should_checkpoint
        keras.utils.set_random_seed(settings.seed)
        self.train_images, self.val_images = photographs.split(settings)
        self.train_images.require(settings.batch_size)
        self.val_images.require(1)
        described = folder.describe(
            settings, len(self.train_images.paths), len(self.val_images.paths)
        )
        folder.check_same(run_dir, described)
        if self.is_chief:
            # Only once nothing is wrong with what was given, since it decides what
            # else may run in this folder.
            folder.write(run_dir, described)
        self.trainer = self._build()
        self.state = state.State()
        if self.paths.state.exists():
            self._restore()

    @property
    def num_iterations(self) -> int:
        """The length of the run; corrupt files make a run of epochs shorter."""
        if self.settings.iterations is not None:
            return self.settings.iterations
        per_epoch = len(self.train_images.paths) // self.settings.batch_size
        return self.settings.epochs * per_epoch

    def train(self) -> None:
        """Trains to the end, from wherever the folder's state is.

        Raises:
          UserError: The loss is not finite, or the folder cannot be written.
          KeyboardInterrupt: Ctrl-C ended the run, which is saved.
        """
        if self.state.iteration >= self.num_iterations:
            logging.info("%s holds the finished run", self.paths.folder)
        else:
            with interrupts.deferred() as interrupted:
                self._fit(Recorder(self, interrupted))
                if self.train_images.num_corrupt:
                    logging.warning(
                        "could not be read and skipped: %s",
                        photographs.photographs(self.train_images.num_corrupt),
                    )
                self.save()
            if interrupted.is_set():
                logging.info(
                    "saved at iteration %d of %d in %s; the same command goes on from "
                    "there",
                    self.state.iteration,
                    self.num_iterations,
                    self.paths.folder,
                )
                raise KeyboardInterrupt
        if not self.paths.validation.exists():
            self._validate_at_end()

    def save(self) -> None:
        """Writes model, history and state; each replaces the last in one step.

        The state comes last: once it says that the run is finished, nobody would write
        the others again.
        """
        if not self.is_chief:
            return
        self.save_weights(self.paths.model)
        history.write(self.state.rows, self.paths.history)
        self.state.save(self.paths.state, self._variables())

    def save_weights(self, path: pathlib.Path) -> None:
        """Writes the weights as a .keras file."""
        networks.save(self.settings.network, self.trainer.autoencoder, path)

    def validate(self, limit: int | None = None) -> dict[str, float]:
        """Returns mean pixel_loss and ssim over the first `limit` validation images."""
        batches = self.val_images.validation_batches(
            self.settings.batch_size, limit=limit
        )
        with warnings.catch_warnings():
            # Keras learns at the end of the data how long it is, and warns of that.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            return self.trainer.evaluate(batches, verbose=0, return_dict=True)

    def _build(self) -> Trainer:
        settings = self.settings
        dtype = "float32"
        if settings.mixed_precision != "none":
            dtype = f"mixed_{settings.mixed_precision}"
        with self._strategy.scope():
            trainer = Trainer(
                networks.build(settings.network, dtype=dtype, xla=settings.xla),
                self._recipe,
                settings.ssim_weight,
            )
            optimizer = keras.optimizers.Adam(settings.learning_rate)
            if settings.mixed_precision == "float16":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            trainer.compile(optimizer, jit_compile=settings.xla)
            optimizer.build(trainer.trainable_variables)
        devices.log_placement(self._strategy, trainer.trainable_variables[0].value)
        return trainer

    def _variables(self) -> list[keras.Variable]:
        """Returns all that a step changes, in a fixed order."""
        return [
            *self.trainer.autoencoder.variables,
            *self.trainer.optimizer.variables,
        ]

    def _restore(self) -> None:
        self.state = state.load(self.paths.state, self._variables())
        if self.state.iteration < self.num_iterations:
            self.paths.validation.unlink(missing_ok=True)
            logging.info(
                "going on from iteration %d of %s",
                self.state.iteration,
                self.paths.folder,
            )

    def _fit(self, recorder: Recorder) -> None:
        settings = self.settings
        batches = self.train_images.training_batches(
            settings.batch_size,
            epochs=settings.epochs if settings.iterations is None else None,
            start=self.state.next_position,
            interleaved=self._recipe.interleaved_batches,
        )
        with warnings.catch_warnings():
            # Corrupt photographs make the last epoch shorter than was counted.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            self.trainer.fit(batches, callbacks=[recorder], shuffle=False, verbose=0)

    def _validate_at_end(self) -> None:
        values = self.validate()
        count = len(self.val_images.paths)
        if self.is_chief:
            report = {"iteration": self.state.iteration, "num_images": count, **values}
            with files.replacing(self.paths.validation) as temporary:
                temporary.write_text(json.dumps(report, indent=2) + "\n")
        logging.info(
            "iteration %d: validation pixel loss %.4f, SSIM %.5f over %d images; "
            "the model is %s",
            self.state.iteration,
            values["pixel_loss"],
            values["ssim"],
            count,
            self.paths.model,
        )
