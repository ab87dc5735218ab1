"""What `make memory` found, as a file: docs/memory.json is what the documentation and the board's limits come from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from measuring.workbench import REPOSITORY
from memory_bench import FROZEN, PREFLIGHT, PYTHON_HEAP, SYSTEM_HEAP, Phase, Result

MARGIN_BYTES = 512  # above what was found: where the heap's holes lie differs from program to program
RECORD = REPOSITORY / "docs" / "memory.json"


@dataclass(frozen=True)
class Record:
    """`about`: the firmware that was measured; `code`: SHA-256 of the device package; `not_measured`: reasons by
    configuration."""

    about: str
    code: str
    results: list[Result]
    not_measured: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Record:
        data = json.loads(path.read_text(encoding="utf-8"))
        results = [
            Result(
                **{
                    **{name: entry[name] for name in ("chain", "configuration", "packaging", "tls_heap")},
                    "least_heap_bytes": entry["least_heap_bytes"],
                    "preflight_bytes": tuple(entry.get("preflight_bytes", ())),
                    "again_heap_bytes": entry.get("again_heap_bytes", 0),
                    "phases": [Phase(**phase) for phase in entry["phases"]],
                }
            )
            for entry in data["results"]
        ]
        return cls(data["about"], data["code"], results, data["not_measured"])

    def as_json(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "code": self.code,
            "not_measured": self.not_measured,
            "results": [result_as_json(result) for result in self.results],
        }

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    def groups(self) -> list[tuple[str, str]]:
        """(chain, where Mbed TLS allocates), each once, in the order of measuring."""
        return list(dict.fromkeys((result.chain, result.tls_heap) for result in self.results))

    def find(self, chain: str, configuration: str, packaging: str, tls_heap: str = PYTHON_HEAP) -> Result | None:
        wanted = (chain, configuration, packaging, tls_heap)
        for result in self.results:
            if (result.chain, result.configuration, result.packaging, result.tls_heap) == wanted:
                return result
        return None

    def need(self, chain: str, configuration: str, packaging: str, tls_heap: str = PYTHON_HEAP) -> Result:
        """As `find`. Raises ValueError if there is none."""
        result = self.find(chain, configuration, packaging, tls_heap)
        if result is None:
            raise ValueError(f"not recorded: {configuration} {packaging} with {chain} in the {tls_heap} heap")
        return result


def result_as_json(result: Result) -> dict[str, Any]:
    """With the peaks, for those who read the file without this program."""
    data = asdict(result)
    phases = data.pop("phases")
    for name in ("preflight_bytes", "again_heap_bytes"):
        if not data[name]:
            del data[name]
    peaks = ("peak_bytes", "python_peak_bytes", "tls_peak_bytes")
    return {**data, **{name: getattr(result, name) for name in peaks}, "phases": phases}


def limits(record: Record) -> dict[str, tuple[Any, ...]]:
    """The figures that lib/rootlet/memory.py refuses by, by their names there."""
    beside, python = [], []
    for packaging in (FROZEN, "mpy"):
        chains = [record.need(chain, PREFLIGHT.key, packaging) for chain in ("P-256", "RSA-2048")]
        beside.append(tuple(_up(result.preflight_bytes[1]) for result in chains))
        system = record.need("RSA-2048", PREFLIGHT.key, packaging, SYSTEM_HEAP)
        python.append(_up(system.preflight_bytes[0]))
    # Mbed TLS's part does not depend on how rootlet is installed.
    tls = tuple(_up(record.need(chain, "store", FROZEN).tls_peak_bytes) for chain in ("P-256", "RSA-2048"))
    return {"_BESIDE_BUFFERS": tuple(beside), "_PYTHON": tuple(python), "_TLS": tls}


def _up(size: int) -> int:
    return -(-(size + MARGIN_BYTES) // 256) * 256
