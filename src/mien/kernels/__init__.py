"""Compile loops for this processor: int8 convolutions and the search's scan, written once for all instruction sets.

`expressions` is the language in which kernels are written, `signatures` declares and checks their parameters,
`instruction_sets` is the only module that knows processors, `compiler` turns kernels into machine code.
"""
