#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What keeping layers costs, by storage driver: taking in an image from a file, the first container on it and a later one.

Each driver has an engine of its own, with its data below --directory; both are asked in turn, and everything is synced,
as always. Without --tar a tree of --files files is made up (the sizes of a distribution's: many small, few large)."""
import argparse
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/release/bin"


def make_tar(path, files, megabytes):
    """A tar of made-up files below usr/, with the host's static berth-init as the program to run."""
    chance = random.Random(1)
    weights = [chance.paretovariate(0.9) for _ in range(files)]
    scale = megabytes * 1e6 / sum(weights)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(BIN / "berth", "bin/program")
        for number, weight in enumerate(weights):
            size = int(weight * scale)
            entry = tarfile.TarInfo(f"usr/lib/d{number % 300}/file-{number}")
            entry.size = size
            entry.mtime = 1_700_000_000 + number
            tar.addfile(entry, fileobj=_Bytes(chance.randbytes(4096), size))


class _Bytes:
    """As many bytes as are asked for, out of a few."""

    def __init__(self, pattern, size):
        self.pattern, self.left = pattern, size

    def read(self, count):
        count = min(count, self.left)
        self.left -= count
        return (self.pattern * (count // len(self.pattern) + 1))[:count]


class Engine:
    def __init__(self, driver, directory):
        self.driver = driver
        self.directory = pathlib.Path(directory) / driver
        self.directory.mkdir(parents=True)
        self.socket = self.directory / "berth.sock"
        self.process = subprocess.Popen(
            [BIN / "berthd", "--data-root", self.directory / "data", "--exec-root", self.directory / "run",
             "--host", f"unix://{self.socket}", "--bridge", "none", "--storage-driver", driver,
             "--cgroup-parent", f"/bench-{driver}"],
            stderr=open(self.directory / "log", "w", encoding="utf-8"))
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the engine did not start:\n{(self.directory / 'log').read_text()}")
            time.sleep(0.02)

    def call(self, *arguments):
        begin = time.monotonic()
        subprocess.run([BIN / "berth", "-H", f"unix://{self.socket}", *arguments], check=True,
                       stdout=subprocess.DEVNULL)
        return time.monotonic() - begin

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tar", help="a root file system with the static program bin/program")
    parser.add_argument("--files", type=int, default=12_000)
    parser.add_argument("--megabytes", type=int, default=339)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default="/var/tmp")
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="bench-layers-", dir=options.directory)
    engines = []
    try:
        tar = options.tar or os.path.join(work, "image.tar")
        if not options.tar:
            make_tar(tar, options.files, options.megabytes)
        engines = [Engine(driver, work) for driver in ("overlay", "erofs")]
        seconds = {}
        run = ("run", "--rm", "--network", "none", "image", "/bin/program", "--version")
        for _ in range(options.rounds):
            for engine in engines:
                note = lambda what, value: seconds.setdefault((what, engine.driver), []).append(value)
                note("import", engine.call("import", tar, "image"))
                note("first run", engine.call(*run))
                for _ in range(5):
                    note("later run", engine.call(*run))
                note("rmi", engine.call("rmi", "image"))
                os.sync()
                time.sleep(0.5)
        print(f"{'':10} {'driver':8} {'median':>9} {'minimum':>9} {'maximum':>9}  ms")
        for (what, driver), values in sorted(seconds.items()):
            row = [statistics.median(values), min(values), max(values)]
            print(f"{what:10} {driver:8} " + " ".join(f"{value * 1000:9.1f}" for value in row))
    finally:
        for engine in engines:
            engine.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
