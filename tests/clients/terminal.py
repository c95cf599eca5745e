"""A terminal of 80 x 24 that runs a command: `COMMAND [ARGUMENT]...`.

Reads steps from stdin, one a line, and prints `ok` after each:

`shows TEXT`    waits until the screen has this text
`hides TEXT`    waits until it has not
`press KEYS`    types this, with Python's escapes
`ends`          waits until the command has ended with the exit code 0

Prints the screen and exits other than 0 if a step is not done in 30 s.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

import pyte

LIMIT = 30


def main():
    process, terminal = pty.fork()
    if process == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)

    def read():
        """Whether the command still runs."""
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                stream.feed(os.read(terminal, 65536))
            except OSError:  # Its end of the terminal is closed.
                return False
        return True

    def until(holds, step):
        end = time.monotonic() + LIMIT
        while not holds():
            if time.monotonic() > end:
                print(f"not done: {step}", *screen.display, sep="\n", flush=True)
                sys.exit(1)

    def has(text):
        read()
        return any(text in line for line in screen.display)

    for line in sys.stdin:
        step, _, text = line.rstrip("\n").partition(" ")
        if step == "shows":
            until(lambda: has(text), line)
        elif step == "hides":
            until(lambda: not has(text), line)
        elif step == "press":
            os.write(terminal, text.encode().decode("unicode_escape").encode())
        elif step == "ends":
            until(lambda: not read(), line)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            if code != 0:
                print(f"it ended with {code}", *screen.display, sep="\n", flush=True)
                sys.exit(1)
        else:
            sys.exit(f"no such step: {line}")
        print("ok", flush=True)


main()
