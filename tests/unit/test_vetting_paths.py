"""Which paths lie below the roots, judged by their text."""

import pytest
from mailproxy_server.content.vetting import Refused, vet_path

ROOTS = ("/srv/files", "/srv/files/deep", "/data")


@pytest.mark.parametrize(
    ("path", "root", "names"),
    [
        ("/srv/files/a.pdf", "/srv/files", ("a.pdf",)),
        ("/srv/files/b/a.pdf", "/srv/files", ("b", "a.pdf")),
        ("/srv/files/deep/a", "/srv/files/deep", ("a",)),
        ("/data/Übersicht 1.csv", "/data", ("Übersicht 1.csv",)),
        ("/data/...", "/data", ("...",)),
    ],
)
def test_a_path_below_a_root_is_taken_apart(path: str, root: str, names: tuple[str, ...]) -> None:
    assert vet_path(path, ROOTS) == (root, names)


@pytest.mark.parametrize(
    "path",
    [
        "", "a.pdf", "./a.pdf", "~/a.pdf", "/", "/etc/passwd", "/data", "/data/", "/database/a",
        "/srv/files", "/srv/filesystem/a", "/srv/files/../../etc/passwd", "/srv/files/..",
        "/srv/files/./a", "/srv/files//a", "//srv/files/a", "/srv/files/a/", "/srv/files/a\0.pdf",
        "/srv/files/a\nb", "/srv/../srv/files/a", "/proc/self/environ", "/dev/zero",
        "file:///srv/files/a", "\\\\host\\share", "/srv/files/" + "a/" * 2100 + "a",
    ],
)  # fmt: skip
def test_anything_else_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        vet_path(path, ROOTS)


def test_without_roots_nothing_is_read() -> None:
    with pytest.raises(Refused, match="MAILPROXY_ATTACHMENT_ROOTS"):
        vet_path("/srv/files/a", ())
