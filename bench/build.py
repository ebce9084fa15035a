#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures builds: all cached, one file of the context changed, and everything done; beside BuildKit, Docker's classic builder and buildah.

  bench/build.py [--only REGEX] [--rounds N] [--bin DIR] [--record]

As bench/run.py, whose peers and tables it has. A context has 2,000 or 10,000 files of some 2 kB; the Dockerfile copies all of it in its
last but one step, and its other steps make a small file each. BuildKit is Docker's client with the plugin buildx, which is looked for
among $BUILDX, $TREE (default /srv/peers-forky) and this machine's plugins; buildah runs with --layers, as `podman build` does. A change is
one file with new contents: what is measured then are the copy and the steps behind it, of which each takes a few milliseconds to run.
"""
import os
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run  # noqa: E402  (the other benchmark, for its sides and tables)

TREE = Path(os.environ.get("TREE", "/srv/peers-forky"))
PLUGINS = [Path(os.environ.get("BUILDX", "/nonexistent")), TREE / "usr/libexec/docker/cli-plugins/docker-buildx",
           Path("/usr/libexec/docker/cli-plugins/docker-buildx")]
TAG = f"berth-bench-built-{os.getpid()}"


class Builds(run.Bench):
    title = "Builds"

    def set_up(self):
        super().set_up()
        for side in list(self.sides):
            if side.name == "podman":
                self.sides.remove(side)
        self.builders = {side.name: (side.words("build"), side.environment) for side in self.sides if side.name == "Berth"}
        for side in self.sides:
            if side.name == "Docker":
                self.add_docker(side)
        self.add_buildah()
        self.contexts = {}
        self.changes = 0

    def add_docker(self, side):
        plugin = next((path for path in PLUGINS if path.exists()), None)
        if plugin:
            plugins = self.directory / "docker/cli-plugins"
            plugins.mkdir(parents=True)
            (plugins / "docker-buildx").symlink_to(plugin)
            self.builders["BuildKit"] = (side.words("build"), {**side.environment, "DOCKER_CONFIG": str(plugins.parent), "DOCKER_BUILDKIT": "1"})
        empty = self.directory / "docker-classic"
        empty.mkdir()
        self.builders["Docker, classic"] = (side.words("build"), {**side.environment, "DOCKER_CONFIG": str(empty), "DOCKER_BUILDKIT": "0"})

    def add_buildah(self):
        if not run.inside("v2"):
            return
        self.buildah = [*run.inside("v2"), "buildah"]
        subprocess.run([*self.buildah, "from", "--name", TAG, "scratch"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*self.buildah, "add", "-q", TAG, str(self.directory / "image.tar"), "/"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*self.buildah, "commit", "-q", "--rm", TAG, f"localhost/{run.IMAGE}"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        # It would raise them, which takes a capability that not every machine gives.
        limits = [word for name, limit in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
                  for word in ("--ulimit", "{}={}:{}".format(name, *resource.getrlimit(limit)))]
        self.builders["buildah"] = ([*self.buildah, "build", "--layers", "--network", "none", *limits], dict(os.environ))

    def tear_down(self):
        for side in self.sides:
            subprocess.run(side.words("rmi", "-f", TAG), env=side.environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run(side.words("builder", "prune", "-a", "-f"), env=side.environment, check=False, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        if hasattr(self, "buildah"):
            subprocess.run([*self.buildah, "rmi", "-f", TAG, f"localhost/{run.IMAGE}"], check=False, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        super().tear_down()

    # -- what is built

    def context(self, name, files, steps):
        """One a builder, so that each sees its own changes: copied file by file, as a checkout would be."""
        if (name, files, steps) in self.contexts:
            return self.contexts[name, files, steps]
        base = run.IMAGE if name != "buildah" else f"localhost/{run.IMAGE}"
        directory = self.directory / f"context-{len(self.contexts)}"
        for number in range(files):
            path = directory / f"src/{number // 100}/file-{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number}\n" + "some words of a source file\n" * 70)
        lines = [f"FROM {base}", *(f"RUN echo {number} >/step-{number}" for number in range(steps - 4)), "WORKDIR /app", "COPY src/ /app/",
                 "RUN echo done >/done"]
        (directory / "Dockerfile").write_text("\n".join(lines) + "\n")
        self.contexts[name, files, steps] = directory
        return directory

    def build(self, name, files, steps, *options):
        words, environment = self.builders[name]
        network = [] if name == "buildah" else ["--network", "none"]
        return 1000 * run.seconds([*words, *network, "-q", "-t", TAG, *options, str(self.context(name, files, steps))], environment)

    def change(self, name, files, steps):
        self.changes += 1
        path = self.context(name, files, steps) / "src/7/file-750.txt"
        path.write_text(f"change {self.changes}\n")

    # -- lines

    def cached(self):
        for steps in (5, 30):
            for files in (2000, 10000):
                actions = {name: lambda name=name, files=files, steps=steps: self.build(name, files, steps) for name in self.builders}
                must = {"BuildKit": 10} if steps == 5 and files == 2000 else {}
                self.line(f"cached build, {steps} steps, {files:,} files", "ms", must, self.interleaved(actions, self.options.rounds))

    def changed(self):
        for files in (2000, 10000):
            def one(name, files=files):
                self.change(name, files, 5)
                return self.build(name, files, 5)
            actions = {name: lambda name=name, one=one: one(name) for name in self.builders}
            self.line(f"one file changed, 5 steps, {files:,} files", "ms", {"BuildKit": 5} if files == 2000 else {},
                      self.interleaved(actions, self.options.rounds))

    def cold(self):
        actions = {name: lambda name=name: self.build(name, 2000, 5, "--no-cache") for name in self.builders}
        self.line("nothing cached, 5 steps (2 of them run), 2,000 files", "ms", {}, self.interleaved(actions, max(3, self.options.rounds // 2)))


if __name__ == "__main__":
    run.main(Builds, ("cached", "changed", "cold"), __doc__, 9)
