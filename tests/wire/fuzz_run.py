"""Looks for bytes that fail the checks, guided by the branches they take: `make fuzz SECONDS=60 SEED=1 INPUT=file`.

Owns: the fuzzer, its time and its seed.
Must not know: what is compared, what inputs are made of, what becomes of one that fails.
Invariant: a run ends with 0 only when its time is up and no input failed or hung. With the same seed the same inputs
are tried in the same order, as many of them as the time allows.

Modules are instrumented when they are first imported, so this one imports the others where it needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

__all__ = ["main"]

# Whose branches guide the fuzzer.
GUIDING = ["minihttp", "h11", "tests.wire.fuzz", "tests.wire.fuzz_splits"]
HANGS = 10  # seconds for one input


def fuzz(seconds: float, seed: int, folder: Path) -> None:
    """Does not return: the fuzzer is a loop in C, and the only way out of it is to leave the process."""
    import atheris

    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=GUIDING):
        from . import fuzz_failures, fuzz_inputs

    tried, begin = 0, time.monotonic()

    def one_input(raw: bytes) -> None:
        nonlocal tried
        tried += 1
        failed = 0
        if fuzz_failures.failure(raw):
            fuzz_failures.report(fuzz_failures.shrunk(raw), folder)
            failed = 1
        elif time.monotonic() - begin < seconds:
            return
        print(f"{tried} inputs in {time.monotonic() - begin:.0f} s, SEED={seed}, {failed} failed", flush=True)
        os._exit(failed)

    def mutator(raw: bytes, size: int, seed: int) -> bytes:
        """Every fourth change is the fuzzer's own, of any byte."""
        return fuzz_inputs.mutated(raw, size, seed) if seed % 4 else bytes(atheris.Mutate(raw, size))

    found, given = folder / "found", folder / "seeds"
    for each in (found, given):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    files = [given / f"{number:04}" for number, _ in enumerate(fuzz_inputs.seeds())]
    for file, raw in zip(files, fuzz_inputs.seeds(), strict=True):
        file.write_bytes(raw)
    # A list, for the order of a folder depends on the file system; no reloading, for it goes by the clock.
    (folder / "list").write_text(",".join(map(str, files)))
    options = [f"-seed={seed}", f"-seed_inputs=@{folder / 'list'}", "-reload=0", "-verbosity=0"]
    options += [f"-max_len={fuzz_inputs.LONGEST}", "-len_control=0", f"-timeout={HANGS}"]
    options += [f"-artifact_prefix={folder}/", str(found)]
    atheris.Setup([sys.argv[0], *options], one_input, custom_mutator=mutator)
    atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long to look")
    parser.add_argument("--seed", type=int, default=0, help="the same seed tries the same inputs; 0: another each time")
    parser.add_argument("--folder", type=Path, default=Path(".cache/fuzz"), help="where failing inputs are kept")
    parser.add_argument("inputs", type=Path, nargs="*", help="try only these, kept by an earlier run")
    given = parser.parse_args(arguments)
    if find_spec("atheris") and not given.inputs:
        fuzz(given.seconds, given.seed or int.from_bytes(os.urandom(3), "big") + 1, given.folder)

    from .fuzz_failures import replay
    from .fuzz_inputs import seeds

    if given.inputs:
        return replay([file.read_bytes() for file in given.inputs], given.folder)
    print("atheris, the fuzzer, has no wheel for this platform (it has for CPython on x86-64 Linux): seeds only")
    return replay(seeds(), given.folder)


if __name__ == "__main__":
    sys.exit(main())
