from __future__ import annotations

import pytest

from tracking_runtime.plugins import COMMANDS, SCENES, find_plugins, load_plugin


def test_find_plugins_lists_names_in_order() -> None:
    names = list(find_plugins(COMMANDS))

    assert names == sorted(names)
    assert {"demo", "evaluate", "info"} <= set(names)


def test_load_plugin_unknown_name_lists_the_others() -> None:
    with pytest.raises(LookupError, match=r"scene 'moon' is unknown; available: .*satellite"):
        load_plugin(SCENES, "moon")
