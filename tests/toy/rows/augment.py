import tensorflow as tf


def num_columns(augmentations):
    return len(augmentations)


def mixes(augmentations):
    return False


def augment(x, numbers, augmentations):
    if not augmentations:
        return x
    seeds = tf.cast(numbers[:, :1] * 1e6, tf.float32)
    places = tf.range(tf.shape(x)[1], dtype=tf.float32)[None]
    return x + augmentations[0].deviation * tf.sin(seeds + 17.0 * places)


def mix(x, targets, augmentations, seed):
    return x, targets
