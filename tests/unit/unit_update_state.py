"""rootlet.update_state: what an updater remembers, and what it makes of a file that says something else."""

import os
from binascii import hexlify

from rootlet.update_state import State, usable_tag

TAG = ["0a1b2c3d4e5f", '"v6"', "00" * 32]


class Certs:
    """A folder of stores for a test: `with Certs() as path`, the path of a store."""

    def __enter__(self):
        self.folder = "/tmp/rootlet-unit-" + str(hexlify(os.urandom(8)), "ascii")
        os.mkdir(self.folder)
        return self.folder + "/roots.rtlt"

    def __exit__(self, *_):
        os.remove(self.folder + "/roots.state/updates.json")
        os.rmdir(self.folder + "/roots.state")
        os.rmdir(self.folder)


def contents(state):
    return state.tag, state.partial, state.checked


def remembered(text):
    """(tag, partial, checked) that a board reads from the file."""
    with Certs() as path:
        folder = path.replace(".rtlt", ".state")
        os.mkdir(folder)
        with open(folder + "/updates.json", "w") as file:
            file.write(text)
        return contents(State(path))


def test_what_was_saved_is_there_after_a_restart():
    with Certs() as path:
        state = State(path)
        assert contents(state) == (None, None, 0)
        state.tag, state.partial, state.checked = TAG, TAG + [4096], 1_790_000_000
        state.save()
        assert contents(State(path)) == (TAG, TAG + [4096], 1_790_000_000)


def test_a_note_of_another_shape_is_passed_over():
    for partial in ('["a", "b", "c", 0]', '["a", "b", "c", -1]', '["a", "b", "c", "1"]', '["a", "b", 3, 1]', "7"):
        assert remembered('{"tag": ["a", "b", "c"], "partial": %s, "checked": 5}' % partial) == (
            ["a", "b", "c"],
            None,
            5,
        ), partial
    assert remembered('{"tag": ["a", "b"], "partial": ["a", "b", "c", 1], "checked": 5}') == (
        None,
        ["a", "b", "c", 1],
        5,
    )


def test_only_a_strong_tag_that_can_be_sent_back_is_used():
    for tag in ('"v6"', '""', '"' + "x" * 98 + '"'):
        assert usable_tag({"etag": tag}) == tag
    for tag in ("", '"', "v6", 'W/"v6"', '"v6', 'v6"', '"a b"', '"a\tb"', '"a"b"', '"\x7f"', '"' + "x" * 99 + '"'):
        assert usable_tag({"etag": tag}) is None, tag
    assert usable_tag({}) is None
