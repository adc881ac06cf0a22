"""Measure recognition on labelled photos: 1:1 comparison, 1:N search, and how both degrade with the photos.

The input is a folder with one sub-folder per person; the results are error rates in the terms of ISO/IEC 19795-1:2021
(FMR, TMR, FTA, FPIR, FNIR) and NIST's Face Recognition Technology Evaluation (FRTE).
"""
