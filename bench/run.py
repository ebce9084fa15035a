#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures running containers: Berth beside Docker, podman, crun and runc, interleaved, on this machine, now.

  bench/run.py [--only REGEX] [--rounds N] [--bin DIR] [--record]

Prints each line's minimum, median and spread (10th to 90th percentile) a side, and how many times faster (or smaller)
Berth is by the medians. --record appends the result to bench/RESULTS.md. Needs root. A side that is not there is left
out: Docker, podman, crun and runc come from $PEERS (default /tmp/peers), a directory with the socket of a Docker
(docker.sock) and the pids of two processes in whose mount namespaces the programs are: v1.pid (the host's control
groups: runc) and v2.pid (pure cgroup v2: crun, podman). Nothing here is a test: no time is too long.
"""
import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("PEERS", "/tmp/peers"))
PAUSE = 0.3  # seconds before each sample
LABEL = f"berth-bench={os.getpid()}"
IMAGE = f"berth-bench-{os.getpid()}:latest"


# --- programs


def spawn(command, environment):
    null = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    return os.posix_spawnp(command[0], command, environment, file_actions=null)


def finish(pid, command):
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")


def seconds(command, environment):
    """Wall time of one program, start to exit."""
    begin = time.perf_counter()
    finish(spawn(command, environment), command)
    return time.perf_counter() - begin


def inside(name):
    """The words that run a program among the peers, or None where these are not set up."""
    try:
        pid = int((PEERS / f"{name}.pid").read_text())
        os.kill(pid, 0)
        return ["nsenter", "-t", str(pid), "-m", "--"]
    except (OSError, ValueError):
        return None


class Side:
    """A container engine with Docker's command line."""

    def __init__(self, name, command, environment=None, processes=(), run_options=()):
        self.name, self.command, self.processes, self.run_options = name, command, processes, run_options
        self.environment = {**os.environ, **(environment or {})}

    def words(self, *arguments):
        if arguments[0] == "run":
            arguments = ("run", *self.run_options, *arguments[1:])
        return [*self.command, *arguments]

    def time(self, *arguments):
        return seconds(self.words(*arguments), self.environment)

    def output(self, *arguments):
        return subprocess.run(self.words(*arguments), env=self.environment, check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def run_detached(self, *options):
        return self.output("run", "-d", "--label", LABEL, *options, IMAGE, "sleep", "100000").splitlines()[-1]

    def ours(self):
        return self.output("ps", "-aq", "--filter", f"label={LABEL}").split()

    def remove_ours(self):
        ids = self.ours()
        if ids:
            self.output("rm", "-f", "-t", "0", *ids) if self.name == "podman" else self.output("rm", "-f", *ids)

    def version(self):
        return self.output("--version")


class Bench:
    title = "Run"
    needs = ()  # programs

    def __init__(self, options):
        self.options = options
        self.directory = Path(tempfile.mkdtemp(prefix="berth-bench.", dir=PEERS if PEERS.is_dir() else None))
        # Copied as an installation would: a file that a linker wrote lies in memory in single pages, one that was
        # copied in large ones, and every program's start is a tenth faster from those. The peers are installed too.
        self.bin = self.directory / "bin"
        if Path(options.bin).is_dir():
            shutil.copytree(options.bin, self.bin)
        self.engine = None
        self.sides = []
        self.rows = []

    # -- setting up and tearing down

    def set_up(self):
        root = self.directory / "bundle/rootfs"
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            (root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for name in ("sh", "true", "sleep"):
            (root / "bin" / name).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        subprocess.run(["tar", "-C", root, "-cf", self.directory / "image.tar", "."], check=True)
        self.start_berth()
        if (PEERS / "docker.sock").exists() and shutil.which("docker"):
            processes = [int((PEERS / f"{name}.pid").read_text()) for name in ("dockerd", "containerd")]
            self.sides.append(Side("Docker", ["docker"], {"DOCKER_HOST": f"unix://{PEERS}/docker.sock"}, processes))
        if inside("v2"):
            # That tree has no controllers where the host has them in v1, and podman limits pids unless told not to.
            self.sides.append(Side("podman", [*inside("v2"), "podman"], run_options=("--pids-limit", "0")))
        for side in self.sides:
            side.output("import", str(self.directory / "image.tar"), IMAGE)

    def start_berth(self):
        program = self.bin / "berthd"
        if not program.exists():
            print(f"no {program}: Berth is left out", file=sys.stderr)
            return
        socket = self.directory / "berth.sock"
        with open(self.directory / "berthd.log", "w") as log:
            self.engine = subprocess.Popen([program, "--data-root", self.directory / "data", "--exec-root", self.directory / "run", "--pidfile",
                                            self.directory / "berthd.pid", "-H", f"unix://{socket}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True)
        side = Side("Berth", [str(program.with_name("berth"))], {"BERTH_HOST": f"unix://{socket}"}, [self.engine.pid])
        for _ in range(100):
            if socket.exists() and subprocess.run([*side.command, "ps"], env=side.environment, stdout=subprocess.DEVNULL,
                                                  stderr=subprocess.DEVNULL, check=False).returncode == 0:
                self.sides.append(side)
                return
            time.sleep(0.05)
        raise RuntimeError(f"berthd did not come up: {(self.directory / 'berthd.log').read_text()[-500:]}")

    def tear_down(self):
        for side in self.sides:
            try:
                side.remove_ours()
                side.output("rmi", IMAGE)
            except (subprocess.CalledProcessError, OSError) as error:
                print(f"{side.name}: {error}", file=sys.stderr)
        if self.engine:
            self.engine.send_signal(signal.SIGTERM)
            self.engine.wait(30)
        subprocess.run(["umount", "-R", self.directory / "data"], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- measuring and telling

    def line(self, name, unit, must, samples, digits=1):
        """`samples`: side -> values, the smaller the better; `must`: peer -> ratio that Berth has to reach."""
        ours = samples.get("Berth") or samples.get("berth-runtime")
        print(f"\n{name}")
        for side, values in samples.items():
            values = sorted(values)
            middle = statistics.median(values)
            low, high = values[len(values) // 10], values[-1 - len(values) // 10]
            ratio = f"{middle / statistics.median(ours):.1f}x" if ours and values is not ours and side not in ("Berth", "berth-runtime") else ""
            wanted = f"{must[side]:g}x" if side in must else ""
            reached = ("yes" if middle / statistics.median(ours) >= must[side] else "NO") if ours and side in must else ""
            row = (name, side, f"{values[0]:.{digits}f}", f"{middle:.{digits}f}", f"{low:.{digits}f}-{high:.{digits}f}", str(len(values)), unit,
                   ratio, wanted, reached)
            self.rows.append(row)
            print(f"  {side:14} min {row[2]:>8}  median {row[3]:>8} {unit}  ({row[4]}, n={row[5]})  {ratio:>7} {'must ' + wanted if wanted else '':10} {reached}",
                  flush=True)

    def interleaved(self, actions, rounds):
        """actions: name -> function that returns a value. One of each in turn; the first round warms up and is dropped.

        Before each is a pause: what the one before it still cleans up in the background is not to be on its bill."""
        samples = {name: [] for name in actions}
        for turn in range(rounds + 1):
            for name, action in actions.items():
                time.sleep(PAUSE)
                value = action()
                if turn:
                    samples[name].append(value)
        return samples

    def command(self, name, arguments, must, rounds):
        actions = {side.name: lambda side=side: 1000 * side.time(*arguments) for side in self.sides}
        self.line(name, "ms", must, self.interleaved(actions, rounds), 2)

    def run_bridge(self):
        self.command("run --rm true, bridge", ["run", "--rm", IMAGE, "true"], {"Docker": 15}, self.options.rounds)

    def run_no_network(self):
        self.command("run --rm true, no network", ["run", "--rm", "--network", "none", IMAGE, "true"], {"Docker": 20}, self.options.rounds)

    def bundle(self):
        """The OCI runtimes alone. All go through nsenter, so that its cost (some 0.5 ms) is on both sides."""
        (self.directory / "bundle/config.json").write_text(json.dumps(bundle_config()))
        here = ["nsenter", "--mount=/proc/self/ns/mnt", "--"]
        runtimes = {"berth-runtime": [*here, str(self.bin / "berth-runtime")]}
        if not Path(runtimes["berth-runtime"][-1]).exists():
            runtimes.clear()
        for name, space in (("crun", "v2"), ("runc", "v1")):
            if inside(space):
                runtimes[name] = [*inside(space), name]
        number = 0

        def run(command):
            nonlocal number
            number += 1
            return 1000 * seconds([*command, "run", "--bundle", str(self.directory / "bundle"), f"bench-{os.getpid()}-{number}"], dict(os.environ))

        actions = {name: lambda command=command: run(command) for name, command in runtimes.items()}
        self.line("OCI bundle, run true", "ms", {"crun": 1}, self.interleaved(actions, 2 * self.options.rounds), 2)

    def execute(self):
        containers = {side.name: side.run_detached() for side in self.sides}
        actions = {side.name: lambda side=side: 1000 * side.time("exec", containers[side.name], "true") for side in self.sides}
        self.line("exec true", "ms", {"Docker": 12}, self.interleaved(actions, self.options.rounds), 2)
        self.remove_all()

    def command_line(self):
        self.command("command line's start (ps)", ["ps"], {"Docker": 10}, 2 * self.options.rounds)

    def parallel(self):
        starts, removals = {}, {}
        for _ in range(3):
            for side in self.sides:
                command = side.words("run", "-d", "--label", LABEL, IMAGE, "sleep", "100000")
                begin = time.perf_counter()
                for pid in [spawn(command, side.environment) for _ in range(50)]:
                    finish(pid, command)
                starts.setdefault(side.name, []).append(time.perf_counter() - begin)
                ids = side.ours()
                patience = ["-t", "0"] if side.name == "podman" else []
                removals.setdefault(side.name, []).append(side.time("rm", "-f", *patience, *ids))
        self.line("50 detached, in parallel", "s", {"Docker": 10}, starts, 3)
        self.line("rm -f of these 50", "s", {"Docker": 10}, removals, 3)

    def memory(self):
        """What MemAvailable loses to 200 sleeping containers. Other programs of the machine blur it: watch the spread."""
        count, samples = 200, {}
        for _ in range(2):
            for side in self.sides:
                before = available()
                for _ in range(count):
                    side.run_detached()
                with_them = available()
                side.remove_ours()
                after = available()
                samples.setdefault(side.name, []).extend([(before - with_them) / count, (after - with_them) / count])
        self.line("memory an idle container (200, MemAvailable)", "MiB", {"Docker": 10}, samples, 2)

    def crowd(self):
        """A thousand on the default network, one after another: does the last one cost more than the first?"""
        first, last = {}, {}
        for side in self.sides:
            if side.name == "podman":  # a thousand of its containers are not asked about
                continue
            times = [1000 * side.time("run", "-d", "--label", LABEL, IMAGE, "sleep", "100000") for _ in range(1000)]
            first[side.name], last[side.name] = times[:100], times[-100:]
            side.remove_ours()
            time.sleep(10)
        self.line("run -d, the first 100 of 1,000", "ms", {}, first)
        self.line("run -d, the last 100 of 1,000", "ms", {}, last)

    def engine_memory(self):
        samples = {side.name: [sum(resident(one) for pid in side.processes for one in (pid, *children(pid)))]
                   for side in self.sides if side.processes}
        self.line("engine at rest, resident", "MiB", {"Docker": 10}, samples, 1)

    def remove_all(self):
        for side in self.sides:
            side.remove_ours()

    def record(self):
        versions = [f"{side.name}: {side.version()}" for side in self.sides]
        for name, space in (("crun", "v2"), ("runc", "v1")):
            if inside(space):
                versions.append(subprocess.check_output([*inside(space), name, "--version"], text=True).splitlines()[0])
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) // (1 << 20)
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
        head = ("line", "side", "min", "median", "10-90 %", "n", "unit", "peer / Berth", "must reach", "reached")
        table = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *self.rows)]
        with open(ROOT / "bench/RESULTS.md", "a") as results:
            results.write(f"\n## {self.title}, {datetime.date.today()} at {commit}\n\n{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}, "
                          f"{memory} GiB, Linux {platform.release()}; {'; '.join(versions)}\n\n" + "\n".join(table) + "\n")


def bundle_config():
    """What `runc spec` writes, in short: five namespaces, the usual mounts, masks; no terminal."""
    mounts = [("/proc", "proc", "proc", []), ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
              ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
              ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
              ("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]), ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"])]
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    return {"ociVersion": "1.0.2", "hostname": "bench", "root": {"path": "rootfs", "readonly": True},
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["true"], "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": True,
                        "capabilities": {name: capabilities for name in ("bounding", "effective", "permitted")}},
            "mounts": [dict(zip(("destination", "type", "source", "options"), mount)) for mount in mounts],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")],
                      "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                      "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                      "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}}


def available():
    """MiB, once it stands still: what has just ended is given back a little later."""
    last = None
    for _ in range(20):
        time.sleep(0.5)
        now = int(re.search(r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) / 1024
        if last is not None and abs(now - last) < 2:
            break
        last = now
    return now


def resident(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def children(pid):
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def main(bench_class, lines, description, rounds):
    """Runs the methods of `bench_class` that `lines` names."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="lines whose name matches: " + ", ".join(lines))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    for program in bench_class.needs:
        if not shutil.which(program):
            parser.error(f"{program} is missing: install its package")
    bench = bench_class(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bench.set_up()
        for name in lines:
            if re.search(bench.options.only, name):
                getattr(bench, name)()
        if bench.options.record:
            bench.record()
    finally:
        bench.tear_down()


if __name__ == "__main__":
    main(Bench, ("engine_memory", "run_bridge", "run_no_network", "bundle", "execute", "command_line", "parallel", "memory", "crowd"), __doc__, 30)
