"""The training run: Keras fit, what it records, and how it goes on after a kill."""

import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import warnings

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.training import dataset
from densefuse_tf.training import history
from densefuse_tf.training import losses
from densefuse_tf.training import recipes

MODEL = "model.keras"
BEST = "best.keras"
HISTORY = "history.csv"
CONFIG = "config.json"
STATE = "state.npz"
VALIDATION = "validation.json"
TENSORBOARD = "tensorboard"
MIXED_PRECISION = ("none", "float16", "bfloat16")
# Settings that a continued run may change: how long it is, how often it saves, and
# what does not touch the numbers.
_MAY_CHANGE = ("epochs", "iterations", "save_every", "cache")
_STEP_LOSSES = ("pixel_loss", "ssim_loss", "total_loss")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides a training run; written to config.json."""

    # Folder tree or glob of the photographs to train on.
    train_dir: str
    # The same for validation; None holds `num_val_images` out of train_dir.
    val_dir: str | None = None
    # Photographs to validate on: the first so many of val_dir, or as many drawn by
    # the seed from train_dir.
    num_val_images: int = 1000
    # How many of them make a point of the curve; the end of the run takes all.
    num_curve_images: int | None = None
    # Name of the recipe, see recipes.py.
    recipe: str = recipes.PAPER.name
    # lambda of Eq. 1.
    ssim_weight: float = 100.0
    # Length of the run: `iterations` if given, else `epochs`.
    epochs: int = 4
    iterations: int | None = None
    # Images per step, over all devices and workers together.
    batch_size: int = 2
    learning_rate: float = 1e-4
    # Of the initial kernels, the order of the photographs and random crops.
    seed: int = 0
    # Iterations between two points of the curves, and between two saves.
    val_every: int = 100
    save_every: int = 500
    # How photographs become crops, see dataset.Crops.
    image_size: int = dataset.IMAGE_SIZE
    resize: str = "nearest"
    random_crop: bool = False
    # None, "memory", or a file that keeps the crops.
    cache: str | None = None
    # Arithmetic of the network's inner layers; SSIM and weights stay float32.
    mixed_precision: str = "none"
    # Compile the step with XLA.
    xla: bool = False

    def check(self) -> None:
        """Raises UserError for a value that no run can have."""
        recipes.get(self.recipe)
        for name, least in (
            ("num_val_images", 1),
            ("batch_size", 1),
            ("val_every", 1),
            ("save_every", 1),
            ("epochs", 1),
            ("seed", 0),
            # The window of SSIM.
            ("image_size", 11),
        ):
            _at_least(name, getattr(self, name), least)
        for name in ("iterations", "num_curve_images"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "ssim_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} is {value}: expected a number of 0 or more")
        for name, choices in (
            ("resize", dataset.RESIZE_METHODS),
            ("mixed_precision", MIXED_PRECISION),
        ):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{name} is {getattr(self, name)!r}: expected one of "
                    f"{', '.join(choices)}"
                )


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UserError(f"{name} is {value}: expected {least} or more")


def choose_strategy(
    batch_size: int, *, multi_worker: bool = False
) -> tf.distribute.Strategy:
    """Where to train: the GPUs there are, else the CPU; logged.

    Must run before TensorFlow computes anything. GPU memory is taken as it is needed.

    Args:
      batch_size: Of this machine's GPUs as many are used as can share a batch alike.
      multi_worker: Join the workers that the environment's TF_CONFIG names.

    Returns:
      MultiWorkerMirroredStrategy, MirroredStrategy for several GPUs, else the
      strategy of one device.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    used = len(gpus)
    if not multi_worker:
        used = max((n for n in range(1, used + 1) if batch_size % n == 0), default=0)
    if multi_worker:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        logging.info(
            "%s %d of TF_CONFIG's cluster", resolver.task_type, resolver.task_id
        )
    elif used > 1:
        names = [f"GPU:{number}" for number in range(used)]
        strategy = tf.distribute.MirroredStrategy(names)
    elif gpus:
        strategy = tf.distribute.OneDeviceStrategy("/GPU:0")
    else:
        strategy = tf.distribute.get_strategy()
    if gpus:
        logging.info(
            "training on %d of %d GPU(s), which share batches of %d",
            used,
            len(gpus),
            batch_size,
        )
    else:
        logging.info("no GPU: training on the CPU")
    return strategy


def _check_shares(batch_size: int, num_replicas: int) -> None:
    """Refuses a batch of which the replicas would get unequal parts, or none."""
    if batch_size % num_replicas:
        raise UserError(
            f"batch_size is {batch_size}: expected a multiple of {num_replicas}, as "
            "many devices of the cluster share a batch"
        )


class Trainer(keras.Model):
    """The autoencoder with the losses of a recipe around it; what fit trains.

    A batch is (images, positions) as of dataset.Photographs; the images are input and
    target. The logs of a training step are of that step alone: pixel_loss, ssim_loss,
    total_loss, and the first and last position of the batch. The logs of an evaluation
    are means over the images: pixel_loss and ssim (the full index, whatever the recipe
    trains with).
    """

    def __init__(
        self, autoencoder: keras.Model, recipe: recipes.Recipe, ssim_weight: float
    ):
        super().__init__(name="trainer")
        self.autoencoder = autoencoder
        self.pixel_loss = losses.PixelLoss(recipe)
        self.ssim_loss = losses.SSIMLoss(recipe)
        self.ssim_weight = ssim_weight
        self._pixel_mean = keras.metrics.Mean(name="pixel_loss")
        self._ssim_mean = keras.metrics.Mean(name="ssim")
        self._step_losses = {}
        self.built = True

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing is left to build here.

        Keras's own way of finding that out takes a batch apart, and fails at that with
        MultiWorkerMirroredStrategy (keras-team/keras#20585).
        """

    @property
    def metrics(self):
        return [self._pixel_mean, self._ssim_mean]

    def call(self, inputs, training=False):
        return self.autoencoder(inputs, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Eq. 1: L = lambda * L_ssim + L_p."""
        pixel = self.pixel_loss(x, y_pred)
        ssim = self.ssim_loss(x, y_pred)
        total = self.ssim_weight * ssim + pixel
        self._step_losses = {
            "pixel_loss": pixel,
            "ssim_loss": ssim,
            "total_loss": total,
        }
        return total

    def train_step(self, data):
        _, positions = data
        super().train_step(data)
        # A Keras loss is divided by the number of replicas, which have equal parts of
        # the batch: the sum is the batch's.
        values = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, self._step_losses
        )
        positions = {"first": positions[0, 0], "last": positions[0, 1]}
        return _as_step_logs({**values, **positions})

    def test_step(self, data):
        images, _ = data
        # A replica may have no image of the last batch, and no network takes that.
        pixel, ssim = tf.cond(
            tf.size(images) > 0,
            lambda: self._measured(images),
            lambda: (tf.zeros([0]), tf.zeros([0])),
        )
        self._pixel_mean.update_state(pixel)
        self._ssim_mean.update_state(ssim)
        return _as_step_logs({mean.name: mean.result() for mean in self.metrics})

    def _measured(self, images):
        """Pixel loss and SSIM, [batch] each."""
        outputs = self(images, training=False)
        pixel = self.pixel_loss.call(images, outputs)
        return pixel, losses.full_ssim(images, outputs)


def _as_step_logs(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The scalars of a step as Keras wants them: over several workers as vectors."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return {name: value[None] for name, value in values.items()}
    return values


def _photographs(count: int) -> str:
    return f"{count} photograph{'' if count == 1 else 's'}"


class Run:
    """One training run in one folder: start, go on, record, save."""

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
          multi_worker: See `choose_strategy`.

        Raises:
          UserError: Impossible settings, a folder that holds another run, too few
            photographs, a batch that the devices cannot share alike.
        """
        settings.check()
        self.settings = settings
        self.run_dir = pathlib.Path(run_dir)
        self._recipe = recipes.get(settings.recipe)
        self._strategy = choose_strategy(settings.batch_size, multi_worker=multi_worker)
        _check_shares(settings.batch_size, self._strategy.num_replicas_in_sync)
        # Of several workers one writes: the chief if the cluster has one, or the first.
        self.is_chief = self._strategy.extended.should_checkpoint
        keras.utils.set_random_seed(settings.seed)
        self._find_photographs()
        self.train_images.require(settings.batch_size)
        self.val_images.require(1)
        # Once nothing is wrong with what was given: it decides what else may run here.
        self._write_config()
        self.iteration = 0
        self.next_position = 0
        self.rows: list[history.Row] = []
        # Sums of the step losses since the last point of the curves, and their number.
        self.sums = dict.fromkeys(_STEP_LOSSES, 0.0)
        self.num_summed = 0
        self._build()
        self._restore()

    @property
    def num_iterations(self) -> int:
        """How long the run is; fewer where epochs are counted and files are corrupt."""
        if self.settings.iterations is not None:
            return self.settings.iterations
        per_epoch = len(self.train_images.paths) // self.settings.batch_size
        return self.settings.epochs * per_epoch

    def train(self) -> None:
        """Trains to the end, from wherever the folder's state is.

        Raises:
          UserError: The loss is not finite, or the folder cannot be written.
        """
        settings = self.settings
        if self.iteration >= self.num_iterations:
            logging.info("%s holds the finished run", self.run_dir)
        else:
            batches = self.train_images.training_batches(
                settings.batch_size,
                epochs=settings.epochs if settings.iterations is None else None,
                start=self.next_position,
                interleaved=self._recipe.interleaved_batches,
            )
            with warnings.catch_warnings():
                # Corrupt photographs make the last epoch shorter than was counted.
                warnings.filterwarnings("ignore", "Your input ran out of data")
                self.trainer.fit(
                    batches, callbacks=[_Recorder(self)], shuffle=False, verbose=0
                )
            if self.train_images.num_corrupt:
                logging.warning(
                    "could not be read and skipped: %s",
                    _photographs(self.train_images.num_corrupt),
                )
            self.save()
        if not (self.run_dir / VALIDATION).exists():
            self._validate_at_end()

    def _find_photographs(self) -> None:
        settings = self.settings
        crops = dataset.Crops(
            settings.image_size, settings.resize, settings.random_crop
        )
        training = dataset.find_photographs(settings.train_dir)
        if settings.val_dir is not None:
            validation = dataset.find_photographs(settings.val_dir)
            validation = validation[: settings.num_val_images]
        else:
            if len(training) <= settings.num_val_images:
                raise UserError(
                    f"{settings.train_dir}: has {_photographs(len(training))}: "
                    f"expected more than the {settings.num_val_images} held out to "
                    "validate on; lower num_val_images or give val_dir"
                )
            order = np.random.default_rng(settings.seed).permutation(len(training))
            held_out = set(order[: settings.num_val_images].tolist())
            validation = [p for i, p in enumerate(training) if i in held_out]
            training = [p for i, p in enumerate(training) if i not in held_out]
        if len(training) < settings.batch_size:
            raise UserError(
                f"{settings.train_dir}: has {_photographs(len(training))}: expected at "
                f"least one batch of {settings.batch_size}"
            )
        cache = None
        if settings.cache is not None:
            cache_file = None if settings.cache == "memory" else settings.cache
            cache = dataset.CropCache(training, crops, cache_file)
        self.train_images = dataset.Photographs(
            training, crops, seed=settings.seed, cache=cache
        )
        self.val_images = dataset.Photographs(
            validation, dataset.Crops(settings.image_size, settings.resize)
        )

    def _config(self) -> dict:
        return {
            "settings": dataclasses.asdict(self.settings),
            "recipe": dataclasses.asdict(self._recipe),
            "num_train_images": len(self.train_images.paths),
            "num_val_images": len(self.val_images.paths),
            "versions": {
                "python": platform.python_version(),
                **{
                    name: importlib.metadata.version(name)
                    for name in ("tensorflow", "keras", "numpy", "pillow")
                },
            },
        }

    def _write_config(self) -> None:
        """Writes config.json, or compares with the one that is there."""
        path = self.run_dir / CONFIG
        config = self._config()
        if path.exists():
            self._compare_config(path, config)
        if self.is_chief:
            with files.replacing(path) as temporary:
                temporary.write_text(json.dumps(config, indent=2) + "\n")

    def _compare_config(self, path: pathlib.Path, config: dict) -> None:
        try:
            held = json.loads(path.read_text())
            held_settings = dict(held["settings"])
            held_counts = [held["num_train_images"], held["num_val_images"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: cannot be read as the configuration of a run"
            ) from error
        for name, value in config["settings"].items():
            if name not in _MAY_CHANGE and held_settings.get(name) != value:
                raise UserError(
                    f"{self.run_dir}: holds a run with {name}="
                    f"{held_settings.get(name)}, this one has {name}={value}: give "
                    "another run_dir"
                )
        counts = [config["num_train_images"], config["num_val_images"]]
        if counts != held_counts:
            raise UserError(
                f"{self.run_dir}: its run was on {held_counts[0]} + {held_counts[1]} "
                f"photographs, now there are {counts[0]} + {counts[1]}: give another "
                "run_dir"
            )

    def _build(self) -> None:
        settings = self.settings
        dtype = "float32"
        if settings.mixed_precision != "none":
            dtype = f"mixed_{settings.mixed_precision}"
        with self._strategy.scope():
            self.trainer = Trainer(
                network.autoencoder(
                    dtype=dtype, quick=network.use_quick_layers() and not settings.xla
                ),
                self._recipe,
                settings.ssim_weight,
            )
            optimizer = keras.optimizers.Adam(settings.learning_rate)
            if settings.mixed_precision == "float16":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            self.trainer.compile(optimizer, jit_compile=settings.xla)
            optimizer.build(self.trainer.trainable_variables)
        self._log_placement()

    def _log_placement(self) -> None:
        """Says where the variables lie and where a step computes."""
        variable = self.trainer.trainable_variables[0].value
        with self._strategy.scope():
            probe = tf.function(lambda: variable + 0.0)
            outputs = self._strategy.experimental_local_results(
                self._strategy.run(probe)
            )
        logging.info(
            "%s: variables on %s; a step runs on %s",
            type(self._strategy).__name__,
            variable.device,
            ", ".join(output.device for output in outputs),
        )

    def _variables(self) -> list[keras.Variable]:
        """All that a step changes, in a fixed order."""
        return [
            *self.trainer.autoencoder.variables,
            *self.trainer.optimizer.variables,
        ]

    def save(self) -> None:
        """Writes model, history and state; each replaces the last in one step.

        The state comes last: once it says that the run is finished, nobody would write
        the others again.
        """
        if not self.is_chief:
            return
        checkpoints.save_autoencoder(self.trainer.autoencoder, self.run_dir / MODEL)
        history.write(self.rows, self.run_dir / HISTORY)
        arrays = {
            f"variable_{i}": variable.value.numpy()
            for i, variable in enumerate(self._variables())
        }
        with files.replacing(self.run_dir / STATE) as temporary:
            np.savez(
                temporary,
                iteration=self.iteration,
                next_position=self.next_position,
                rows=np.array([dataclasses.astuple(row) for row in self.rows]),
                sums=[self.sums[name] for name in _STEP_LOSSES],
                num_summed=self.num_summed,
                **arrays,
            )

    def _restore(self) -> None:
        path = self.run_dir / STATE
        if not path.exists():
            return
        variables = self._variables()
        try:
            with np.load(path, allow_pickle=False) as state:
                arrays = [state[f"variable_{i}"] for i in range(len(variables))]
                self.iteration = int(state["iteration"])
                self.next_position = int(state["next_position"])
                self.rows = [
                    history.Row(int(row[0]), *map(float, row[1:]))
                    for row in state["rows"]
                ]
                sums = map(float, state["sums"])
                self.sums = dict(zip(_STEP_LOSSES, sums, strict=True))
                self.num_summed = int(state["num_summed"])
        except Exception as error:
            raise UserError(f"{path}: cannot be read as the state of a run") from error
        for variable, array in zip(variables, arrays, strict=True):
            if tuple(variable.shape) != array.shape:
                raise UserError(
                    f"{path}: {variable.path} is {array.shape}: expected "
                    f"{tuple(variable.shape)}"
                )
            variable.assign(array)
        if self.iteration < self.num_iterations:
            (self.run_dir / VALIDATION).unlink(missing_ok=True)
            logging.info(
                "going on from iteration %d of %s", self.iteration, self.run_dir
            )

    def validate(self, limit: int | None = None) -> dict[str, float]:
        """Mean pixel_loss and ssim over the first `limit` validation images."""
        batches = self.val_images.validation_batches(
            self.settings.batch_size, limit=limit
        )
        with warnings.catch_warnings():
            # Keras learns at the end of the data how long it is, and warns of that.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            return self.trainer.evaluate(batches, verbose=0, return_dict=True)

    def _validate_at_end(self) -> None:
        values = self.validate()
        if self.is_chief:
            with files.replacing(self.run_dir / VALIDATION) as temporary:
                report = {
                    "iteration": self.iteration,
                    "num_images": len(self.val_images.paths),
                    **values,
                }
                temporary.write_text(json.dumps(report, indent=2) + "\n")
        logging.info(
            "iteration %d: validation pixel loss %.4f, SSIM %.5f over %d images; "
            "the model is %s",
            self.iteration,
            values["pixel_loss"],
            values["ssim"],
            len(self.val_images.paths),
            self.run_dir / MODEL,
        )


class _Recorder(keras.callbacks.Callback):
    """After each step: check, progress; now and then: a point of the curves, a save."""

    def __init__(self, run: Run):
        super().__init__()
        self._run = run
        self._optimizer_iterations = None

    def on_train_begin(self, logs=None):
        run = self._run
        self._bar = tqdm.tqdm(
            total=run.num_iterations,
            initial=run.iteration,
            unit="it",
            dynamic_ncols=True,
            # Where nobody watches, a line for each point of the curves is enough.
            disable=None if run.is_chief else True,
        )
        self._writer = None
        if run.is_chief:
            self._writer = tf.summary.create_file_writer(str(run.run_dir / TENSORBOARD))

    def on_train_batch_end(self, batch, logs=None):
        run = self._run
        run.iteration += 1
        first, last = int(logs["first"]), int(logs["last"])
        run.next_position = last + 1
        if not math.isfinite(logs["total_loss"]):
            names = ", ".join(
                str(path) for path in run.train_images.files_between(first, last)
            )
            raise UserError(
                f"iteration {run.iteration}: the loss is {logs['total_loss']} on "
                f"{names}; {run.run_dir} keeps the last good save"
            )
        for name in _STEP_LOSSES:
            run.sums[name] += float(logs[name])
        run.num_summed += 1
        self._optimizer_iterations = run.trainer.optimizer.iterations.value.numpy()
        self._bar.update()
        self._bar.set_postfix(
            {name: f"{logs[name]:.4g}" for name in _STEP_LOSSES}, refresh=False
        )
        if run.iteration % run.settings.val_every == 0:
            self._record()
        if run.iteration % run.settings.save_every == 0:
            run.save()
        if run.iteration >= run.num_iterations:
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
        run = self._run
        validation = run.validate(run.settings.num_curve_images)
        row = history.Row(
            iteration=run.iteration,
            **{name: total / run.num_summed for name, total in run.sums.items()},
            val_pixel_loss=validation["pixel_loss"],
            val_ssim=validation["ssim"],
        )
        is_best = self._validation_loss(row) < min(
            map(self._validation_loss, run.rows), default=math.inf
        )
        run.rows.append(row)
        run.sums = dict.fromkeys(_STEP_LOSSES, 0.0)
        run.num_summed = 0
        if not run.is_chief:
            return
        history.write(run.rows, run.run_dir / HISTORY)
        if is_best:
            checkpoints.save_autoencoder(run.trainer.autoencoder, run.run_dir / BEST)
        with self._writer.as_default(step=run.iteration):
            for name, value in dataclasses.asdict(row).items():
                if name != "iteration":
                    tf.summary.scalar(name, value)
        self._writer.flush()
        if self._bar.disable:
            logging.info(
                "iteration %d of %d: pixel loss %.4f, SSIM loss %.6f, "
                "validation pixel loss %.4f, SSIM %.5f",
                run.iteration,
                run.num_iterations,
                row.pixel_loss,
                row.ssim_loss,
                row.val_pixel_loss,
                row.val_ssim,
            )

    def _validation_loss(self, row: history.Row) -> float:
        """Eq. 1 on the validation images, with the full index as SSIM."""
        ssim_weight = self._run.settings.ssim_weight
        return row.val_pixel_loss + ssim_weight * (1 - row.val_ssim)
