"""What happens between the steps of a run: checks, progress, curves and saves."""

import dataclasses
import math
import threading
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
import tqdm
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.training import history
from densefuse_tf.training.trainer import STEP_LOSSES

if TYPE_CHECKING:
    from densefuse_tf.training.run import Run


class Recorder(keras.callbacks.Callback):
    """Follows the steps of a run and stops it at its end."""

    def __init__(self, run: "Run", interrupted: threading.Event):
        """Takes the run, and an event that asks to stop after the step in work."""
        super().__init__()
        self._run = run
        self._interrupted = interrupted
        self._optimizer_iterations = None

    def on_train_begin(self, logs=None):
        run = self._run
        self._bar = tqdm.tqdm(
            total=run.num_iterations,
            initial=run.state.iteration,
            unit="it",
            dynamic_ncols=True,
            # Where nobody watches, a line for each point of the curves is enough.
            disable=None if run.is_chief else True,
        )
        self._writer = None
        if run.is_chief:
            self._writer = tf.summary.create_file_writer(str(run.paths.tensorboard))

    def on_train_batch_end(self, batch, logs=None):
        run, state = self._run, self._run.state
        first, last = int(logs["first"]), int(logs["last"])
        state.count(logs, last_position=last)
        if not math.isfinite(logs["total_loss"]):
            names = ", ".join(
                str(path) for path in run.train_images.files_between(first, last)
            )
            raise UserError(
                f"iteration {state.iteration}: the loss is {logs['total_loss']} on "
                f"{names}; {run.paths.folder} keeps the last good save"
            )
        self._optimizer_iterations = run.trainer.optimizer.iterations.value.numpy()
        self._bar.update()
        self._bar.set_postfix(
            {name: f"{logs[name]:.4g}" for name in STEP_LOSSES}, refresh=False
        )
        if state.iteration % run.settings.val_every == 0:
            self._record()
        if state.iteration % run.settings.save_every == 0:
            run.save()
        if state.iteration >= run.num_iterations or self._interrupted.is_set():
            run.trainer.stop_training = True

    def on_train_end(self, logs=None):
        if self._optimizer_iterations is not None:
            # Where the photographs end before the iterations do, because some could
            # not be read, fit has counted one step more than there was data for.
            self._run.trainer.optimizer.iterations.assign(self._optimizer_iterations)
        self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def _record(self) -> None:
        """Makes a point of the curves, and keeps the weights if they are the best."""
        run, state = self._run, self._run.state
        least = min(map(self._validation_loss, state.rows), default=math.inf)
        row = state.close_row(run.validate(run.settings.num_curve_images))
        if not run.is_chief:
            return
        history.write(state.rows, run.paths.history)
        if self._validation_loss(row) < least:
            run.save_weights(run.paths.best)
        with self._writer.as_default(step=row.iteration):
            for name, value in dataclasses.asdict(row).items():
                if name != "iteration":
                    tf.summary.scalar(name, value)
        self._writer.flush()
        if self._bar.disable:
            logging.info(
                "iteration %d of %d: pixel loss %.4f, SSIM loss %.6f, "
                "validation pixel loss %.4f, SSIM %.5f",
                row.iteration,
                run.num_iterations,
                row.pixel_loss,
                row.ssim_loss,
                row.val_pixel_loss,
                row.val_ssim,
            )

    def _validation_loss(self, row: history.Row) -> float:
        """Returns Eq. 1 on the validation images, with the full index as SSIM."""
        trainer = self._run.trainer
        pixel = trainer.pixel_weight * row.val_pixel_loss
        return pixel + trainer.ssim_weight * (1 - row.val_ssim)
