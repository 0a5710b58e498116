"""Sections of the HTML pages: functions that take a run and return a section as HTML."""
