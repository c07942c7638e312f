"""What the page answers, to whom, and the size of its folder."""

import asyncio
import os
import pathlib
import tempfile
import time

import pytest

pytest.importorskip("uvicorn", reason="needs gradio: pip install '.[demo]'")
httpx = pytest.importorskip("httpx")

from densefuse_tf.demo.server import Folder  # noqa: E402
from densefuse_tf.demo.server import Guard  # noqa: E402
from densefuse_tf.demo.server import own_folder  # noqa: E402

PORT = 7860


async def application(scope, receive, send):
    """Answers everything."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def ask(folder, method="GET", path="/", bound_to="127.0.0.1", **request):
    async def answer():
        guard = Guard(application, bound_to, folder)
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(
                method, f"http://127.0.0.1:{PORT}{path}", **request
            )

    return asyncio.run(answer())


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path, 1000)


@pytest.mark.parametrize(
    ("bound_to", "host", "status"),
    [
        ("127.0.0.1", f"127.0.0.1:{PORT}", 200),
        # Through ssh the port is another one.
        ("127.0.0.1", "localhost:9000", 200),
        ("127.0.0.1", "LOCALHOST", 200),
        ("127.0.0.1", "[::1]:9000", 200),
        ("127.0.0.2", "127.0.0.2", 200),
        ("127.0.0.1", "127.0.0.2", 403),
        ("127.0.0.1", f"evil.example:{PORT}", 403),
        ("127.0.0.1", "localhost.evil.example", 403),
        ("127.0.0.1", "127.0.0.1@evil.example", 403),
        ("127.0.0.1", "[::1", 403),
        ("127.0.0.1", "", 403),
    ],
)
def test_only_names_of_this_machine_are_answered(folder, bound_to, host, status):
    answered = ask(folder, bound_to=bound_to, headers={"Host": host})
    assert answered.status_code == status
    assert (answered.text == "page") == (status == 200)
    # A refusal, too, can neither be framed nor sniffed.
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    assert answered.headers["X-Frame-Options"] == "DENY"
    policy = answered.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"http://127.0.0.1:{PORT}", 200),
        ("http://127.0.0.1:8888", 403),
        ("http://evil.example", 403),
        (f"http://127.0.0.1:{PORT}.evil.example", 403),
        ("null", 403),
    ],
)
def test_another_page_is_refused(folder, method, origin, status):
    answered = ask(folder, method, headers={"Origin": origin})
    assert answered.status_code == status


def test_the_oldest_files_make_room_for_an_upload(folder, tmp_path):
    for name in ("first", "used", "last"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(bytes(300))
        time.sleep(0.02)
    # What a copy keeps, the time of the last change, does not count.
    os.utime(tmp_path / "last/a.png", (0, 0))
    with folder.using(tmp_path / "first/a.png"):
        answered = ask(folder, "POST", "/gradio_api/upload", content=bytes(350))
        assert answered.status_code == 200
        left = {path.parent.name for path in tmp_path.glob("*/*")}
        assert left == {"first", "last"}
        # What is read cannot go, and the page says so.
        assert folder.make_room(700)
        answered = ask(folder, "POST", "/gradio_api/upload", content=bytes(701))
        assert answered.status_code == 507
        assert "no room for this file now" in answered.text
    assert folder.make_room(1000)
    assert not folder.make_room(1001)


def test_what_is_on_its_way_counts(folder):
    with folder.expecting(600):
        assert folder.make_room(400)
        assert not folder.make_room(401)
    assert folder.make_room(401)


def test_an_upload_says_its_size(folder):
    async def parts():
        yield b"part"

    answered = ask(folder, "POST", "/gradio_api/upload", content=parts())
    assert answered.status_code == 411


def test_folders_of_killed_pages_are_removed_and_of_others_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = tmp_path / "densefuse_demo_killed"
    killed.mkdir()
    (killed / "upload.png").touch()
    (tmp_path / "other").mkdir()
    with own_folder() as running:
        assert pathlib.Path(running).parent == tmp_path
        for folder in (killed, pathlib.Path(running), tmp_path / "other"):
            os.utime(folder, (time.time() - 3600,) * 2)
        with own_folder() as second:
            left = {path.name for path in tmp_path.iterdir()}
            expected = {
                "other",
                *(os.path.basename(each) for each in (running, second)),
            }
            assert left == expected
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
