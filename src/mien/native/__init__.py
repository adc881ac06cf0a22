"""Loops written in LLVM's intermediate language and compiled for the processor of the machine that runs them.

`emit` has the words that they are written in, `compiler` makes functions of them, by way of llvmlite: vector
instructions on any processor, without a compiler on the machine.
"""
