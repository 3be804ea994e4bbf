"""Hooks of models: when they are sent, and what they say about a row."""

import datetime
import decimal
import uuid

import pytest
from django.core import serializers
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.db.models import F, signals
from django.utils.translation import gettext_lazy
from project.library.models import Book, Neighbour, Novel, Parcel, Person, Shape

from hookbox.contrib.django.event import ModelHook
from hookbox.contrib.django.payload import NotJSON
from hookbox.contrib.django.test import capture_hooks

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent():
    with capture_hooks() as sent:
        yield sent


@pytest.fixture
def hooked(register, sent):
    """Registers a hook, that is sent without listeners, too."""
    return lambda model, signal=signals.post_save, cls=ModelHook, **options: register(
        cls(model, signal, **{"name": "h", "topic": "t", **options})
    )


def payload_of(instance, *names, using="default", cls=ModelHook, **options):
    """What a hook would say about a row, and nothing else."""
    hook = cls(type(instance), name="h", topic="t", provides_args=names or None, **options)
    with capture_hooks() as sent:
        hook.send(type(instance), instance=instance)
    return sent[0].payload


# --- which signal, which model


def test_created_and_updated(hooked, sent):
    hooked(Person, provides_args=["name", "address"])
    joe = Person.objects.create(name="Joe", secret="kept")
    joe.address = "Milkyway"
    joe.save()
    joe.save(update_fields={"name", "address"})
    first = {
        "name": "Joe",
        "address": "",
        "created": True,
        "raw": False,
        "using": "default",
        "update_fields": None,
    }
    assert [each.payload for each in sent] == [
        first,
        {**first, "address": "Milkyway", "created": False},
        {**first, "address": "Milkyway", "created": False, "update_fields": ["address", "name"]},
    ]


def test_model_and_signal_may_be_attributes_arguments_or_positional(sent, register):
    class ByClass(ModelHook):
        name = "by.class"
        model = Person
        signal = signals.post_save
        topic = "t"

    register(ByClass)
    register(ModelHook(model=Person, signal=signals.post_save, name="by.name", topic="t"))
    register(ModelHook(Person, signals.post_save, name="by.place", topic="t"))
    register(ModelHook("library.Person", signals.post_save, name="by.label", topic="t"))
    Person.objects.create(name="Joe")
    assert sorted(each.hook for each in sent) == ["by.class", "by.label", "by.name", "by.place"]


def test_without_a_signal_it_is_sent_by_hand(sent, register):
    hook = register(ModelHook(Person, name="h", provides_args=["name"], topic="t"))
    joe = Person.objects.create(name="Joe")
    assert len(sent) == 0
    hook.send(Person, instance=joe, created=True, origin="somewhere", note=1)
    hook.send(Person, name="by hand")
    assert [each.payload for each in sent] == [{"name": "Joe", "created": True}, {"name": "by hand"}]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (None, "give it a model"),
        ("library.Nobody", "no model 'library.Nobody'"),
        ("nonsense", "no model"),
        (3, "not a model"),
        (int, "not a model"),
        (Shape, "abstract"),
    ],
)
def test_a_hook_without_a_usable_model_is_told(model, says):
    with pytest.raises(ImproperlyConfigured, match=says):
        ModelHook(model, signals.post_save, name="h")


def test_proxies_and_inherited_models_are_senders_of_their_own(hooked, sent):
    hooked(Person)
    hooked(Neighbour, name="neighbour")
    hooked(Book, name="book", provides_args=["title"])
    hooked(Novel, name="novel", provides_args=["title", "pages", "id"])
    joe = Neighbour.objects.create(name="Joe")
    assert [each.hook for each in sent] == ["neighbour"]
    sent.clear()
    novel = Novel.objects.create(title="It", author=joe, pages=9)
    assert [(each.hook, each.payload["title"]) for each in sent] == [("novel", "It")]
    assert (sent[0].payload["pages"], sent[0].payload["id"]) == (9, novel.pk)


def test_a_deleted_row_still_has_its_values(hooked, sent):
    hooked(Person, signals.post_delete, provides_args=["pk", "name"])
    joe = Person.objects.create(name="Joe")
    key = joe.pk
    joe.delete()
    assert joe.pk is None
    assert sent[0].payload == {"pk": key, "name": "Joe", "using": "default"}  # and no `origin`


def test_rows_deleted_by_a_queryset_are_sent_too(hooked, sent):
    hooked(Person, signals.post_delete, provides_args=["name"])
    Person.objects.create(name="Joe")
    Person.objects.create(name="Jim")
    Person.objects.all().delete()
    assert sorted(each.payload["name"] for each in sent) == ["Jim", "Joe"]


def test_what_was_never_loaded_of_a_deleted_row_is_null(hooked, sent):
    hooked(Person, signals.post_delete, provides_args=["name", "address"])
    Person.objects.create(name="Joe", address="x")
    Person.objects.only("name").get().delete()
    assert sent[0].payload["name"] == "Joe"
    assert sent[0].payload["address"] is None


def test_values_are_those_of_the_moment(hooked, sent):
    hooked(Person, provides_args=["name"])
    joe = Person.objects.create(name="Joe")
    joe.name = "Changed later"
    assert sent[0].payload["name"] == "Joe"


def test_fixtures_are_skipped_unless_asked_for(hooked, sent):
    hooked(Person, name="usual")
    hooked(Person, name="raw", send_raw=True, provides_args=["name"])
    text = '[{"model": "library.person", "pk": 1, "fields": {"name": "Joe"}}]'
    for each in serializers.deserialize("json", text):
        each.save()
    assert [(each.hook, each.payload["raw"]) for each in sent] == [("raw", True)]


def test_only_some_changes(hooked, sent):
    hooked(Book, provides_args=["status"], only_changed=("status", "title"))
    book = Book.objects.create(title="It", author=Person.objects.create(name="Joe"))
    assert len(sent) == 1
    sent.clear()
    book.save(update_fields=["price"])
    book.save()
    assert len(sent) == 0
    book.save(update_fields=["price", "status"])
    assert len(sent) == 1


def test_only_some_changes_before_a_row_is_saved_and_where_signals_say_nothing(hooked, sent):
    hooked(Person, signals.pre_save, name="before", only_changed=["name"])
    hooked(Person, signals.post_delete, name="gone", only_changed=["name"])
    joe = Person.objects.create(name="Joe")
    joe.save()
    joe.delete()
    assert [each.hook for each in sent] == ["before", "gone"]


def test_only_changed_takes_names(hooked):
    with pytest.raises(TypeError, match="only_changed has to be a list"):
        ModelHook(Person, only_changed="name")


# --- relations


@pytest.fixture
def people():
    return [Person.objects.create(name=name) for name in ("Joe", "Jim", "Ann")]


def test_m2m_changed(hooked, sent, people):
    joe, jim, ann = people
    book = Book.objects.create(title="It", author=ann)
    hooked(Book, signals.m2m_changed, provides_args=["title", "readers"])
    book.readers.add(jim, joe)
    before, after = (each.payload for each in sent)
    said = {"title": "It", "reverse": False, "using": "default", "pk_set": [joe.pk, jim.pk]}
    assert before == {**said, "action": "pre_add", "readers": []}
    assert after == {**said, "action": "post_add", "readers": [joe.pk, jim.pk]}
    sent.clear()
    book.readers.clear()
    assert [each.payload["pk_set"] for each in sent] == [None, None]


def test_m2m_changed_from_the_other_side_says_which_rows_in_pk_set(hooked, sent, people):
    book = Book.objects.create(title="It", author=people[0])
    hooked(Book, signals.m2m_changed, provides_args=["title"])
    people[1].reads.add(book)
    assert sent[1].payload == {
        "title": None,
        "action": "post_add",
        "reverse": True,
        "pk_set": [book.pk],
        "using": "default",
    }


def test_m2m_changed_of_a_table_between(hooked, sent, people):
    book = Book.objects.create(title="It", author=people[0])
    hooked(Book.readers.through, signals.m2m_changed, provides_args=["title"])
    book.readers.set(people)
    assert sent[1].payload["title"] == "It"


def test_m2m_changed_of_an_inherited_model_is_its_own_affair(hooked, sent, people):
    hooked(Novel, signals.m2m_changed, provides_args=["title"])
    book = Book.objects.create(title="It", author=people[0])
    novel = Novel.objects.create(title="He", author=people[0])
    book.readers.add(people[1])
    assert len(sent) == 0
    novel.readers.add(people[1])
    assert sent[0].payload["title"] == "He"


def test_relations_are_keys(people):
    joe, jim, _ = people
    book = Book.objects.create(title="It", author=joe)
    book.readers.set([jim, joe])
    names = ("author", "author_id", "readers", "pk", "id")
    assert payload_of(book, *names) == {
        "author": joe.pk,
        "author_id": joe.pk,
        "readers": [joe.pk, jim.pk],
        "pk": book.pk,
        "id": book.pk,
    }
    assert payload_of(joe, "books", "reads") == {"books": [book.pk], "reads": [book.pk]}
    assert payload_of(jim, "books", "reads") == {"books": [], "reads": [book.pk]}


def test_keys_are_sorted_in_whatever_order_they_were_added(people):
    book = Book.objects.create(title="It", author=people[0])
    for person in reversed(people):
        book.readers.add(person)
    assert payload_of(book, "readers") == {"readers": sorted(person.pk for person in people)}


def test_a_foreign_key_costs_no_query(people, django_assert_num_queries):
    book = Book.objects.get(pk=Book.objects.create(title="It", author=people[0]).pk)
    with django_assert_num_queries(1):  # the one for listeners
        assert payload_of(book, "author") == {"author": people[0].pk}


def test_to_one_the_other_way_round(people):
    novel = Novel.objects.create(title="It", author=people[0])
    assert payload_of(Book.objects.get(), "novel", "author") == {"novel": novel.pk, "author": people[0].pk}
    assert payload_of(Book.objects.create(title="He", author=people[0]), "novel") == {"novel": None}


def test_a_row_without_a_key_has_no_relations_yet():
    assert payload_of(Book(title="It"), "readers", "author", "pk") == {
        "readers": None,
        "author": None,
        "pk": None,
    }
    assert payload_of(Person(name="Joe"), "books", "reads") == {"books": None, "reads": None}


def test_the_lists_are_read_from_the_database_that_the_signal_names(people):
    book = Book.objects.create(title="It", author=people[0])
    hook = ModelHook(Book, name="h", provides_args=["readers"])
    assert hook.get_using({"using": "other", "instance": book}) == "other"
    assert hook.get_using({"instance": book}) == "default"
    assert hook.get_using({"using": "nonsense"}) == "default"


# --- values


def test_all_fields_but_the_key_unless_some_are_named():
    assert ModelHook(Person, name="h").provides_args == ("name", "address", "secret", "age")
    assert "author" in ModelHook("library.Novel", name="h").provides_args
    assert not {"id", "book_ptr", "readers"} & set(ModelHook(Novel, name="h").provides_args)
    assert ModelHook(Person, name="h", provides_args=()).provides_args == ()


def test_values_that_json_has_no_word_for():
    parcel = Parcel(
        content=b"\x00\xff",
        took=datetime.timedelta(hours=1),
        number=uuid.UUID(int=1),
        sent_on=datetime.date(2026, 1, 2),
        labels={"a": [1]},
        created=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    )
    assert payload_of(parcel, "content", "took", "number", "sent_on", "labels", "colours", "created") == {
        "content": "AP8=",
        "took": "P0DT01H00M00S",
        "number": "00000000-0000-0000-0000-000000000001",
        "sent_on": "2026-01-02",
        "labels": {"a": [1]},
        "colours": ["blue", "red"],
        "created": "2026-01-02T03:04:05Z",
    }


def test_bytes_are_the_same_when_they_come_back_from_the_database():
    parcel = Parcel.objects.create(content=b"\x00\xff")
    parcel.refresh_from_db()
    assert payload_of(parcel, "content") == {"content": "AP8="}


def test_names_that_are_no_field():
    class Named(Parcel):
        lazy = gettext_lazy("anything")

        class Meta:
            proxy = True
            app_label = "library"

    parcel = Named()
    names = (
        "colours",
        "heavy",
        "unit",
        "get_size_display",
        "lazy",
        "in_parts",
        "nothing",
        "save",
        "objects_",
    )
    assert payload_of(parcel, *names) == {
        "colours": ["blue", "red"],
        "heavy": True,
        "unit": "kg",
        "get_size_display": "small",
        "lazy": "anything",
        "in_parts": None,
        "nothing": None,
        "save": None,  # it needs no argument, but to look at a row is not to save it
        "objects_": None,
    }
    assert parcel.pk is None


def test_values_are_as_the_database_will_have_them():
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    book = Book(price="9.9", published_at=datetime.datetime(2026, 1, 2, 3, tzinfo=berlin))
    assert payload_of(book, "price", "published_at") == {
        "price": "9.90",
        "published_at": "2026-01-02T01:00:00Z",
    }
    assert payload_of(Person(age="18"), "age") == {"age": 18}
    assert payload_of(Person(age="old"), "age") == {"age": "old"}
    assert payload_of(Book(price=decimal.Decimal("1e30")), "price") == {"price": "1E+30"}


def test_what_only_the_database_can_work_out_is_asked_there(hooked, sent, people):
    joe = people[0]
    Person.objects.update(age=40)
    hooked(Person, provides_args=["age"])
    joe.age = F("age") + 1
    joe.save()
    assert sent[0].payload["age"] == 41
    assert payload_of(Person(age=F("age") + 1), "age") == {"age": None}


def test_files_are_names_and_urls_if_wanted(people, settings, tmp_path):
    settings.MEDIA_ROOT, settings.MEDIA_URL = str(tmp_path), "/media/"
    book = Book(title="It", author=people[0])
    book.cover.save("it.txt", ContentFile(b"x"), save=False)
    assert payload_of(book, "cover") == {"cover": book.cover.name}
    with_url = {"cover": book.cover.name, "cover_url": f"/media/{book.cover.name}", "title": "It"}
    assert payload_of(book, "cover", "title", file_urls=True) == with_url
    assert payload_of(Book(), "cover", file_urls=True) == {"cover": "", "cover_url": None}


def test_what_the_signal_says_comes_before_a_field_of_that_name(hooked, sent):
    hooked(Parcel, provides_args=["created", "size"])
    Parcel.objects.create()
    assert sent[0].payload["created"] is True
    assert sent[0].payload["size"] == "s"


def test_a_single_field_can_be_sent_in_another_way():
    class Masked(ModelHook):
        def serialize_field(self, name, value):
            return "***" if name == "secret" else value

    assert payload_of(Person(name="Joe", secret="x"), "name", "secret", cls=Masked) == {
        "name": "Joe",
        "secret": "***",
    }


def short(person):
    return {"n": person.name}


class LikeRestFramework:
    def __init__(self, instance):
        self.instance = instance

    @property
    def data(self):
        return {"n": self.instance.name}


@pytest.mark.parametrize(
    "serializer", [short, LikeRestFramework, f"{__name__}.short", f"{__name__}.LikeRestFramework"],
    ids=["function", "class", "path of a function", "path of a class"],
)
def test_a_serializer_makes_the_payload_instead(hooked, sent, serializer):
    hooked(Person, serializer=serializer)
    Person.objects.create(name="Joe")
    assert sent[0].payload == {
        "n": "Joe",
        "created": True,
        "raw": False,
        "using": "default",
        "update_fields": None,
    }


def test_a_serializer_in_a_class_may_be_a_function_or_a_method(hooked, sent):
    class Function(ModelHook):
        serializer = short

    class Method(ModelHook):
        def serializer(self, person):
            return {"n": person.name, "by": self.name}

    hooked(Person, cls=Function, name="f")
    hooked(Person, cls=Method, name="m")
    Person.objects.create(name="Joe")
    assert [(each.payload["n"], each.payload.get("by")) for each in sent] == [("Joe", None), ("Joe", "m")]


def test_a_serializer_that_returns_no_dict_is_told():
    with pytest.raises(TypeError, match="returned list, not a dict"):
        payload_of(Person(name="Joe"), serializer=lambda person: [1])


def test_what_cannot_be_sent_names_the_field(hooked):
    hooked(Parcel, provides_args=["labels"])
    with pytest.raises(NotJSON, match="'labels'"):
        Parcel.objects.create(labels={"a": 2**70})


def test_with_fail_silently_a_row_is_saved_whatever_its_hook_does(hooked, caplog):
    class Broken(ModelHook):
        def prepare_payload(self, sender, payload):
            raise ZeroDivisionError

    hooked(Person, cls=Broken, fail_silently=True)
    Person.objects.create(name="Joe")
    assert "hook h could not be sent" in caplog.text


# --- without signals


def test_rows_that_set_off_no_signal_can_be_sent(hooked, sent):
    hook = hooked(Person, provides_args=["name"])
    hook.listener(url="https://x.example/").match(name="Joe").save()
    Person.objects.bulk_create([Person(name="Joe"), Person(name="Jim")])
    Person.objects.update(age=3)
    assert len(sent) == 0
    results = hook.send_for(Person.objects.order_by("pk"), created=True)
    assert [each.payload for each in sent] == [
        {"name": "Joe", "created": True},
        {"name": "Jim", "created": True},
    ]
    assert [each.listener.url for each in results] == ["https://x.example/"]
    hook.send_for([Person(name="Ann")])
    assert sent[2].payload == {"name": "Ann"}
