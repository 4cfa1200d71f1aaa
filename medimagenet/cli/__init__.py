"""The command line: one file per command, which parses, calls one library function and renders what it gives.

Takes: what a person types. Gives: tables and messages, or one JSON document with ``--json``. Nothing here is imported
by the rest of the package; the entry point is `medimagenet.cli.main.run`.
"""
