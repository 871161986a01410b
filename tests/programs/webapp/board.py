"""A Django application that answers 10,000 requests of its own. With --leak it keeps
something of each."""

import sys

import django
from django.conf import settings
from django.http import HttpResponse
from django.template import Context, Template
from django.test import Client
from django.urls import path

REQUESTS = 10_000

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of this test only",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

template = Template("<ul>{% for item in items %}<li>{{ item }}</li>{% endfor %}</ul>")
visits = []


class Visit:
    def __init__(self, number):
        self.number = number


def page(request, number):
    if "--leak" in sys.argv:
        visits.append(Visit(number))  # leak
    return HttpResponse(template.render(Context({"items": range(number, number + 40)})))


urlpatterns = [path("page/<int:number>", page)]

client = Client()
answered = sum(
    client.get(f"/page/{number % 100}").status_code == 200 for number in range(REQUESTS)
)
print(answered, "of", REQUESTS, "requests answered")
