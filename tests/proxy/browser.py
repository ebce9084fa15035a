#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A page in a real browser: browser.py [--dark] [--width N] [--map NAME] URL STEP...

Steps, one after another, in one tab:
  show:EXPRESSION   prints what the JavaScript expression is, when promises are kept
  do:EXPRESSION     for what it does
  run:COMMAND       runs a shell command, which must succeed
  picture:FILE      a picture of the page
  go:URL
  EXPRESSION        waits until it is true, 15 s at most

Fails when a step does, or when the page throws or is refused something by its own policy. With --map NAME that name
means 127.0.0.1 in the browser, as a hostile name server could have it.
Talks to it by the DevTools protocol over two pipes, and exits with 77 where there is no browser.
"""
import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

PATIENCE = 15 * int(os.environ.get("SLOWNESS", "1"))


class Browser:
    def __init__(self, options):
        self.home = tempfile.mkdtemp(prefix="browser.", dir=os.environ.get("WORK"))
        to_read, self.write_end = os.pipe()
        self.read_end, to_write = os.pipe()
        program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)
        if not program:
            sys.exit(77)
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                   "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
                   f"--user-data-dir={self.home}", "--hide-scrollbars"]
        if options.map:
            command.append(f"--host-resolver-rules=MAP {options.map} 127.0.0.1")

        def place():  # where the browser looks for its pipes
            reader, writer = os.dup(to_read), os.dup(to_write)
            reader, writer = os.dup2(reader, 30), os.dup2(writer, 31)
            os.dup2(reader, 3)
            os.dup2(writer, 4)
            os.closerange(5, 64)

        self.process = subprocess.Popen(command, preexec_fn=place, close_fds=False,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.pending, self.number, self.session, self.complaints = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=options.width, height=options.height, deviceScaleFactor=1,
                  mobile=options.width < 600)
        scheme = "dark" if options.dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def receive(self):
        until = time.monotonic() + 4 * PATIENCE  # pictures of long pages take their time
        while b"\0" not in self.pending:
            if not select.select([self.read_end], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("the browser is silent")
            piece = os.read(self.read_end, 1 << 16)
            if not piece:
                raise ConnectionError("the browser has ended")
            self.pending += piece
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.note(answer)

    def note(self, event):
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif event.get("method") == "Log.entryAdded":
            entry = parameters["entry"]
            if entry["source"] in ("security", "violation", "javascript"):
                self.complaints.append(entry["text"][:500])
        elif event.get("method") == "Page.javascriptDialogOpening":
            self.complaints.append("a dialog was opened: " + parameters["message"])
            self.call("Page.handleJavaScriptDialog", accept=True)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(f"{expression}: {details.get('exception', details).get('description', details)}")
        return answer["result"].get("value")

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait(self, expression):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if self.value(f"!!({expression})"):
                    return
                failure = ""
            except RuntimeError as error:  # between two documents, or before an element is there
                failure = str(error)
            if time.monotonic() > until:
                text = self.value("document.body.innerText.replace(/[^!-~]+/g, ' ').slice(0, 700)")
                raise TimeoutError(f"never true: {expression} {failure}\nthe page says: {text}")
            time.sleep(0.1)

    def picture(self, file):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        with open(file, "wb") as out:
            out.write(base64.b64decode(data))

    def end(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--map")
    parser.add_argument("url")
    parser.add_argument("steps", nargs="*")
    options = parser.parse_args()
    browser = Browser(options)
    try:
        browser.go(options.url)
        for step in options.steps:
            kind, _, rest = step.partition(":")
            if kind == "show":
                shown = browser.value(rest)
                print(shown if isinstance(shown, str) else json.dumps(shown), flush=True)
            elif kind == "do":
                browser.value(f"void ({rest})")
            elif kind == "run":
                subprocess.run(["bash", "-ec", rest], check=True)
            elif kind == "picture":
                browser.picture(rest)
            elif kind == "go":
                browser.go(rest)
            else:
                browser.wait(step)
        browser.value("0")  # what was complained of until now has been read
        if browser.complaints:
            sys.exit("the page complains: " + "; ".join(browser.complaints))
    except (RuntimeError, TimeoutError, ConnectionError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
    finally:
        browser.end()


main()
