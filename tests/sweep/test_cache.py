"""Compiled programs are kept on disk only where nobody said otherwise, and JAX's settings are put back."""

import jax
import jax.numpy as jnp
import platformdirs
import pytest

from modejax.errors import InputError
from modejax.sweep import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.setitem(cache._SETTINGS, "jax_persistent_cache_min_compile_time_secs", 0.0)
    monkeypatch.setenv(cache.SWITCH, "on")
    return tmp_path / "cache" / "xla"


def compile_something(factor):
    jax.jit(lambda x: jnp.sin(factor * x) @ x)(jnp.ones((7, 7))).block_until_ready()


def settings():
    return [getattr(jax.config, name) for name in ("jax_compilation_cache_dir", *cache._SETTINGS)]


def test_programs_appear_in_the_folder_and_settings_are_put_back(folder):
    compile_something(2.0)  # JAX has looked for a cache before
    before = settings()
    with cache.use_compile_cache() as found:
        compile_something(3.0)
    assert found == folder
    written = list(folder.iterdir())
    assert written
    assert settings() == before
    compile_something(4.0)
    assert list(folder.iterdir()) == written


@pytest.mark.parametrize("how", ["argument", "variable", "set by the user", "switched off in JAX"])
def test_it_can_be_switched_off(folder, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv(cache.SWITCH, "off")
    names = {"set by the user": ("jax_compilation_cache_dir", str(folder.parent / "own"))}
    names["switched off in JAX"] = ("jax_enable_compilation_cache", False)  # pyright: ignore
    changed = names.get(how)
    before = changed and getattr(jax.config, changed[0])
    try:
        if changed:
            jax.config.update(*changed)
        with cache.use_compile_cache(how != "argument") as found:
            assert found is None
            assert changed is None or getattr(jax.config, changed[0]) == changed[1]
    finally:
        if changed:
            jax.config.update(changed[0], before)
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_done_without(folder):
    folder.parent.write_text("a file")
    with cache.use_compile_cache() as found:
        assert found is None


def test_another_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv(cache.SWITCH, "no")
    with pytest.raises(InputError, match=r"MODEJAX_COMPILE_CACHE is 'no'; allowed: on, off"), cache.use_compile_cache():
        pass
