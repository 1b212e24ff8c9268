"""Networks as ONNX graphs, held against torch."""
