"""Run YuNet and SFace in int8: the same bits on every processor.

`reference` is the specification, in NumPy. `sface_layers` and `yunet_layers` read the layers of the ONNX models and
quantise them with `quantize`; `sface` and `yunet` pack them with `pack` and run them by the kernels of `mien.kernels`.
"""
