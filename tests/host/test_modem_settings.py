"""The modem in rootlet.toml, by the board's own rules."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from rootlet_host import board_config
from rootlet_host.errors import UsageError

JOB = {"url": "https://example.org/"}
MODEM = {"kind": "modem"}


def test_what_is_not_said_of_a_modem_has_a_default() -> None:
    checked = board_config.check({"job": JOB, "network": MODEM, "modem": {"uart": 2, "tx": 17, "rx": "B7"}}, "x")
    assert checked["modem"] == {
        **{"uart": 2, "tx": 17, "rx": "B7", "power_key": None, "baudrate": 115_200, "rx_bytes": 512},
        **{"apn": "", "user": "", "password": "", "pin": None},
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "modem.uart is missing"),
        ({"modem": {"uart": "1"}}, "modem.uart must be a whole number"),
        ({"modem": {"uart": True}}, "modem.uart must be a whole number"),
        ({"modem": {"uart": 1, "tx": [17]}}, "modem.tx must be a whole number"),
        ({"modem": {"uart": 1, "tx": -1}}, "modem.tx must be 0 to 255"),
        ({"modem": {"uart": 1, "rx": ""}}, "modem.rx must be 1 to 16 bytes long"),
        ({"modem": {"uart": 1, "baudrate": 921_600}}, "modem.baudrate must be 1200 to 115200"),
        ({"modem": {"uart": 1, "rx_bytes": 1461}}, "modem.rx_bytes must be 64 to 1460"),
        ({"modem": {"uart": 1, "pin": "98a7"}}, "modem.pin is not made of digits"),
        ({"modem": {"uart": 1, "pin": 9876}}, "modem.pin must be a text"),
        ({"modem": {"uart": 1, "apn": 'a"b'}}, "modem.apn has a character that no AT command can carry"),
        ({"modem": {"uart": 1, "password": "hunter\n9876"}}, "modem.password has a character"),
        ({"modem": {"uart": 1, "speed": 1}}, "modem.speed is no setting"),
        ({"modem": {"uart": 1}, "network": {"kind": "none"}}, "modem has no use beside network.kind = none"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_secrets_are_not_shown(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        board_config.check({"job": JOB, "network": MODEM, **settings}, "rootlet.toml")
    assert f"rootlet.toml: {words}" in str(caught.value)
    assert "9876" not in str(caught.value) and "98a7" not in str(caught.value)


@pytest.mark.parametrize("key", ["pin", "password"])
def test_the_pin_of_a_sim_or_a_password_that_git_keeps_is_refused(key: str, tmp_path: Path) -> None:
    config = tmp_path / "rootlet.toml"
    config.write_text("")
    settings = {"modem": {key: "9876"}}
    board_config.check_kept_secrets(settings, config)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(UsageError, match=f"modem.{key}.*kept by git") as caught:
        board_config.check_kept_secrets(settings, config)
    assert "9876" not in str(caught.value)
