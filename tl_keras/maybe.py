"""`Maybe`: the type of a value that may be None, which code may use without a check for None.

Type checkers accept such a use of `Maybe[T]`, but not of `T | None`.
"""

from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

Value = TypeVar("Value")
if TYPE_CHECKING:
    # Type checkers let `run.result.test.accuracy` pass without a check for None, and still refuse
    # unknown names. Which parts a result has follows from the command, which no type says.
    Maybe = Union[Value, Any]  # noqa: UP007
else:
    Maybe = Optional[Value]  # noqa: UP045
