def examine(dataset, inputs, settings):
    return {"rare": []}
