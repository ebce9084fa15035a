#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on a terminal of its own and tells what a person would have seen.

  terminal.py DIRECTORY [--size WIDTHxHEIGHT] [--resize SECONDS:WIDTHxHEIGHT]... [--type SECONDS:TEXT]... [--signal SECONDS:NAME]...
              COMMAND...

Seconds are from the first byte that the command writes.

Writes a file each into the directory: "screen" (at the end, what has scrolled out of it included), "drawn" (all that was ever
drawn, a piece a line), "status" (exit status, or minus the signal), "frames" (how often the cursor was hidden to draw), "seconds", "modes" (private modes at the end that
are not as they were), "style" (whether colours were left on), "widest" (of all lines that were drawn).
A character that no display should send is a failure: it is listed in "strange".
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time


class Screen:
    TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\x1b(.)|([\x00-\x1f\x7f-\x9f])|([^\x00-\x1f\x7f-\x9f]+)", re.S)

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.rows, self.row, self.column = [""], 0, 0
        self.modes, self.style, self.frames, self.widest, self.strange = {"25": True, "7": True}, "0", 0, 0, []
        self.lost, self.drawn = 0, ""

    def top(self):
        return max(0, len(self.rows) - self.height)

    def write(self, text):
        for private, numbers, letter, escaped, control, plain in self.TOKEN.findall(text):
            if plain:
                self.drawn += plain + "\n"
                self.print(plain)
            elif letter:
                self.command(private, numbers, letter)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self.line_feed()
            else:
                self.strange.append(repr(escaped or control))

    def line_feed(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def print(self, text):
        for character in text:
            if self.column >= self.width:
                if not self.modes["7"]:
                    self.column = self.width - 1
                else:
                    self.line_feed()
                    self.column = 0
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1
        self.widest = max(self.widest, len(self.rows[self.row].rstrip()))

    def command(self, private, numbers, letter):
        if private:
            self.modes[numbers] = letter == "h"
            self.frames += numbers == "25" and letter == "l"
        elif letter == "A":
            wanted = self.row - int(numbers or 1)
            self.row = max(self.top(), wanted)
            self.lost += self.row != wanted  # above the top edge nothing can be drawn again
        elif letter == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif letter == "m":
            self.style = numbers or "0"
        else:
            self.strange.append(letter)


def set_size(descriptor, width, height):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def size_of(text):
    return tuple(int(number) for number in text.split("x"))


def options(words):
    size, events = (80, 24), []
    while words and words[0].startswith("--"):
        name, value = words[0], words[1]
        words = words[2:]
        if name == "--size":
            size = size_of(value)
            continue
        seconds, _, what = value.partition(":")
        events.append((float(seconds), name, what))
    return size, sorted(events), words


def main():
    size, events, command = options(sys.argv[2:])
    child, terminal = pty.fork()
    if child == 0:
        set_size(0, *size)
        os.execvp(command[0], command)
    set_size(terminal, *size)
    before = termios.tcgetattr(terminal)
    screen, began, first, text = Screen(*size), time.monotonic(), None, b""
    while True:
        passed = time.monotonic() - first if first else 0.0
        while events and events[0][0] <= passed:
            _, name, what = events.pop(0)
            if name == "--type":
                os.write(terminal, what.encode().decode("unicode_escape").encode())
            elif name == "--signal":
                os.kill(child, getattr(signal, "SIG" + what))
            else:
                screen.width, screen.height = size_of(what)
                set_size(terminal, *size_of(what))
        timeout = min(0.2, max(0.0, events[0][0] - passed)) if events else 0.2
        if not select.select([terminal], [], [], timeout)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        text += data
        first = first or time.monotonic()
        # A sequence or a character may be cut: what is behind the last whole one waits.
        cut = re.search(rb"(\x1b(\[[?0-9;]*)?|[\xc2-\xf4][\x80-\xbf]{0,2})$", text)
        whole = text[: cut.start()] if cut else text
        text = text[len(whole) :]
        screen.write(whole.decode(errors="replace"))
    _, status = os.waitpid(child, 0)
    usual = {"25": True, "7": True}
    seen = {
        "drawn": screen.drawn,
        "screen": "\n".join(row.rstrip() for row in screen.rows),
        "status": os.waitstatus_to_exitcode(status),
        "frames": screen.frames,
        "seconds": int(time.monotonic() - began),
        "modes": " ".join(name for name, on in screen.modes.items() if on != usual.get(name, False)),
        "style": screen.style,
        "widest": screen.widest,
        "strange": " ".join(screen.strange),
        "lost": screen.lost,
        "raw": termios.tcgetattr(terminal) != before,
    }
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, value in seen.items():
        with open(os.path.join(sys.argv[1], name), "w", encoding="utf-8") as file:
            file.write(f"{value}\n")


main()
