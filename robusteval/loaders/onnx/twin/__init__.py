"""A differentiable copy of an ONNX graph: one torch function per operator, written from the operator specification."""
