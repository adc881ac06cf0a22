"""The command line: one verb per use, one module per verb. Each verb reads its words, asks the application, shows
the answer to a person or, with --json, to a program.
"""
