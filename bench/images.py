#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures images over the wire: pulls, pushes and the registry, beside Docker, podman and docker-registry.

  bench/images.py [--only REGEX] [--rounds N] [--bin DIR] [--record]

As bench/run.py, whose peers and tables it has. All sides of a pull take from the same docker-registry on loopback, each
sample another image, and everything is synced before. "synced" has a sync(1) inside the time: what a side
calls done without having it on the disk is on its bill there. A push goes to a registry that has just been started, empty.
The images are made of this machine's /usr: many files as a distribution has them, and a few large ones.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run  # noqa: E402  (the other benchmark, for its sides and tables)

PORT = 5980
FILES, MEGABYTES = 12_000, 339


def regular_files(root):
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted(files):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path, os.path.getsize(path)


def make_many_files(path):
    """12,000 files: small ones first, then large ones until there are 339 MB."""
    small, large = [], []
    for file, size in regular_files("/usr"):
        (small if size < 64_000 else large).append((file, size))
    chosen = small[:FILES - 200]
    left = MEGABYTES * 10**6 - sum(size for _, size in chosen)
    for file, size in large:
        if size < left and len(chosen) < FILES:
            chosen.append((file, size))
            left -= size
    with tarfile.open(path, "w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for file, _ in chosen:
            tar.add(file, file.lstrip("/"), recursive=False)
    return f"{len(chosen)} files, {os.path.getsize(path) / 1e6:.0f} MB"


def make_few_files(path):
    """The same bytes in eight files."""
    with tarfile.open(path.with_name("many.tar")) as source, tarfile.open(path, "w") as tar:
        names = source.getmembers()
        tar.addfile(names[0], source.extractfile(names[0]))
        for number in range(8):
            part = path.with_name(f"part-{number}")
            with open(part, "wb") as out:
                for member in names[1 + number::8]:
                    if member.isfile():
                        out.write(source.extractfile(member).read())
            tar.add(part, f"part-{number}")
            part.unlink()
    return f"8 files, {os.path.getsize(path) / 1e6:.0f} MB"


class Server:
    """A registry with an empty store, on loopback."""

    def __init__(self, words, directory, port=PORT):
        self.directory = Path(directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        (self.directory / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.directory / 'data'}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: \"127.0.0.1:{port}\"}}\n")
        self.process = subprocess.Popen([*words, "serve", self.directory / "config.yml"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.address = f"127.0.0.1:{port}"
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5).read()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{words[0]} did not come up")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)


class Images(run.Bench):
    title = "Images"
    needs = ("docker-registry", "wrk", "curl")

    def set_up(self):
        super().set_up()
        self.berth_overlay = None
        self.start_overlay()
        self.sizes = {"many": make_many_files(self.directory / "many.tar"), "few": make_few_files(self.directory / "few.tar")}
        print("images:", self.sizes, flush=True)
        if re.search(self.options.only, "pulls"):
            self.warm_disk()

    def warm_disk(self):
        """A disk that is provisioned thinly takes a block's first write at a fraction of its speed: on a machine that has
        been in use, free blocks have been written before."""
        left = min(24 << 30, shutil.disk_usage(self.directory).free // 3)
        block = os.urandom(1 << 20) * 64
        for number in range(left // len(block)):
            (self.directory / f"warm-{number}").write_bytes(block)
        os.sync()
        for file in self.directory.glob("warm-*"):
            file.unlink()

    def start_overlay(self):
        """A second engine, with the other storage driver."""
        if not self.engine:
            return
        base = self.directory / "overlay"
        base.mkdir()
        self.berth_overlay = subprocess.Popen(
            [self.bin / "berthd", "--data-root", base / "data", "--exec-root", base / "run", "--storage-driver", "overlay",
             "--bridge", "none", "-H", f"unix://{base}/berth.sock"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(base / "log", "w"), start_new_session=True)
        side = run.Side("Berth, overlay", [str(self.bin / "berth")], {"BERTH_HOST": f"unix://{base}/berth.sock"})
        for _ in range(200):
            if subprocess.run([*side.command, "ps"], env=side.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode == 0:
                break
            time.sleep(0.05)
        self.sides.insert(1, side)
        side.output("import", str(self.directory / "image.tar"), run.IMAGE)

    def tear_down(self):
        super().tear_down()
        if self.berth_overlay:
            self.berth_overlay.terminate()
            self.berth_overlay.wait(30)
            shutil.rmtree(self.directory, ignore_errors=True)

    def pulls(self):
        """Each sample is another layer, so that nothing has to be removed before it: a file system that has just lost
        ten thousand files is slow to make new ones, on whoever's bill that falls."""
        server = Server(["docker-registry"], self.directory / "registry")
        try:
            for kind in ("many", "few"):
                names = []
                for synced in (False, True):
                    samples = {side.name: [] for side in self.sides}
                    for turn in range(self.options.rounds + 1):
                        names.append(f"{server.address}/bench/{kind}:{len(names)}")
                        self.publish_variant(kind, names[-1])
                        for side in self.sides:
                            value = self.pull_once(side, names[-1], synced)
                            if turn:  # the first warms up
                                samples[side.name].append(value)
                    bars = {"Docker": 10} if synced and kind == "many" else {}
                    self.line(f"pull, {self.sizes[kind]}{', synced' if synced else ''}", "s", bars, samples, 2)
                    if bars and "Berth, overlay" in samples:
                        overlay = {"Berth": samples["Berth, overlay"], **{side: values for side, values in samples.items() if side == "Docker"}}
                        self.line(f"pull, {self.sizes[kind]}, synced, overlay alone", "s", {"Docker": 4}, overlay, 2)
                for side in self.sides:
                    side.output("rmi", "-f", *names)
        finally:
            server.stop()

    def publish_variant(self, kind, name):
        """The image with one small file more, at the registry and nowhere else."""
        extra = self.directory / "variant"
        extra.write_text(name)
        shutil.copy(self.directory / f"{kind}.tar", self.directory / "variant.tar")
        with tarfile.open(self.directory / "variant.tar", "a") as tar:
            tar.add(extra, "variant")
        side = self.sides[0]
        side.output("import", str(self.directory / "variant.tar"), name)
        side.output("push", name)
        side.output("rmi", "-f", name)

    def pull_once(self, side, name, synced):
        os.sync()
        time.sleep(run.PAUSE)
        begin = time.perf_counter()
        side.time("pull", "-q", *(["--tls-verify=false"] if side.name == "podman" else []), name)
        if synced:
            os.sync()
        return time.perf_counter() - begin

    def pushes(self):
        for side in self.sides:
            side.output("import", str(self.directory / "many.tar"), f"127.0.0.1:{PORT}/bench/push:1")

        def push(side):
            server = Server(["docker-registry"], self.directory / "registry")
            os.sync()
            try:
                return side.time("push", "-q", *(["--tls-verify=false"] if side.name == "podman" else []), f"{server.address}/bench/push:1")
            finally:
                server.stop()

        self.line(f"push, {self.sizes['many']}, empty registry", "s", {"Docker": 4},
                  self.interleaved({side.name: lambda side=side: push(side) for side in self.sides}, self.options.rounds), 2)
        for side in self.sides:
            side.output("rmi", "-f", f"127.0.0.1:{PORT}/bench/push:1")

    def registries(self):
        """The server alone: the same store in Berth's and in docker-registry, asked by wrk and curl."""
        words = {"Berth": [str(self.bin / "berth-registry")], "docker-registry": ["docker-registry"]}
        servers = {name: Server(command, self.directory / f"server-{number}", PORT + number)
                   for number, (name, command) in enumerate(words.items())}
        try:
            digests = {}
            for name, server in servers.items():
                reference = f"{server.address}/bench/many:1"
                self.publish_variant("many", reference)
                request = urllib.request.Request(f"http://{server.address}/v2/bench/many/manifests/1",
                                                 headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})
                manifest = urllib.request.urlopen(request).read().decode()
                digests[name] = re.findall(r"sha256:[0-9a-f]{64}", manifest)[-1]
            self.line("registry: a manifest (1 / requests a second, wrk -t1 -c16)", "us", {"docker-registry": 10},
                      self.interleaved({name: lambda server=server: 1e6 / requests_a_second(server) for name, server in servers.items()}, 5), 1)
            self.line("registry: a blob of one layer (curl)", "ms", {"docker-registry": 1.5},
                      self.interleaved({name: lambda name=name, server=server: fetch_blob(server, digests[name])
                                        for name, server in servers.items()}, 2 * self.options.rounds), 1)
            self.line("registry: resident after that", "MiB", {"docker-registry": 2},
                      {name: [run.resident(server.process.pid)] for name, server in servers.items()}, 1)
        finally:
            for server in servers.values():
                server.stop()


def requests_a_second(server):
    output = subprocess.run(["wrk", "-t1", "-c16", "-d3s", "-H", "Accept: application/vnd.docker.distribution.manifest.v2+json",
                             f"http://{server.address}/v2/bench/many/manifests/1"], stdout=subprocess.PIPE, check=True, text=True).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    return float(re.search(r"Requests/sec:\s*([\d.]+)", output).group(1))


def fetch_blob(server, digest):
    """The transfer as curl times it: without the start of its process, which is no server's."""
    output = subprocess.run(["curl", "-sf", "-o", "/dev/null", "-w", "%{time_total}", f"http://{server.address}/v2/bench/many/blobs/{digest}"],
                            stdout=subprocess.PIPE, check=True, text=True).stdout
    return 1000 * float(output)


if __name__ == "__main__":
    run.main(Images, ("registries", "pulls", "pushes"), __doc__, 5)
