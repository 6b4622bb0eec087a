"""What an actor does when its GPU fails: in that process CUDA answers nothing more, whatever it is asked; in another it may."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.cluster.session import stands_in


class GpuWork:
    """Ends the actor's process when its GPU fails, so that Ray starts another and callers ask that one.

    One that stands in for another, and has done no work yet, raises what failed: it is no accident then.
    """

    def __init__(self) -> None:
        self._has_worked = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around each piece of work."""
        try:
            yield
        except Exception as error:
            if is_of_gpu(error) and (self._has_worked or not stands_in()):
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            raise
        self._has_worked = True


def is_of_gpu(error: Exception) -> bool:
    """Whether CUDA says that the GPU failed; a lack of its memory is none of these."""
    return "CUDA error" in str(error) or type(error).__name__ == "AcceleratorError"
