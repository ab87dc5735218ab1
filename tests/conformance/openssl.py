"""What `openssl verify` says of a case: the default policy must refuse whatever OpenSSL refuses."""

from __future__ import annotations

import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any


def accepts(case: dict[str, Any]) -> bool:
    """Whether OpenSSL takes the case's server for the one that is expected."""
    peer = case["expected_peer_name"]
    command = ["openssl", "verify", "-purpose", "sslserver", "-no-CApath", "-no-CAstore"]
    command += ["-verify_ip" if peer["kind"] == "IP" else "-verify_hostname", peer["value"]]
    if case["validation_time"]:
        command += ["-attime", str(int(datetime.fromisoformat(case["validation_time"]).timestamp()))]
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("anchors", "intermediates", "leaf")}
        files["anchors"].write_text("\n".join(case["trusted_certs"]))
        files["intermediates"].write_text("\n".join(case["untrusted_intermediates"]))
        files["leaf"].write_text(case["peer_certificate"])
        command += ["-CAfile", str(files["anchors"])]
        if case["untrusted_intermediates"]:
            command += ["-untrusted", str(files["intermediates"])]
        done = subprocess.run([*command, str(files["leaf"])], capture_output=True, timeout=20, check=False)
    return done.returncode == 0
