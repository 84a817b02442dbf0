"""The actions of the demo function, in Python for awslambdaric.

Answers the events of runtime/demo-function in the same shape; what differs is
named in the answer (`fork` starts processes here, and says so in `kind`).
"""

import errno
import json
import os
import resource
import signal
import socket
import stat
import sys
import time

TMP = "/tmp"
MIB = 1024 * 1024
CONNECT_TIMEOUT_S = 2
# Rounds between two looks at the clock.
ROUNDS = 500

count = 0
kept = []


class UnknownAction(Exception):
    pass


class InvalidEvent(Exception):
    pass


class DemoError(Exception):
    pass


class AllocationFailed(Exception):
    pass


def handler(event, _context):
    name = event.get("action") if isinstance(event, dict) else None
    action = ACTIONS.get(name)
    if action is None:
        known = ", ".join(ACTIONS)
        raise UnknownAction(f'unknown action "{name or ""}": expected one of {known}')
    try:
        return action(event)
    except KeyError as missing:
        raise InvalidEvent(f'action "{name}": missing field `{missing.args[0]}`') from None


def sequence(event):
    results = []
    for inner in event["events"]:
        if inner.get("action") == "sequence":
            raise InvalidEvent("a sequence cannot contain a sequence")
        results.append(handler(inner, None))
        if event.get("log"):
            print(json.dumps(results[-1], separators=(",", ":")), flush=True)
    return results


def echo(event):
    return {"event": event}


def counter(_event):
    global count
    count += 1
    return {"count": count}


def burn(event):
    wanted = event["cpuMs"] / 1000
    return measured(lambda cpu, wall: cpu >= wanted)


def spin_for(event):
    wanted = event["wallMs"] / 1000
    return measured(lambda cpu, wall: wall >= wanted)


def measured(done):
    wall_start, cpu_start = time.perf_counter(), time.thread_time()
    while True:
        cpu = time.thread_time() - cpu_start
        wall = time.perf_counter() - wall_start
        if done(cpu, wall):
            return {"cpuMs": cpu * 1000, "wallMs": wall * 1000, "share": cpu / wall if wall else 0}
        for _ in range(ROUNDS):
            pass


def allocate(event):
    size, keep = event["mb"] * MIB, bool(event.get("keep", False))
    try:
        memory = bytes([0xA5]) * size
    except (MemoryError, OverflowError) as error:
        raise AllocationFailed(f"{event['mb']} MiB: {error!r}") from None
    if keep:
        kept.append(memory)
    return {"allocatedBytes": size, "kept": keep}


def sleep(event):
    time.sleep(event["ms"] / 1000)
    return {"sleptMs": event["ms"]}


def fill_tmp(event):
    wanted, written, error = event["mb"], 0, None
    block = bytearray(os.urandom(MIB))
    try:
        with open(f"{TMP}/fill", "wb", buffering=0) as file:
            for index in range(wanted):
                block[:8] = index.to_bytes(8, "little")
                rest = memoryview(block)
                while rest:
                    accepted = file.write(rest)
                    written += accepted
                    rest = rest[accepted:]
    except OSError as caught:
        error = caught
    return {
        "writtenBytes": written,
        "errno": error.errno if error else None,
        "error": str(error) if error else None,
    }


def tmp_path(event):
    name = event["name"]
    if name in ("", ".", "..") or "/" in name:
        raise InvalidEvent(f'"{name}" is not a file name')
    return f"{TMP}/{name}"


def write_tmp(event):
    path, data = tmp_path(event), event["text"].encode()
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        return {"writtenBytes": 0, "errno": error.errno}
    return {"writtenBytes": len(data), "errno": None}


def read_tmp(event):
    try:
        with open(tmp_path(event), encoding="utf-8", newline="") as file:
            return {"text": file.read(), "errno": None}
    except OSError as error:
        return {"text": None, "errno": error.errno}


def list_tmp(_event):
    return {"names": names(TMP)}


def fail(event):
    raise DemoError(event["message"])


def leave(event):
    sys.stdout.flush()
    os._exit(event["code"])


def crash(_event):
    os.abort()


def log(event):
    lines = event["lines"]
    stream = sys.stderr if event.get("stderr") else sys.stdout
    for line in lines:
        print(line, file=stream)
    stream.flush()
    return {"lines": len(lines)}


def fork(event):
    children, number = [], None
    for _ in range(event["count"]):
        try:
            child = os.fork()
        except OSError as error:
            number = error.errno
            break
        if child == 0:
            signal.pause()
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"started": len(children), "errno": number, "kind": "process"}


def open_files(event):
    descriptors, number = [], None
    for _ in range(event["count"]):
        try:
            descriptors.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            number = error.errno
            break
    for descriptor in descriptors:
        os.close(descriptor)
    return {"opened": len(descriptors), "errno": number}


def connect(event):
    try:
        socket.create_connection((event["host"], event["port"]), CONNECT_TIMEOUT_S).close()
    except socket.gaierror as error:
        # Its numbers are the resolver's own, not the system's.
        return {"ok": False, "errno": None, "error": str(error)}
    except OSError as error:
        return {"ok": False, "errno": error.errno, "error": str(error)}
    return {"ok": True, "errno": None, "error": None}


def env(_event):
    return dict(os.environ)


def inspect(_event):
    status = dict(line.split(":", 1) for line in lines("/proc/self/status") if ":" in line)
    status = {name: value.strip() for name, value in status.items()}
    rights = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    soft, hard = (
        None if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "cwd": os.getcwd(),
        "umask": status.get("Umask"),
        "status": {name: status.get(name) for name in rights},
        "nofile": {"soft": soft, "hard": hard},
        "rootWrite": root_write(),
        "devShm": os.path.exists("/dev/shm"),
        "dev": names("/dev"),
        "fds": descriptors(),
        "hostname": os.uname().nodename,
        "resolvConf": text("/etc/resolv.conf"),
        "mounts": lines("/proc/self/mountinfo"),
        "tmp": tmp_status(),
        "pids": [int(name) for name in names("/proc") if name.isdigit()],
        "interfaces": [
            line.split(":")[0].strip() for line in lines("/proc/net/dev") if ":" in line
        ],
    }


def root_write():
    probe = "/.lambent-probe"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666))
    except OSError as error:
        return {"writable": False, "errno": error.errno}
    os.unlink(probe)
    return {"writable": True, "errno": None}


def tmp_status():
    try:
        status = os.stat(TMP)
    except OSError:
        return None
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    return {"mode": mode, "uid": status.st_uid, "gid": status.st_gid}


def descriptors():
    found = {}
    for name in names("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError as error:
            # The descriptor that listed the directory is closed by now.
            if error.errno != errno.ENOENT:
                raise
    return found


def names(directory):
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def lines(path):
    return (text(path) or "").splitlines()


ACTIONS = {
    "echo": echo,
    "counter": counter,
    "burn": burn,
    "spinFor": spin_for,
    "allocate": allocate,
    "sleep": sleep,
    "fillTmp": fill_tmp,
    "writeTmp": write_tmp,
    "readTmp": read_tmp,
    "listTmp": list_tmp,
    "raise": fail,
    "exit": leave,
    "crash": crash,
    "log": log,
    "fork": fork,
    "open": open_files,
    "connect": connect,
    "env": env,
    "inspect": inspect,
    "sequence": sequence,
}
