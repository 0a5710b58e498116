"""One module for each command that trains or uses a model.

The function `run` of a module does the steps of its command in order.
"""
