"""Says how to install an extra, which has packages that most runs do not need."""


def how_to_install(extra: str) -> str:
    """Returns the command that adds the packages of an extra to the installed tl_keras.

    The command works in every folder, because pip reads the extra from the installed tl_keras.
    """
    return f"pip install 'tl-keras[{extra}]'"
