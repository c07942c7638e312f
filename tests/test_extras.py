"""The line that names the extra that is missing."""

import configparser
import pathlib

import pytest

from densefuse_tf import extras
from densefuse_tf.errors import UserError


def test_an_installed_extra_passes(monkeypatch):
    monkeypatch.setitem(extras._PACKAGES, "beam", {"json": "json"})
    extras.require("beam", "--runner")


def test_a_missing_extra_says_what_to_install(monkeypatch):
    packages = {"no_such_module": "no-such-package", "json": "json"}
    monkeypatch.setitem(extras._PACKAGES, "beam", packages)
    line = "--runner needs no-such-package: pip install '.\\[beam\\]'"
    with pytest.raises(UserError, match=line):
        extras.require("beam", "--runner")


def test_the_packages_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).resolve().parents[1] / "setup.cfg")
    declared = config["options.extras_require"]
    for extra in extras._PACKAGES.keys() & declared.keys():
        for package in extras._PACKAGES[extra].values():
            assert f"\n{package}>=" in declared[extra]
