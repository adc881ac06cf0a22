"""Measures recognition on labelled photos: 1:1, 1:N, and how both degrade.

In: a folder with one sub-folder per person. Out: error rates in the terms of ISO/IEC 19795-1:2021
(FMR, TMR, FTA, FPIR, FNIR) and NIST's Face Recognition Technology Evaluation (FRTE).
"""
