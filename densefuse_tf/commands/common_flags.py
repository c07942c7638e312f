"""The flags that several commands have, each declared into the command's own values."""

from collections.abc import Sequence

from absl import flags

from densefuse_tf.errors import UserError

# A flag counts as the command's own, under whose name --help lists it.
flags.disclaim_key_flags()


def define_ir_and_vis(
    values: flags.FlagValues,
) -> tuple[flags.FlagHolder, flags.FlagHolder]:
    """--ir and --vis: where the two images of each pair are."""
    return tuple(
        flags.DEFINE_string(
            name,
            None,
            f"{kind} images: a file, a folder or a glob pattern.",
            flag_values=values,
        )
        for name, kind in (("ir", "Infrared"), ("vis", "Visible"))
    )


def define_checkpoint(values: flags.FlagValues) -> flags.FlagHolder:
    """--checkpoint: which weights."""
    return flags.DEFINE_string(
        "checkpoint",
        "1e2",
        "1e0, 1e1, 1e2 or 1e3 (lambda of the training loss), a .keras file, or the "
        "prefix of a TensorFlow 1 checkpoint of the authors.",
        flag_values=values,
    )


def define_strategy(values: flags.FlagValues) -> flags.FlagHolder:
    """--strategy: which fusion layer."""
    return flags.DEFINE_string(
        "strategy",
        "addition",
        "The fusion strategy: addition (Eq. 4) or l1_norm (Eq. 5-7).",
        flag_values=values,
    )


def define_window_radius(values: flags.FlagValues) -> flags.FlagHolder:
    """--window_radius: the block average of the l1-norm strategy."""
    return flags.DEFINE_integer(
        "window_radius",
        1,
        "r of the l1-norm's block average (Eq. 6): 1 in the paper, 0 in the release.",
        flag_values=values,
    )


def options_by_method(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Sorts the values of --method_options by the fusion method that they belong to.

    Args:
      texts: METHOD.OPTION=VALUE each, as in cnn.checkpoint=weights.npz.

    Returns:
      The options and values of each method that has any.

    Raises:
      UserError: A text has another form, or an option is given twice.
    """
    result: dict[str, dict[str, str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        method, dot, option = key.strip().partition(".")
        if not (method and dot and option and equals):
            raise UserError(
                f"--method_options has {text!r}: expected METHOD.OPTION=VALUE"
            )
        options = result.setdefault(method, {})
        if option in options:
            raise UserError(f"--method_options has {method}.{option} twice")
        options[option] = value
    return result
