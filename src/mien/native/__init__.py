"""Compile kernels written in LLVM's intermediate representation for the processor of this machine.

`emit` extends llvmlite's IR builder, `compiler` compiles with llvmlite: vector instructions on any processor, without a
compiler on the machine.
"""
