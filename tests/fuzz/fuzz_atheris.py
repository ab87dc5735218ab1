"""Fuzzes one target with atheris, which is led by the lines and comparisons that inputs reach (CPython only).

    fuzz_atheris.py TARGET INPUTS SEED FOLDER

FOLDER keeps the inputs that reach something new, and one that fails (crash-…, timeout-…, oom-…).
"""

import random
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "unit")]

import atheris  # noqa: E402
import cpython_shim  # noqa: E402, F401

with atheris.instrument_imports(include=["rootlet"]):
    from fuzz_targets import TARGETS

from fuzz_mutate import mutate_der  # noqa: E402

_HANG_S = 5
_MOST_MEMORY_MB = 400


def main() -> None:
    name, inputs, seed, folder = sys.argv[1:5]
    _, function, seeds, is_der, _ = next(target for target in TARGETS if target[0] == name)
    corpus = Path(folder) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds):
        corpus.joinpath(f"seed{number}").write_bytes(bytes(data))

    def change(data: bytes, most: int, number: int) -> bytes:
        if number % 3 == 0:
            return bytes(atheris.Mutate(data, most))
        random.seed(number)
        return mutate_der(data, seeds)[:most]

    options = [
        f"-runs={inputs}",
        f"-seed={int(seed) or 1}",
        f"-timeout={_HANG_S}",
        f"-rss_limit_mb={_MOST_MEMORY_MB}",
        "-max_len=4096",
        "-verbosity=0",
        "-print_final_stats=1",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], function, custom_mutator=change if is_der else None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
