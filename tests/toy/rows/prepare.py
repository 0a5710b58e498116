import numpy as np
import tensorflow as tf


def by(settings):
    return {}


def decoder(checked, settings, fraction):
    return lambda i, content: served(content, settings)


def served(content, settings):
    return prepare(tf.strings.to_number(tf.strings.split(content)), settings)


def prepare(row, settings):
    row = tf.cast(row, tf.float32)[: settings.length] * settings.scale
    row = tf.pad(row, [[0, settings.length - tf.shape(row)[0]]])
    return tf.ensure_shape(row, settings.shape)


def embedded(raw, settings):
    return np.asarray(raw, np.float32)
