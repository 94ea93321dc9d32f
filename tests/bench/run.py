#!/usr/bin/python3
"""The bench: Pail, and the peers that are installed, against raw HTTP on the same store in the same run.

    tests/bench/run.py BUILD [--store ceph|embedded] [--far] [--short] [--only NAME,...] [--peers s3fs,rclone]
                             [--json FILE] [--svg FILE]

BUILD: a release build folder. CHECK_ISSUER: a folder with tests/e2e/issuer and its node_modules. --far puts a wire of 30 ms and
80 MB/s a connection before store and server. --short takes under
two minutes. Figures are seconds, and in brackets the ratio to the best raw figure. Needs root (it drops the kernel's cache).

NAME: a class of works.py, or of the mapping server's figures (mapping.py; near only; needs wrk) one of {parts}.
"""
import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
import chart  # noqa: E402
import mapping  # noqa: E402
import works  # noqa: E402
from mounts import PailMount, PeerMount, installed_peers  # noqa: E402
from raw import Raw  # noqa: E402
from service import Service  # noqa: E402
from lib import issuer, mounts as mount_table  # noqa: E402
from lib import processes  # noqa: E402

FULL = {"big_size": 1 << 30, "small": 500, "wide": 10_000, "deep": 20_000, "folders": 2_000, "random": 100, "remove": 2_000,
        "known": 100_000, "huge_size": 4 << 30}
SHORT = {"big_size": 128 << 20, "small": 200, "wide": 2_000, "deep": 2_000, "folders": 200, "random": 50, "remove": 500,
         "known": 5_000, "huge_size": 512 << 20}


def gib(size):
    return f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"


class Bench:
    """What every work sees: sizes, the store, the bucket, the yardstick."""

    def __init__(self, arguments, service, scratch):
        self.__dict__.update(SHORT if arguments.short else FULL)
        self.big, self.huge = gib(self.big_size), gib(self.huge_size)
        self.scratch, self.service = Path(scratch), service
        self.s3, self.bucket = service.s3, service.bucket
        client_core = 1 if os.cpu_count() > 1 else None
        self.build = Path(arguments.build).resolve()
        self.raw = Raw(self.build / "tests" / "bench" / "rawhttp", self.s3, service.endpoint, scratch, client_core)
        self.big_file = self.scratch / "big"
        with open(self.big_file, "wb") as to:
            for _ in range(self.big_size >> 20):
                to.write(os.urandom(1 << 20))
        self.mounts = [PailMount(service.person, client_core)]
        self.mounts += [PeerMount(name, self.s3, service.endpoint, self.bucket, scratch, client_core)
                        for name in arguments.peers]

    @contextlib.contextmanager
    def empty_server(self):
        folder = self.scratch / "empty"
        folder.mkdir()
        sizes = [self.wide, self.deep, self.folders, self.big_size]
        process = processes.Process([self.build / "tests" / "bench" / "emptyfuse", folder, *sizes], self.scratch / "empty.log")
        try:
            processes.wait_until(lambda: mount_table.is_mounted(folder), 10, "the empty server to mount")
            yield folder
        finally:
            mount_table.detach_all(folder)
            process.end()

    def measure(self, kind):
        work = kind(self)
        row = {"work": work.name.format(**self.__dict__), "key": kind.__name__, "target": work.target}
        work.prepare()
        row["raw"] = work.raw()
        row["mounts"] = {}
        for mount in self.mounts:
            mount.peak = 0.0
            try:
                row["mounts"][mount.name] = work.mounted(mount)
                row.setdefault("peak_mib", {})[mount.name] = round(mount.peak, 1)
            except Exception as error:  # a peer that fails is a result, and Pail that fails must not hide the rest
                row["mounts"][mount.name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
                mount_cleanup(mount)
        return row


def mount_cleanup(mount):
    mount_table.detach_all(mount.folder)
    if hasattr(mount, "person"):
        processes.kill_tree(mount.person.mount_pids())
    elif mount.process:
        processes.kill_tree([mount.process.pid])


def print_row(row):
    best = min(row["raw"].values(), default=None)
    print(f"\n{row['work']}")
    for label, seconds in row["raw"].items():
        print(f"    raw, {label:24} {seconds:9.3f}")
    for name, results in row["mounts"].items():
        for label, value in results.items():
            if isinstance(value, str):
                print(f"    {name + ', ' + label:29} {value}")
            else:
                print(f"    {name + ', ' + label:29} {value:9.3f}" + (f"  ({value / best:.2f} x raw)" if best else ""))
        peak = row.get("peak_mib", {}).get(name)
        if peak:
            print(f"    {name + ', peak memory':29} {peak:9.1f} MiB")
    sys.stdout.flush()


def measure_mapping(arguments, service, scratch, names):
    parts = [name for name in mapping.PARTS if not names or name in names]
    if not parts or arguments.far:
        return []
    yardstick = service.build.folder / "tests" / "bench" / "yardstick"
    with mapping.MappingBench(service.store, service.build, yardstick, scratch, arguments.short) as bench:
        return mapping.measure(bench, parts)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.format(parts=", ".join(mapping.PARTS)), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--store", choices=["ceph", "embedded"], default="ceph")
    parser.add_argument("--far", action="store_true")
    parser.add_argument("--rtt-ms", type=float, default=30)
    parser.add_argument("--mb-per-s", type=float, default=80)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="", help="comma separated, or all")
    parser.add_argument("--json")
    parser.add_argument("--svg")
    arguments = parser.parse_args()
    arguments.peers = installed_peers() if arguments.peers == "all" else [p for p in arguments.peers.split(",") if p]
    return arguments


def main():
    arguments = read_arguments()
    if not issuer.node() or not issuer.folder():
        sys.exit("The bench needs node, and CHECK_ISSUER naming a folder with tests/e2e/issuer/* after `npm install` in it "
                 "(`CHECK_KEEP=FOLDER packaging/check e2e -k nothing` leaves one in FOLDER/issuer).")
    processes.become_subreaper()
    scratch = tempfile.mkdtemp(prefix="pb-")
    rows, started = [], time.time()
    try:
        with Service(arguments, Path(scratch) / "service") as service:
            names = arguments.only.split(",") if arguments.only else None
            wanted = [k for k in works.ALL if not names or k.__name__ in names]
            bench = Bench(arguments, service, scratch) if wanted else None
            for kind in wanted:
                rows.append(bench.measure(kind))
                print_row(rows[-1])
            figures = measure_mapping(arguments, service, scratch, names)
    finally:
        mount_table.detach_all(scratch)
        processes.kill_tree(processes.descendants())
        shutil.rmtree(scratch, ignore_errors=True)
    result = {"store": arguments.store, "wire": "far" if arguments.far else "near", "short": arguments.short,
              "seconds": round(time.time() - started, 1), "cores": os.cpu_count(), "rows": rows, "mapping": figures}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    if arguments.svg:
        Path(arguments.svg).write_text(chart.draw(result))
    return 1 if any("failed" in r["mounts"].get("pail", {}) for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
