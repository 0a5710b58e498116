"""`result.json`, declared once. Commands build it from these models, and the report reads it into
them; `tl-keras schema --of=result` prints their JSON schema.

A field is optional where only some commands, formats or tasks have it. What was not given is not
written.
"""
