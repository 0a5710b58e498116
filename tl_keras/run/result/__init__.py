"""The pydantic models of `result.json`.

Commands build their results with these models, and the report reads results with them.

`tl-keras schema --of=result` prints their JSON schema. A field is optional if only some commands,
formats or tasks have it. Fields that a command does not set are not in the file.
"""
