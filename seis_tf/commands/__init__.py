"""The command line: one function a command, which checks options, calls a documented function and says what came of it.

Nothing heavy is imported before a command runs.
"""
