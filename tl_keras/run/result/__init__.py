"""`result.json`: all that it may hold, declared once. Commands build it of these models, and the
report reads it into them; `tl-keras schema --of=result` prints their JSON schema.

A field is optional where only some commands, formats or tasks have it. What was not given is not
written.
"""
