"""Writers of the export formats (SavedModel, ONNX, LiteRT), and the steps of quantisation."""
