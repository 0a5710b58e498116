from tl_keras.run.files import write_json


def pictures(model, dataset, inputs, probabilities, config, folder):
    folder.mkdir(exist_ok=True)
    write_json(folder / "index.json", {"mistakes": [], "augmented": []})
