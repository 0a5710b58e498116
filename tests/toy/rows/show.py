def thumbnails(run, files):
    return [None] * len(files)


def written(run, name):
    return None


def image(picture, alt, shape=None):
    return ""


def explained(run, heat, original, file, answer):
    return []


def prepared(settings):
    return f"input: {settings.get('length')} numbers"


def more_detail(settings, found):
    return None


def on_device(device, right):
    return "Measured on the original files."


ODD = {}
WHY_ODD = EXPLAINED = NOT_EXPLAINED = NOT_EXPLAINED_IN_FOLDS = SOME_NOT_EXPLAINED = ""
AS_ON_DEVICE = "files are read as on a device"
LARGER = "Try longer rows."
BACKBONES = ("ToyGated", "BERT")
SHIFTS = "other sensors and times"


def findings(found):
    return {}
