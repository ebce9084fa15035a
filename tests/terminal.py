#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on a terminal of its own and tells what a person would have seen.

  terminal.py DIRECTORY [--size WIDTHxHEIGHT] [--resize WHEN:WIDTHxHEIGHT]... [--type WHEN:TEXT]... [--signal WHEN:NAME]...
              [--deaf WHEN:]... COMMAND...

They happen one after the other, each when its time has come: /REGEX/ when such text was drawn (since the event before), +SECONDS
after the event before. From --deaf on nothing is read any more until the command has ended.

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


class Event:
    def __init__(self, name, value):
        self.name = name
        regex, seconds = re.match(r"/(.*?)/:", value), re.match(r"\+([0-9.]+):", value)
        self.regex = regex and re.compile(regex.group(1))
        self.seconds = float(seconds.group(1)) if seconds else 0.0
        self.what = value[(regex or seconds).end() :]

    def is_due(self, drawn, passed):
        return bool(self.regex.search(drawn)) if self.regex else passed >= self.seconds

    def happen(self, child, terminal, screen):
        if self.name == "--type":
            os.write(terminal, self.what.encode().decode("unicode_escape").encode())
        elif self.name == "--signal":
            os.kill(child, getattr(signal, "SIG" + self.what))
        elif self.name == "--resize":
            screen.width, screen.height = size_of(self.what)
            set_size(terminal, *size_of(self.what))


def options(words):
    size, events = (80, 24), []
    while words and words[0].startswith("--"):
        name, value = words[0], words[1]
        words = words[2:]
        if name == "--size":
            size = size_of(value)
        else:
            events.append(Event(name, value))
    return size, events, words


def has_ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def main():
    size, events, command = options(sys.argv[2:])
    child, terminal = pty.fork()
    if child == 0:
        set_size(0, *size)
        os.execvp(command[0], command)
    set_size(terminal, *size)
    before = termios.tcgetattr(terminal)
    screen, began, text = Screen(*size), time.monotonic(), b""
    last, seen, deaf = began, 0, False  # of the event before: when it was, and what had been drawn
    while True:
        if events and events[0].is_due(screen.drawn[seen:], time.monotonic() - last):
            event = events.pop(0)
            event.happen(child, terminal, screen)
            last, seen, deaf = time.monotonic(), len(screen.drawn), deaf or event.name == "--deaf"
            continue
        if deaf and not has_ended(child):
            time.sleep(0.02)
            continue
        if not select.select([terminal], [], [], 0.02 if events else 0.2)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        text += data
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
