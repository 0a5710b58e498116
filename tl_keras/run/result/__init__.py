"""The models of `result.json`: commands build a result from them, and the report reads it.

`tl-keras schema --of=result` prints their JSON schema. A field is optional if only some commands,
formats or tasks have it. Fields that a command does not set are not in the file.
"""
