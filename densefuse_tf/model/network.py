"""The DenseFuse network, Table I of the paper, as Keras functional models.

Every convolution is 3x3 with stride 1 on a map padded by one reflected pixel, so that
an image of any height and width of at least 2 keeps its size. Pixels enter and leave
as floats in 0..255; nothing rescales them on the way.

| part    | layer | in | out | activation |
|---------|-------|----|-----|------------|
| encoder | C1    |  1 |  16 | ReLU       |
|         | DC1   | 16 |  16 | ReLU       |
|         | DC2   | 32 |  16 | ReLU       |
|         | DC3   | 48 |  16 | ReLU       |
| decoder | C2    | 64 |  64 | ReLU       |
|         | C3    | 64 |  32 | ReLU       |
|         | C4    | 32 |  16 | ReLU       |
|         | C5    | 16 |   1 | none       |
"""

import functools

import keras
import tensorflow as tf

NUM_PARAMETERS = 74_193
NUM_FEATURE_MAPS = 64
# Layer names in the order in which data passes them, with their output maps.
DENSE_LAYERS = (("DC1", 16), ("DC2", 16), ("DC3", 16))
DECODER_LAYERS = (("C2", 64), ("C3", 32), ("C4", 16), ("C5", 1))
CONVOLUTIONS = ("C1", "DC1", "DC2", "DC3", "C2", "C3", "C4", "C5")
# How far a pixel of the sources reaches into the result: the eight 3x3 layers.
RECEPTIVE_RADIUS = len(CONVOLUTIONS)
MIN_SIZE = 2


@keras.saving.register_keras_serializable(package="densefuse_tf")
class ReflectionPadding(keras.layers.Layer):
    """Pads height and width by one mirrored pixel; the border itself is not repeated.

    [batch, H, W, C] -> [batch, H + 2, W + 2, C], H and W at least 2.
    """

    def call(self, inputs):
        return keras.ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grown = [None if side is None else side + 2 for side in (height, width)]
        return (batch, *grown, channels)


@keras.saving.register_keras_serializable(package="densefuse_tf")
class ReflectionConv2D(keras.layers.Layer):
    """Concatenation, reflection padding and 3x3 convolution in one, without the copies.

    Copying all feature maps to concatenate and to pad them, and their gradients back,
    costs a quarter of the time of a fusion and a fifth of that of a training step. This
    layer adds up the convolutions of the parts, each with its share of the kernel and
    with zero padding, which costs nothing; then it computes the outermost pixels once
    more from reflected ones and overwrites them in place.

    A list of [batch, H, W, C_i], H and W at least 2 -> [batch, H, W, filters]. Kernel
    and bias are those of a Conv2D on the concatenated maps.
    """

    def __init__(self, filters, *, activation, kernel_initializer, **settings):
        super().__init__(**settings)
        self.filters = filters
        self.activation = keras.activations.get(activation)
        if self.activation not in (keras.activations.relu, keras.activations.linear):
            raise ValueError(f"activation is {activation}: expected relu or none")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shapes):
        self._channels = [shape[-1] for shape in input_shapes]
        self.kernel = self.add_weight(
            shape=(3, 3, sum(self._channels), self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="bias"
        )

    def compute_output_shape(self, input_shapes):
        return (*input_shapes[0][:-1], self.filters)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def call(self, inputs, training=False):
        kernel = tf.convert_to_tensor(self.kernel)
        bias = tf.convert_to_tensor(self.bias)
        if not training:
            return self._outputs(kernel, bias, inputs)

        @tf.custom_gradient
        def convolve(kernel, bias, *parts):
            outputs = self._outputs(kernel, bias, parts)
            return outputs, lambda upstream: self._gradients(
                kernel, parts, outputs, upstream
            )

        return convolve(kernel, bias, *inputs)

    def _outputs(self, kernel, bias, parts):
        outputs = self._convolve(kernel, bias, parts)
        height, width = tf.unstack(tf.shape(outputs)[1:3])
        # Of the rows 0, 1, H - 2, H - 1 reflection makes 1, 0, 1, H - 2, H - 1, H - 2:
        # what the first and the last row of the outputs are made of. Columns likewise.
        rows = [tf.concat([maps[:, :2], maps[:, -2:]], axis=1) for maps in parts]
        columns = [
            tf.concat([maps[:, :, :2], maps[:, :, -2:]], axis=2) for maps in parts
        ]
        outputs = _overwrite(
            outputs,
            self._convolve_reflected(kernel, bias, rows, [3, 1]),
            strides=[1, height - 1, 1, 1],
        )
        return _overwrite(
            outputs,
            self._convolve_reflected(kernel, bias, columns, [1, 3]),
            strides=[1, 1, width - 1, 1],
        )

    def _convolve(self, kernel, bias, parts):
        """The sum over all maps, with zero padding."""
        kernels = tf.split(kernel, self._channels, axis=2)
        newest, *others = [
            tf.nn.conv2d(maps, share, 1, "SAME")
            for maps, share in zip(parts, kernels, strict=True)
        ]
        # TensorFlow makes one operation of a convolution, its bias, the sum of the
        # others and the activation.
        outputs = tf.nn.bias_add(newest, bias)
        if others:
            outputs += functools.reduce(tf.add, others)
        return self.activation(outputs)

    def _convolve_reflected(self, kernel, bias, parts, strides):
        maps = tf.concat(parts, axis=3)
        padded = tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
        outputs = tf.nn.conv2d(padded, kernel, strides, "VALID")
        return self.activation(tf.nn.bias_add(outputs, bias))

    def _gradients(self, kernel, parts, outputs, upstream):
        """Of kernel, bias and each part: those of zero padding, then the border's.

        Reflection adds a ring of pixels around the maps. Only the outermost pixels of
        the outputs see it, each row or column of them through one row or column of
        the kernel; and what a ring pixel receives belongs to the pixel it mirrors.
        """
        if self.activation is keras.activations.relu:
            upstream = tf.raw_ops.ReluGrad(gradients=upstream, features=outputs)
        _, height, width = tf.unstack(tf.shape(upstream)[:3])
        of_kernel = tf.concat(
            [_kernel_gradient(maps, [3, 3], upstream, "SAME") for maps in parts],
            axis=2,
        )
        of_parts = [
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(maps),
                filter=share,
                out_backprop=upstream,
                strides=[1] * 4,
                padding="SAME",
            )
            for maps, share in zip(
                parts, tf.split(kernel, self._channels, axis=2), strict=True
            )
        ]
        # Which row or column mirrors the ring, which of the outputs sees it, and
        # through which of the kernel. The corners belong to the rows.
        for axis, mirrored, edge, tap in (
            (1, 1, 0, 0),
            (1, height - 2, height - 1, 2),
            (2, 1, 0, 0),
            (2, width - 2, width - 1, 2),
        ):
            line = tf.concat([_line(maps, axis, mirrored) for maps in parts], axis=3)
            if axis == 1:
                ring = tf.pad(line, [[0, 0], [0, 0], [1, 1], [0, 0]], "REFLECT")
            else:
                ring = tf.pad(line, [[0, 0], [1, 1], [0, 0], [0, 0]])
            size = [1, 3] if axis == 1 else [3, 1]
            edge_upstream = _line(upstream, axis, edge)
            of_line = _kernel_gradient(ring, size, edge_upstream, "VALID")
            around = [[tap, 2 - tap], [0, 0], [0, 0], [0, 0]]
            if axis == 2:
                around[:2] = around[1::-1]
            of_kernel += tf.pad(of_line, around)
            received = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(ring),
                filter=_line(kernel, axis - 1, tap),
                out_backprop=edge_upstream,
                strides=[1] * 4,
                padding="VALID",
            )
            received = _folded(received) if axis == 1 else received[:, 1:-1]
            shares = tf.split(received, self._channels, axis=3)
            of_parts = [
                _add_to_line(maps, axis, mirrored, share)
                for maps, share in zip(of_parts, shares, strict=True)
            ]
        return of_kernel, tf.raw_ops.BiasAddGrad(out_backprop=upstream), *of_parts


def _kernel_gradient(maps, size, upstream, padding):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=maps,
        filter_sizes=[*size, maps.shape[3], upstream.shape[3]],
        out_backprop=upstream,
        strides=[1] * 4,
        padding=padding,
    )


def _line(maps, axis, index):
    """One row (axis 1) or column (axis 2) of maps; of a kernel, axis 0 or 1."""
    return tf.gather(maps, tf.reshape(index, [1]), axis=axis)


def _folded(row):
    """[batch, 1, W + 2, C] -> [batch, 1, W, C]: the ends added to what they mirror."""
    inner = row[:, :, 1:-1]
    width = tf.shape(inner)[2]
    first = tf.pad(row[:, :, :1], [[0, 0], [0, 0], [1, width - 2], [0, 0]])
    last = tf.pad(row[:, :, -1:], [[0, 0], [0, 0], [width - 2, 1], [0, 0]])
    return inner + first + last


def _add_to_line(maps, axis, index, values):
    """Adds values to one row or column, in place in a graph."""
    begin, end = [0] * 4, list(tf.unstack(tf.shape(maps)))
    begin[axis], end[axis] = index, index + 1
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=maps,
        begin=tf.stack(begin),
        end=tf.stack(end),
        strides=[1] * 4,
        value=_line(maps, axis, index) + values,
    )


def _overwrite(maps, values, strides):
    """maps[::strides] = values, in place in a graph."""
    zeros = [0] * 4
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=maps,
        begin=zeros,
        end=zeros,
        strides=tf.stack(strides),
        value=values,
        begin_mask=0b1111,
        end_mask=0b1111,
    )


def _convolution(
    parts, name: str, filters: int, dtype, in_place: bool, activation="relu"
):
    """The convolution `name` on the concatenation of `parts`."""
    settings = {
        "activation": activation,
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.1),
        "dtype": dtype,
        "name": name,
    }
    if in_place:
        return ReflectionConv2D(filters, **settings)(parts)
    maps = _concatenated(parts, dtype)
    padded = ReflectionPadding(name=f"{name}_padding", dtype=dtype)(maps)
    return keras.layers.Conv2D(filters, kernel_size=3, **settings)(padded)


def _concatenated(parts, dtype):
    if len(parts) == 1:
        return parts[0]
    newest = DENSE_LAYERS[len(parts) - 2][0]
    return keras.layers.Concatenate(name=f"{newest}_dense", dtype=dtype)(parts)


def encoder(*, dtype: str | None = None, in_place: bool = False) -> keras.Model:
    """The encoder: C1 and the dense block.

    In the dense block each layer sees all maps made before it, the newest first, as
    the release concatenates them: its checkpoints can only be read in this order.

    Args:
      dtype: A Keras dtype policy, for instance "mixed_float16" to train with; by
        default the global one.
      in_place: Whether to use `ReflectionConv2D`: the same network and the same
        weights, quicker.

    Returns:
      A model from [batch, H, W, 1] in 0..255 to 64 feature maps [batch, H, W, 64].
    """
    image = keras.Input((None, None, 1), name="image", dtype="float32")
    parts = [_convolution([image], "C1", 16, dtype, in_place)]
    for name, filters in DENSE_LAYERS:
        parts = [_convolution(parts, name, filters, dtype, in_place), *parts]
    return keras.Model(image, _concatenated(parts, dtype), name="encoder")


def decoder(*, dtype: str | None = None, in_place: bool = False) -> keras.Model:
    """The decoder: C2 to C5.

    Args:
      dtype: A Keras dtype policy; C5 is float32 in any case, for SSIM needs it.
      in_place: See `encoder`.

    Returns:
      A model from feature maps [batch, H, W, 64] to an image [batch, H, W, 1].
    """
    maps = keras.Input((None, None, NUM_FEATURE_MAPS), name="feature_maps")
    outputs = maps
    for name, filters in DECODER_LAYERS[:-1]:
        outputs = _convolution([outputs], name, filters, dtype, in_place)
    name, filters = DECODER_LAYERS[-1]
    image = _convolution([outputs], name, filters, "float32", in_place, None)
    return keras.Model(maps, image, name="decoder")


def autoencoder(*, dtype: str | None = None, in_place: bool = False) -> keras.Model:
    """Encoder and decoder in a row: what is trained (Fig. 4 of the paper) and saved.

    Args:
      dtype: A Keras dtype policy; see `encoder`.
      in_place: See `encoder`.

    Returns:
      A model from [batch, H, W, 1] in 0..255 to its reconstruction, float32; its
      layers "encoder" and "decoder" are the two parts.
    """
    image = keras.Input((None, None, 1), name="image", dtype="float32")
    maps = encoder(dtype=dtype, in_place=in_place)(image)
    reconstruction = decoder(dtype=dtype, in_place=in_place)(maps)
    return keras.Model(image, reconstruction, name="densefuse")


def convolution(model: keras.Model, name: str) -> keras.layers.Conv2D:
    """The layer `name` ("C1" ... "C5") of an autoencoder.

    Raises:
      ValueError: Neither encoder nor decoder has a layer of this name.
    """
    for part in ("encoder", "decoder"):
        submodel = model.get_layer(part)
        if any(layer.name == name for layer in submodel.layers):
            return submodel.get_layer(name)
    raise ValueError(f"no layer {name!r} in the autoencoder; it has {CONVOLUTIONS}")
