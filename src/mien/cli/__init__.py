"""Offer the application on the command line: each command reads its arguments, asks it and prints the answer.

Answers are tables and sentences, or with `--json` one JSON object.
"""
