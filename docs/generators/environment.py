"""The environment variables that the program reads."""

PAGE = "reference/environment.md"
INTRO = """
# Environment variables

No variable needs to be set, and none replaces a field of the config.
"""
# `tests/docs/test_generated.py` checks that each variable in the code is here.
VARIABLES = {
    "XDG_CACHE_HOME": "Folder of the caches of all programs, on Linux. The cache of tl_keras is "
    "`tl_keras` below it, unless [`cache.path`](config.md#cachepath) is set. Default: `~/.cache`.",
    "CUDA_VISIBLE_DEVICES": "The GPUs that TensorFlow uses, by number, as in `0,1`. `-1`: none.",
    "KERAS_BACKEND": "The backend of Keras. tl_keras runs on `tensorflow`: another value gives a "
    "warning and is not used for the time of a call.",
    "KAGGLEHUB_CACHE": "Folder of the downloaded presets of KerasHub. Default: "
    "`~/.cache/kagglehub`.",
    "KERAS_HOME": "Folder of Keras's settings (`keras.json`) and downloaded weights. Default: "
    "`~/.keras`.",
    "TF_CPP_MIN_LOG_LEVEL": "How much TensorFlow's C++ code logs: 0 everything, 3 only fatal "
    "errors. Default here: 3.",
    "TF_FORCE_GPU_ALLOW_GROWTH": "Whether TensorFlow takes GPU memory as it needs it, instead of "
    "all at once. Default here: `true`, so that processes can share a GPU.",
    "TQDM_DISABLE": "Any value hides the progress bars.",
    "TMPDIR": "Folder for temporary files. Default: that of the system.",
    "PYTHONPATH": "Passed on to the processes of students, without the current folder.",
}


def text() -> str:
    """Returns the page."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    lines = [INTRO.strip(), "", "| variable | meaning |", "| --- | --- |", *rows]
    return "\n".join(lines) + "\n"
