"""python -m trainer: see `trainer.commands`."""

from __future__ import annotations

import sys

from trainer import device, distributed, interrupt


def main() -> None:
    """Run the command line. An error is one sentence on stderr and exit code 2, an interruption one and 130."""
    try:
        with interrupt.raised():
            from trainer import commands  # in here, since torch comes with it and takes its time

            commands.run(sys.argv[1:])
    except KeyboardInterrupt as stop:
        _say(str(stop) or "interrupted")
        sys.exit(130)
    except (ValueError, OSError, FloatingPointError) as error:
        _say(f"error: {error}")
        sys.exit(2)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not loaded for what needs it not
            raise
        _say("error: the memory of the device is full. If nothing else fills it, there is --device cpu")
        sys.exit(2)


def _say(sentence: str) -> None:
    if distributed.speaks():
        print(sentence, file=sys.stderr)


if __name__ == "__main__":
    device.prepare()
    main()
