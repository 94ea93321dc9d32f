"""Free ports on loopback. Taken ones are remembered, so that two fixtures never get the same; each process of tests, of this run
or another on the machine, has a stretch of its own."""
import functools
import socket

STRETCHES = 16
_given = set()


@functools.cache
def _stretch():
    """Ours while this process lives: a name in the abstract namespace, which ends with it, as ports do. -> (number, its socket)"""
    for number in range(STRETCHES):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pail-test-ports-{number}")
            return number, claim
        except OSError:
            claim.close()
    raise RuntimeError(f"{STRETCHES} processes run tests on this machine already")


def _free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    return free_block(1)


def login_ports():
    """Where the browser may come back to: as many as a server has by itself, and nobody else's."""
    first = free_block(3)
    return [first, first + 1, first + 2]


def free_block(count):
    """The first of `count` consecutive free ports, below the range that the kernel hands out for connections."""
    low, high = (int(n) for n in open("/proc/sys/net/ipv4/ip_local_port_range").read().split())
    room = max(low - 10000, 16000) // STRETCHES
    for _ in range(2000):
        with socket.socket() as any_port:
            any_port.bind(("127.0.0.1", 0))
            number = any_port.getsockname()[1]
        first = 10000 + _stretch()[0] * room + (number * 7919) % (room - count)
        block = range(first, first + count)
        if not _given.intersection(block) and all(_free(port) for port in block):
            _given.update(block)
            return first
    raise RuntimeError(f"no {count} free ports in a row on loopback (range {low}-{high})")
