"""Pages from Jinja templates.

Owns: the template environment, and the one way to make a page of it.
Must not know: routes, the application, or what the pages show.
Invariant: every value is escaped in every template, whatever the template is called; only what the program marks as
safe is not. A name that the context does not have is an error and never an empty place in the page.

Trade-off: templates are read and rendered on the loop. They are read once, and a page is made faster than a thread
would be found for it; a page that takes longer than a few milliseconds belongs in `in_thread`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

from . import codec
from .errors import ConfigError
from .request import Request
from .response import HTML

__all__ = ["Templates"]


class Templates:
    """The templates of a directory: `templates = Templates(Path(__file__).parent / "templates")`.

    `globals` are there in every template. `auto_reload` looks at the file before each use and belongs to development:
    `auto_reload=app.debug`. Raises ConfigError for a directory that is none, and where Jinja is not installed.
    """

    def __init__(
        self, directory: str | PathLike[str], *, globals: Mapping[str, Any] | None = None, auto_reload: bool = False
    ) -> None:
        try:
            import jinja2
        except ImportError as error:
            raise ConfigError('templates need one more package: pip install "minihttp-asyncio[templates]"') from error
        self.directory = Path(directory).absolute()
        if not self.directory.is_dir():
            raise ConfigError(
                f"the template directory {self.directory} does not exist: "
                'name it by the module it stands beside, Path(__file__).parent / "templates"'
            )
        self._not_found = jinja2.TemplateNotFound
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.directory),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            auto_reload=auto_reload,
        )
        self._environment.policies["json.dumps_function"] = dumps
        self._environment.globals.update(globals or {})

    def render(self, name: str, request: Request | None = None, /, **context: Any) -> HTML:
        """A template as a page: `return templates.render("user.html", request, user=user)`.

        With the request given, the template has `request` and `url_for` too: `{{ url_for("user", id=user.id) }}`.
        Another status is said as for any value: `return templates.render("gone.html", request), 410`.
        Raises LookupError for a template that is not there, jinja2.UndefinedError for a name that the context does not
        have and jinja2.TemplateSyntaxError, each naming the place.
        """
        if request is not None:
            context = {"request": request, "url_for": request.url_for, **context}
        try:
            return HTML(self._environment.get_template(name).render(context))
        except self._not_found as error:
            missing = str(error.name)  # one that a template includes or extends, perhaps
            close = get_close_matches(missing, self._environment.list_templates(), 1)
            advice = f": did you mean {close[0]!r}?" if close else ""
            raise LookupError(f"there is no template {missing!r} in {self.directory}{advice}") from error


def dumps(value: object, **_: object) -> str:
    # What `|tojson` writes, Jinja escapes for HTML. Rows and dataclasses become what they are in a JSON response.
    return codec.encode(value).decode()
