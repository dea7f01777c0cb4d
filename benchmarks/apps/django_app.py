"""Django: on gunicorn; its own templates and its ORM.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from benchmarks.apps import content

url = os.environ.get("BENCH_DATABASE", "")
where = urlsplit(url)
if where.scheme == "mysql":
    import pymysql

    # What Django's own backend asks for, as PyMySQL's documentation shows.
    pymysql.install_as_MySQLdb()
    pymysql.version_info = (2, 2, 1, "final", 0)
    account = {"USER": where.username, "PASSWORD": where.password or "", "HOST": where.hostname, "PORT": where.port}
    database = {"ENGINE": "django.db.backends.mysql", "NAME": where.path.lstrip("/"), "CONN_MAX_AGE": None, **account}
else:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": url.removeprefix("sqlite:///"), "CONN_MAX_AGE": None}

templates = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [content.TEMPLATES]}
settings.configure(
    DEBUG=False,
    SECRET_KEY="only for the benchmark",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    TEMPLATES=[templates],
    DATABASES={"default": database},
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402  # once Django is set up
from django.db import models  # noqa: E402  # once Django is set up
from django.shortcuts import render  # noqa: E402  # once Django is set up
from django.urls import path  # noqa: E402  # once Django is set up


class User(models.Model):
    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=50)
    age = models.IntegerField()
    sex = models.CharField(max_length=6)
    city = models.CharField(max_length=50)

    class Meta:
        app_label = "bench"
        db_table = "user"

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "age": self.age, "sex": self.sex, "city": self.city}


def plaintext(request: HttpRequest) -> HttpResponse:
    return HttpResponse(content.PLAIN, content_type="text/plain; charset=utf-8")


def object(request: HttpRequest) -> HttpResponse:
    return JsonResponse(content.OBJECT)


def post(request: HttpRequest, id: int, slug: str) -> HttpResponse:
    return JsonResponse({"id": id, "slug": slug, "page": int(request.GET["page"])})


def order(request: HttpRequest) -> HttpResponse:
    return JsonResponse(content.receipt(content.order(json.loads(request.body))))


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(content.LARGE, content_type="text/plain")


def upload(request: HttpRequest) -> HttpResponse:
    size = 0
    while chunk := request.read(65536):
        size += len(chunk)
    return HttpResponse(str(size))


def download(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(content.chunks(), content_type="application/octet-stream")


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html", {"title": "People", "people": content.PEOPLE})


def one(request: HttpRequest, id: int) -> HttpResponse:
    if request.method == "POST":
        age = json.loads(request.body)["age"]
        User.objects.filter(id=id).update(age=age)
        return JsonResponse({"id": id, "age": age})
    return JsonResponse(User.objects.get(id=id).as_dict())


def twenty(request: HttpRequest) -> HttpResponse:
    return JsonResponse([user.as_dict() for user in User.objects.order_by("id")[:20]], safe=False)


def numbered(request: HttpRequest, id: int) -> HttpResponse:
    return JsonResponse({"id": id})


urlpatterns = [
    path("plaintext", plaintext),
    path("json", object),
    path("users/<int:id>/posts/<slug:slug>", post),
    path("orders", order),
    path("large", large),
    path("upload", upload),
    path("download", download),
    path("page", page),
    path("db", twenty),
    path("db/<int:id>", one),
    *(path(f"r{number}/<int:id>", numbered) for number in range(content.ROUTES)),
]
app = get_wsgi_application()
