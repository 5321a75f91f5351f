"""Tries a file in a child process with limits on memory and time, so that a hostile one harms only the child.

Run as `python -m robusteval.loaders.onnx.sandbox SHAPE` with the model's bytes on standard input. It does not import
torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from robusteval.cage.refusals import refuse_network, refuse_writing
from robusteval.errors import ModelError

if TYPE_CHECKING:
    from robusteval.contracts.classifier import LoadOptions
    from robusteval.loaders.onnx.reading.file import ModelFile

SECONDS = 60  # of computing; by the clock it may take longer where the machine is busy with other things
_WAIT = 5  # times as long by the clock, for a child that neither computes nor answers
_PARENT_DEATH_SIGNAL = 1
BASE_BYTES = 6 * 2**30  # address space, not memory: ONNX Runtime alone reserves about one GiB


def probe_file(file: ModelFile, options: LoadOptions, seconds: int = SECONDS) -> None:
    """Raises ModelError when the file cannot be opened, or not be run once, within the limits."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "robusteval.loaders.onnx.sandbox",
        json.dumps(list(options.input_shape)),
        str(seconds),
    ]
    hint = "If you trust the file, simplify its graph (for example with onnxsim) and export it again."
    try:
        done = subprocess.run(  # noqa: S603 - this Python, this module, and numbers
            command, input=file.blob, capture_output=True, timeout=_wait(seconds), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{file.name} did not answer one input within {seconds} seconds.", hint) from error
    if done.returncode == 0:
        return
    if sys.platform != "win32" and done.returncode == -signal.SIGXCPU:
        raise ModelError(f"{file.name} did not answer one input within {seconds} seconds.", hint)
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode == 3 and lines:
        answer = json.loads(lines[-1])
        raise ModelError(f"ONNX Runtime does not accept {file.name}: {answer['reason']}", answer["hint"])
    raise ModelError(f"{file.name} needs more memory than a classifier should, or crashes ONNX Runtime.", hint)


def _wait(seconds: int) -> int:
    """How long to wait by the clock; Windows has no limit on computing time."""
    return seconds if sys.platform == "win32" else _WAIT * seconds


def _limit(size: int, seconds: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    most = BASE_BYTES + 8 * size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # nobody may raise that again
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # the kernel tells nobody why at the hard limit, where it kills; at the soft one it says SIGXCPU
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # Linux: killed when the command is, and no orphan at work
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))


def _try(blob: bytes, shape: list[int]) -> None:
    """Opens the model and answers one input of zeros, where the file says what shape that is."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = 4
    kinds = {"float": "float32", "double": "float64"}
    turns = [shape, [*shape[1:], shape[0]]] if len(shape) == 3 else [shape]
    for turn in turns:  # channels first, then last
        feed = {}
        for given in session.get_inputs():
            kind = given.type.removeprefix("tensor(").removesuffix(")")
            sizes = _sizes(given.shape, turn)
            if sizes is None or not hasattr(np, kinds.get(kind, kind)):
                return  # the loader asks for --shape, or refuses the file, in its own words
            feed[given.name] = np.zeros(sizes, dtype=kinds.get(kind, kind))
        try:
            session.run(None, feed, quiet)
        except Exception as error:  # a shape that does not fit is not a danger: the loader will say so
            if "alloc" in str(error).lower():
                raise MemoryError from error
        else:
            return


def _sizes(declared: list[int | str | None], shape: list[int]) -> list[int] | None:
    """The file's input shape with its open axes filled in, or None where nobody has said what they are."""
    still_open = [i for i, n in enumerate(declared) if not isinstance(n, int) and i > 0]
    if still_open and len(shape) != len(declared) - 1:
        return None
    sizes = [n if isinstance(n, int) else (1 if i == 0 else shape[i - 1]) for i, n in enumerate(declared)]
    if math.prod(sizes) > 2**28:
        raise MemoryError
    return sizes


def main() -> int:
    """Exit codes: 0 it runs, 3 ONNX Runtime says why it does not, anything else a limit or a crash."""
    blob = sys.stdin.buffer.read()
    refuse_network()  # what opens the file has nothing to send, and nothing to write
    refuse_writing()
    _limit(len(blob), int(sys.argv[2]))
    try:
        _try(blob, json.loads(sys.argv[1]))
    except MemoryError:
        return 4
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no base class of their own
        reason = (str(error).splitlines() or ["no reason given"])[0][:300]
        if "alloc" in reason.lower() or "memory" in reason.lower():
            return 4
        print(json.dumps({"reason": reason, "hint": "Export it again, for an opset that ONNX Runtime knows."}))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
