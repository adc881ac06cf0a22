"""The command line: each command reads its arguments, asks the application and prints the answer.

Answers are tables and sentences, or with `--json` one JSON object.
"""
