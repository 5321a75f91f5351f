"""Loaders turn a model file into a `Classifier`. Importing this package imports neither torch nor ONNX Runtime."""
