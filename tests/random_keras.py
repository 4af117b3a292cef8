"""Seeded random Keras models, for tests that compare what becomes of them with Keras itself."""

import numpy as np

SHAPES = ((6, 5, 2), (7, 3), (5,))


def random_model(keras, seed):
    """A model of up to eight random layers, with random numbers everywhere.

    Parameters
    ----------
    keras : module
        Keras 2 or 3.
    seed : int

    Returns
    -------
    model : keras.Model
    image : float32 ndarray
        An input for it.
    """
    rng = np.random.default_rng(seed)
    shape = SHAPES[rng.integers(len(SHAPES))]
    x = entry = keras.Input(shape, name="image")
    for _ in range(rng.integers(2, 9)):
        try:
            made = _layer(keras.layers, rng, tuple(x.shape[1:]))
            y = made(x)
        except ValueError:
            continue  # a window larger than what it looks at
        if None in y.shape[1:] or 0 in y.shape[1:]:
            continue
        x = keras.layers.Add()([x, y]) if y.shape == x.shape and rng.random() < 0.3 else y
    model = keras.Model(entry, x)
    model.set_weights(
        [
            # Ones are factors and variances, which are positive.
            rng.uniform(0.5, 2, w.shape) if np.all(w == 1) else rng.normal(size=w.shape) * 0.5
            for w in model.get_weights()
        ]
    )
    return model, rng.normal(size=shape).astype(np.float32)


def _layer(layers, rng, shape):
    activation = str(rng.choice(["linear", "relu", "tanh", "sigmoid"]))
    padding = str(rng.choice(["same", "valid"]))
    stride, filters = int(rng.integers(1, 3)), int(rng.integers(1, 5))
    window = tuple(int(n) for n in rng.integers(1, 4, size=len(shape) - 1))
    plain = {"padding": padding, "activation": activation}
    strided = {**plain, "strides": stride}
    makers = [
        lambda: layers.Dense(filters, activation=activation, use_bias=bool(rng.integers(2))),
        lambda: layers.BatchNormalization(),
        lambda: layers.ReLU(),
        lambda: layers.Activation(activation),
        lambda: layers.Dropout(0.3),
        lambda: layers.Flatten(),
    ]
    if len(shape) == 1:
        makers.append(lambda: layers.RepeatVector(3))
    if len(shape) == 2:
        makers += [
            lambda: layers.Conv1D(filters, window, **strided),
            lambda: layers.Conv1D(filters, window, padding="causal", dilation_rate=2),
            lambda: layers.DepthwiseConv1D(window[0], **plain),
            lambda: layers.SeparableConv1D(filters, window[0], **plain),
            lambda: layers.AveragePooling1D(window[0], strides=stride, padding=padding),
            lambda: layers.MaxPooling1D(window[0], padding=padding),
            lambda: layers.GlobalAveragePooling1D(),
            lambda: layers.ZeroPadding1D((1, 2)),
            lambda: layers.UpSampling1D(2),
            lambda: layers.Permute((2, 1)),
        ]
    if len(shape) == 3:
        groups = 2 if shape[-1] % 2 == 0 else 1
        makers += [
            lambda: layers.Conv2D(filters, window, **strided),
            lambda: layers.Conv2D(2 * filters, window, groups=groups, **plain),
            lambda: layers.Conv2D(filters, window, padding=padding, dilation_rate=2),
            lambda: layers.DepthwiseConv2D(window, depth_multiplier=2, **strided),
            lambda: layers.SeparableConv2D(filters, window, depth_multiplier=2, **strided),
            lambda: layers.AveragePooling2D(window, strides=stride, padding=padding),
            lambda: layers.MaxPooling2D(window, strides=stride, padding=padding),
            lambda: layers.GlobalAveragePooling2D(keepdims=bool(rng.integers(2))),
            lambda: layers.ZeroPadding2D(((1, 0), (0, 2))),
            lambda: layers.Cropping2D(((0, 1), (1, 0))),
            lambda: layers.UpSampling2D((1, 2)),
            lambda: layers.Permute((2, 1, 3)),
            lambda: layers.Reshape((-1, shape[-1])),
        ]
    return makers[rng.integers(len(makers))]()
