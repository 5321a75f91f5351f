"""Re-checking a finished run: record, numpy and ONNX Runtime, nothing of what made the claims."""
