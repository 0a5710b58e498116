"""Reads tables: CSV files and files of JSON lines. Imports no TensorFlow and knows no labels."""
