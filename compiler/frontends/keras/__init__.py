"""Keras models as pure Nengo networks with frozen parameters; TensorFlow is not needed."""
