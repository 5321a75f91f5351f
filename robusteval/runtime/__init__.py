"""ONNX Runtime on the untouched file, with numpy alone: what the loader judges with and `verify` asks again."""
