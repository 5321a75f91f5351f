"""The graph of an ONNX file for certifiers, read off the twin's calls."""
