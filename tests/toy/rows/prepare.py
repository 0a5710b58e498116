import numpy as np
import tensorflow as tf


def keep(settings, folder):
    pass


def for_students(settings, contents, folder):
    pass


def by(settings):
    return {}


def unchanging(settings):
    return {}


def decoder(checked, settings, fraction):
    return lambda i, content: _read(content, settings)


def is_served(settings):
    return True


def served(contents, settings):
    return tf.map_fn(lambda one: _read(one, settings), contents, fn_output_signature=tf.float32)


def _read(content, settings):
    return prepare(tf.strings.to_number(tf.strings.split(content)), settings)


def prepare(row, settings):
    row = tf.cast(row, tf.float32)[: settings.length] * settings.scale
    row = tf.pad(row, [[0, settings.length - tf.shape(row)[0]]])
    return tf.ensure_shape(row, settings.shape)


def embedded(raw, settings):
    return np.asarray(raw, np.float32)
