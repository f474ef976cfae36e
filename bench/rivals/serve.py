"""What serve.mjs is, for the rivals in Python: one line of JSON in, one out."""

import json
import sys
import time


def status(field):
    """Bytes, as the kernel says in /proc/self/status."""
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def say(answer):
    print(json.dumps(answer), flush=True)


def serve(version, forward):
    """forward: () -> float32 array [batch, tokens, width]"""
    say({"ready": True, "version": version})
    for line in sys.stdin:
        question = json.loads(line)
        if question["ask"] == "run":
            started = time.perf_counter()
            forward()
            say({"ms": 1000 * (time.perf_counter() - started)})
        elif question["ask"] == "output":
            forward().tofile(question["file"])
            say({})
        elif question["ask"] == "held":
            say({"bytes": status("VmRSS")})
        else:
            say({"bytes": status("VmHWM")})
