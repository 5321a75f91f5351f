"""How an ONNX file is read and asked, in numpy and ONNX Runtime alone: one reading, shared by the loader and by
verify."""
