"""The drawings of docs/drawings, made from the texts beside them.

`python -m compat_tests.repo.drawings --write` draws them all, `--check` fails when one is not what
its text gives. A text begins with `kind:` and `title:`; what follows is described in the module of
the kind. Plain shapes and text, nothing from outside, the same bytes on every machine.
"""

from compat_tests.repo.drawings.render import FOLDER, render

__all__ = ["FOLDER", "render"]
