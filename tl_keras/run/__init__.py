"""Opens run folders, marks them as folders of tl_keras, and writes progress and results there.

Files are written atomically.
"""
