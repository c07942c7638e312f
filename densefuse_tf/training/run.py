"""A training run: its data, its model and the loop from start to end."""

import contextlib
import math
import os
import pathlib
import signal
import threading
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf
import tqdm
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import texts
from densefuse_tf.training import devices
from densefuse_tf.training import folder
from densefuse_tf.training import photographs
from densefuse_tf.training.settings import TrainingSettings
from densefuse_tf.training.state import State
from densefuse_tf.training.trainer import Trainer


class TrainingRun:
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
        settings: TrainingSettings,
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
        """
        settings.check()
        self.settings = settings
        self.paths = folder.Paths(run_dir)
        self._recipe = settings.weighted_recipe
        strategy = devices.choose_strategy(
            settings.batch_size,
            multi_worker=multi_worker,
            deterministic=settings.deterministic,
        )
        devices.check_shares(settings.batch_size, strategy.num_replicas_in_sync)
        self.is_chief = strategy.extended.should_checkpoint
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
            texts.write_json(self.paths.config, described)
        self.trainer = Trainer(settings, strategy)
        devices.log_placement(strategy, self.trainer.variables[0].value)
        self.state = State(self._recipe)
        if self.paths.state.exists():
            self._restore()

    @property
    def num_iterations(self) -> int:
        """The length of the run; corrupt files make a run of epochs shorter."""
        if self.settings.iterations is not None:
            return self.settings.iterations
        per_epoch = len(self.train_images.paths) // self.settings.batch_size
        return self.settings.epochs * per_epoch

    @property
    def is_finished(self) -> bool:
        """Whether no step is left."""
        if self.settings.iterations is None:
            epochs = self.settings.epochs
            if self.state.next_position >= epochs * len(self.train_images.paths):
                return True
        return self.state.iteration >= self.num_iterations

    def train(self) -> None:
        """Trains to the end, from wherever the folder's state is.

        Ctrl-C and SIGTERM wait for the end of the step and for a save, then they do
        what they do otherwise.

        Raises:
          UserError: The loss is not finite, the photographs have gone away, or the
            folder cannot be written.
          KeyboardInterrupt: Ctrl-C ended the run, which is saved.
        """
        if self.is_finished:
            logging.info("%s holds the finished run", self.paths.folder)
        else:
            with interrupts_deferred() as interrupted:
                self._take_steps(interrupted)
                if self.train_images.num_corrupt:
                    logging.warning(
                        "could not be read and skipped: %s",
                        photographs.counted(self.train_images.num_corrupt),
                    )
                self.save()
            saved = (
                f"saved at iteration {self.state.iteration} of {self.num_iterations} "
                f"in {self.paths.folder}; the same command goes on from there"
            )
            if interrupted:
                logging.info("%s", saved)
                signal.raise_signal(interrupted[0])
                return
            if self.train_images.are_gone and not self.is_finished:
                raise UserError(
                    f"{self.settings.train_dir}: no batch of photographs can be read "
                    f"any more: {saved}"
                )
        if not self.paths.validation.exists():
            self._validate_at_end()

    def save(self) -> None:
        """Writes model, history and state; each replaces the last in one step.

        The state comes last: once it says that the run is finished, nobody would write
        the others again.
        """
        if not self.is_chief:
            return
        self.trainer.save(self.paths.model)
        self._write_history()
        self.state.save(self.paths.state, self.trainer.variables)

    def validate(self, limit: int | None = None) -> dict[str, float]:
        """Measures the first `limit` validation images; see `Trainer.measure`."""
        measured = self.trainer.measure(
            self.val_images.validation_batches(self.settings.batch_size, limit=limit)
        )
        if not measured:
            raise UserError(
                "no photograph to validate on can be read any more" + self._kept()
            )
        return measured

    def _restore(self) -> None:
        self.state.load(self.paths.state, self.trainer.variables)
        if not self.is_finished:
            self.paths.validation.unlink(missing_ok=True)
            logging.info(
                "going on from iteration %d of %s",
                self.state.iteration,
                self.paths.folder,
            )

    def _take_steps(self, interrupted: list[int]) -> None:
        """Trains until the run is at its end or is interrupted."""
        settings, state = self.settings, self.state
        batches = self.train_images.training_batches(
            settings.batch_size,
            epochs=settings.epochs if settings.iterations is None else None,
            start=state.next_position,
            interleaved=self._recipe.interleaved_batches,
        )
        tensorboard = self.paths.tensorboard if self.is_chief else None
        with _Display(state.iteration, self.num_iterations, tensorboard) as display:
            for batch in self.trainer.shared(batches):
                losses = self.trainer.step(batch)
                first, last = int(losses.pop("first")), int(losses.pop("last"))
                state.count(losses, last_position=last)
                self._check_finite(losses["total_loss"], first, last)
                display.step(losses)
                if state.iteration % settings.val_every == 0:
                    display.point(self._close_row())
                if state.iteration % settings.save_every == 0:
                    self.save()
                if state.iteration >= self.num_iterations or interrupted:
                    return
        if not self.train_images.are_gone:
            # The epochs are over, with fewer steps than there would be if all
            # photographs could be read.
            state.next_position = settings.epochs * len(self.train_images.paths)

    def _check_finite(self, loss: float, first: int, last: int) -> None:
        if not math.isfinite(loss):
            names = ", ".join(map(str, self.train_images.files_between(first, last)))
            raise UserError(
                f"iteration {self.state.iteration}: the loss is {loss} on {names}, at "
                f"a learning_rate of {self.settings.learning_rate:g}{self._kept()}"
            )

    def _kept(self) -> str:
        if not self.paths.state.exists():
            return ""
        return f"; {self.paths.folder} keeps the last good save"

    def _close_row(self) -> dict[str, float]:
        """Makes a point of the curves, and keeps the weights if they are the best."""
        loss = self._recipe.validation_loss
        least = min(map(loss, self.state.rows), default=math.inf)
        row = self.state.close_row(self.validate(self.settings.num_curve_images))
        if self.is_chief:
            self._write_history()
            if loss(row) < least:
                self.trainer.save(self.paths.best)
        return row

    def _write_history(self) -> None:
        folder.write_history(self.paths.history, self._recipe.columns, self.state.rows)

    def _validate_at_end(self) -> None:
        values = self.validate()
        count = len(self.val_images.paths)
        if self.is_chief:
            report = {"iteration": self.state.iteration, "num_images": count, **values}
            texts.write_json(self.paths.validation, report)
        logging.info(
            "iteration %d: validation %s over %d images; the model is %s",
            self.state.iteration,
            _listed(values),
            count,
            self.paths.model,
        )


class _Display:
    """Shows a run, as a bar where somebody watches, else as lines, and in TensorBoard.

    Without a folder for TensorBoard it does nothing: another worker does.
    """

    def __init__(self, done: int, total: int, tensorboard: pathlib.Path | None):
        self._total = total
        self._bar = tqdm.tqdm(
            total=total,
            initial=done,
            unit="it",
            dynamic_ncols=True,
            disable=None if tensorboard else True,
        )
        self._writer = None
        if tensorboard is not None:
            self._writer = tf.summary.create_file_writer(str(tensorboard))

    def __enter__(self) -> "_Display":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def step(self, losses: Mapping[str, float]) -> None:
        shown = {name: f"{value:.4g}" for name, value in losses.items()}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def point(self, row: Mapping[str, float]) -> None:
        if self._writer is None:
            return
        values = dict(row)
        iteration = values.pop("iteration")
        with self._writer.as_default(step=iteration):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
        if self._bar.disable:
            measured = {
                name.removeprefix("val_"): values.pop(name)
                for name in row
                if name.startswith("val_")
            }
            logging.info(
                "iteration %d of %d: %s, validation %s",
                iteration,
                self._total,
                _listed(values),
                _listed(measured),
            )


def _listed(values: Mapping[str, float]) -> str:
    """Makes "pixel loss 91.4123, SSIM 0.91234" of pixel_loss and ssim."""
    text = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
    return text.replace("_", " ").replace("ssim", "SSIM")


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[list[int]]:
    """Notes the first Ctrl-C or SIGTERM in the body; a second one ends at once.

    So a step is done before the run ends, and the state is whole. In other threads than
    the main one, and where a signal is ignored, as Ctrl-C is in commands that the shell
    runs in the background, nothing is changed.

    Yields:
      The signal, once there was one.
    """
    asked: list[int] = []
    names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
    before = {number: signal.getsignal(number) for number in names}
    before = {n: how for n, how in before.items() if how not in (signal.SIG_IGN, None)}
    if threading.current_thread() is not threading.main_thread():
        before = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, _) -> None:
        asked.append(number)
        restore()
        logging.info(
            "saving after this iteration; %s again ends without a save",
            names[signal.Signals(number)],
        )

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        restore()
