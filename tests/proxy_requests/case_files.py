# SPDX-License-Identifier: Apache-2.0
r"""Case files: what a client sends, what a backend answers, and what each of them has to see.

A file is a list of cases. Lines that begin with # are comments, and empty lines mean nothing. A case is

    case: a request with a body is passed on         the title; it begins a case
    rule: RFC 9112, section 6.3                      where the outcome is laid down
    with: first                                      the case is made once for each of these: {} stands for it
    from: 127.0.0.2                                  the client's address: this one is a trusted proxy's
    whole                                            not also byte by byte

What the client sends, in this order:

    | POST /a HTTP/1.1                               a line and its CR LF
    + abc                                            bytes and nothing behind them
    pause 0.2                                        seconds
    wait 1                                           until so many answers are there
    end                                              the client says that nothing follows (FIN)
    freeze, thaw                                     the proxy is stopped meanwhile, and then sees all at once

What the backend answers. Without this it is a 200 whose body is "METHOD target". The first reply is for the first
request, and so on:

    reply:                                           behind the whole request; "reply: early": behind its head
    < HTTP/1.1 200 OK                                a line and its CR LF
    <+ abc                                           bytes and nothing behind them
    <pause 0.2    <end    <close    <reset           FIN, the same and not reading any more, RST
    <tunnel                                          sends back all that comes from now on
    <flood 100                                       as many MB of answers 103, or until nobody takes them
    <freeze, <thaw                                   as above

What has to come of it:

    answer: 200                                      each answer in order; "200 to HEAD", "200 cut", "103 x 50"
    answer-body: abc                                 of the answer above; likewise answer-framing: chunked,
    answer-has: Name: value                          answer-lacks: Name, answer-trailer: Name: value,
                                                     answer-trailers: 0
    tunnel: abc                                      what comes behind a 101
    ends: open                                       another request is answered on the connection; "closed": it
                                                     is not, and nothing stands behind the answers; "any"
    seen: POST /a                                    each whole request that the backend gets, in order
    seen-body: abc                                   of the request above; likewise seen-framing: length,
    seen-has: Name: value                            seen-lacks: Name, seen-trailer: Name: value,
                                                     seen-trailers: 0
    seen-connection: new                             not the one of the request before; "same"
    seen-cut: POST /a                                one that may have begun there and must not have ended
    memory: 64                                       MB that the proxy may grow by, while the client reads nothing
    within: 1                                        seconds from the last step to the end of what comes back
    others: 2                                        seconds in which another client is served, behind the steps
    fails: text                                      the case is one of those that show that checks can fail

The backend must see nothing but what is listed. Within values \r \n \t \v \f \0 \s (a blank) \\ \xHH mean a byte and
\{text*N} means N times the text.
"""
import re
from dataclasses import dataclass, field

ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|\{(.*?)\*([0-9]+)\}|(.))", re.DOTALL)
REPLY_STEPS = ("pause", "end", "close", "reset", "tunnel", "flood", "freeze", "thaw")
SIMPLE = {"r": "\r", "n": "\n", "t": "\t", "v": "\v", "f": "\f", "0": "\0", "s": " ", "\\": "\\"}


class BadCase(Exception):
    """The file is not as the format wants it."""


def unescape_text(text):
    def one(match):
        if match[1]:
            return chr(int(match[1], 16))
        if match[3]:
            return unescape_text(match[2]) * int(match[3])
        if match[4] not in SIMPLE:
            raise BadCase(f"the escape \\{match[4]}")
        return SIMPLE[match[4]]
    return ESCAPE.sub(one, text)


def unescape(text):
    return unescape_text(text).encode("latin-1")


@dataclass
class Reply:
    early: bool = False
    steps: list = field(default_factory=list)  # of (verb, argument)


@dataclass
class Expected:
    """An answer or a request; what is None is not asked for."""
    status: int = 0
    request: str = ""  # "METHOD target"
    to_head: bool = False
    cut: bool = False
    body: bytes = None
    framing: str = None
    connection: str = None
    trailers: int = None
    has: list = field(default_factory=list)
    lacks: list = field(default_factory=list)
    trailer: list = field(default_factory=list)


@dataclass
class Case:
    title: str
    place: str
    rule: str = ""
    source: str = "127.0.0.1"
    bytewise: bool = True
    steps: list = field(default_factory=list)
    replies: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    tunnel: bytes = None
    ends: str = ""
    seen: list = field(default_factory=list)
    cut: list = field(default_factory=list)
    memory: int = None
    others: float = None
    within: float = None
    fails: str = None


def add_answer(case, value):
    match = re.fullmatch(r"([0-9]{3})( to HEAD)?( cut)?(?: x ([0-9]+))?", value)
    if not match:
        raise BadCase(f"the answer {value!r}")
    for _ in range(int(match[4] or 1)):
        case.answers.append(Expected(status=int(match[1]), to_head=bool(match[2]), cut=bool(match[3])))


def add_attribute(expected, name, value):
    if name in ("has", "trailer"):
        key, colon, content = value.partition(":")
        if not colon:
            raise BadCase(f"{name} without a colon: {value!r}")
        getattr(expected, name).append((key, content.strip()))
    elif name == "lacks":
        expected.lacks.append(value)
    elif name == "body":
        expected.body = value.encode("latin-1")
    elif name == "trailers":
        expected.trailers = int(value)
    elif name in ("framing", "connection"):
        setattr(expected, name, value)
    else:
        raise BadCase(f"nothing is known of {name!r}")


def add_setting(case, name, value):
    if name == "reply":
        case.replies.append(Reply(early={"": False, "early": True}[value]))
    elif name == "answer":
        add_answer(case, value)
    elif name == "seen":
        case.seen.append(Expected(request=value))
    elif name == "seen-cut":
        case.cut.append(value)
    elif name.startswith("answer-") and case.answers:
        add_attribute(case.answers[-1], name[7:], value)
    elif name.startswith("seen-") and case.seen:
        add_attribute(case.seen[-1], name[5:], value)
    elif name == "tunnel":
        case.tunnel = value.encode("latin-1")
    elif name == "from":
        case.source = value
    elif name == "memory":
        case.memory = int(value)
    elif name in ("others", "within"):
        setattr(case, name, float(value))
    elif name == "ends" and value in ("open", "closed", "any"):
        case.ends = value
    elif name in ("rule", "fails"):
        setattr(case, name, value)
    else:
        raise BadCase(f"nothing is known of {name!r}: {value!r}")


def add_line(case, line):
    mark, text = line[0], line[1:].removeprefix(" ")
    if mark == "|":
        case.steps.append(("send", unescape(text) + b"\r\n"))
    elif mark == "+":
        case.steps.append(("send", unescape(text)))
    elif line.startswith("<+"):
        case.replies[-1].steps.append(("send", unescape(line[2:].removeprefix(" "))))
    elif re.match("<[a-z]", line):
        verb, _, argument = line[1:].partition(" ")
        if verb not in REPLY_STEPS:
            raise BadCase(f"the step <{verb}")
        case.replies[-1].steps.append((verb, argument))
    elif mark == "<":
        case.replies[-1].steps.append(("send", unescape(text) + b"\r\n"))
    elif line == "whole":
        case.bytewise = False
    elif re.match("(pause|wait|end|freeze|thaw)( |$)", line):
        case.steps.append((line.partition(" ")[0], line.partition(" ")[2]))
    else:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadCase(f"the line {line!r}")
        add_setting(case, name, unescape_text(value.strip()))


def make_cases(title, place, lines):
    """One case, or one for each value of "with:"."""
    values = [line.removeprefix("with:").removeprefix(" ") for line in lines if line.startswith("with:")]
    rest = [line for line in lines if not line.startswith("with:")]
    for value in values or [""]:
        case = Case(title=title.replace("{}", value), place=place)
        for line in rest:
            add_line(case, line.replace("{}", value))
        if not case.rule or not case.ends or not case.steps:
            raise BadCase("it needs a rule, something to send, and ends")
        case.steps = merged(case.steps)
        for reply in case.replies:
            reply.steps = merged(reply.steps)
        yield case


def merged(steps):
    """Sends in a row are one, so that only what stands between them divides them."""
    result = []
    for verb, argument in steps:
        if verb == "send" and result and result[-1][0] == "send":
            result[-1] = ("send", result[-1][1] + argument)
        else:
            result.append((verb, argument))
    return result


def read_cases(path):
    begun, cases = [], []  # of (title, place, lines)
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("case:"):
                begun.append((line[5:].strip(), f"{path}:{number}", []))
            elif line and not line.startswith("#"):
                if not begun:
                    raise BadCase(f"{path}:{number}: a line before the first case")
                begun[-1][2].append(line)
    for title, place, lines in begun:
        try:
            cases.extend(make_cases(title, place, lines))
        except (BadCase, ValueError, KeyError, IndexError) as error:
            raise BadCase(f"{place}: {title}: {error}") from error
    return cases
