"""Signals that ask a training to stop: Ctrl-C, a scheduler's SIGTERM, a closed terminal."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pyro_vae.processes import is_first, world_size
from pyro_vae.processes.group import agreed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and has saved where it is.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class Stop:
    """Whether a stop was asked for. The first request waits for the step, the third for nothing.

    Several processes stop together: where one was asked to, all do after `agree`.

    Attributes:
        at_once: whether a signal interrupts what runs, as is right where there is nothing to save.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._agreed: int | None = None
        self.at_once = False
        self._requests = 0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._hook: Callable[[Any], Any] = sys.unraisablehook

    @property
    def number(self) -> int | None:
        """The signal that asked for it, or None."""
        return self._received if world_size() == 1 else self._agreed

    def agree(self, due: bool = False) -> bool:
        """Share what any process was asked, and return whether something is due in the first one.

        Its clock and those of the others differ.
        """
        number, of_first = agreed(self._received or 0, int(due and is_first()))
        self._agreed = number or None
        return bool(of_first)

    def check(self) -> None:
        """End here if that was asked for.

        Raises:
            Stopped: it was.
        """
        if self.number is not None:
            raise Stopped(self.number)

    def listen(self) -> None:
        """Receive the signals, until `forget`; those that are ignored stay so, as under nohup."""
        for number in SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = signal.signal(number, self._receive)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._ignored

    def forget(self) -> None:
        """Leave the signals to whoever received them before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        sys.unraisablehook = self._hook

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # A worker that reads images: it ends with its parent.
            return
        self._requests += 1
        self._received = number
        if self._requests >= 3:
            # An exception can be swallowed where it is raised: in a weak reference's callback, say.
            self.forget()
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._process, number)
        elif self.at_once:
            raise Stopped(number)
        elif self._requests == 1 and is_first():
            _say("Stopping after this step. Twice more stops at once, without saving.")

    def _ignored(self, found: Any) -> None:
        """Ask again, a little later, where Python ignores exceptions, as in weak references."""
        if isinstance(found.exc_value, Stopped):
            self._requests -= 1
            threading.Timer(0.05, os.kill, (self._process, found.exc_value.number)).start()
        else:
            self._hook(found)


_listening: list[Stop] = []


@contextmanager
def stopping(*, at_once: bool = False) -> Iterator[Stop]:
    """Yield what says whether to stop; within another such block, that block's.

    Only the main thread receives signals: elsewhere nothing asks to stop.

    Args:
        at_once: whether a signal interrupts what runs, as is right where there is nothing to save.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or _listening:
        stop = _listening[-1] if in_main else Stop()
        before, stop.at_once = stop.at_once, at_once
        try:
            yield stop
        finally:
            stop.at_once = before
        if before and stop._received is not None:  # It came too late for the block to see it.
            raise Stopped(stop._received)
        return
    stop = Stop()
    stop.at_once = at_once
    _listening.append(stop)
    stop.listen()
    try:
        yield stop
    finally:
        stop.forget()
        _listening.remove(stop)


def _say(message: str) -> None:
    """Write to stderr past Python's buffers, which the interrupted code may be using."""
    try:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{message}\n".encode())
    except (OSError, ValueError):  # A closed terminal.
        return
