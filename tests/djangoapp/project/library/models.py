"""What the tests' hooks are about."""

from django.db import models


class Person(models.Model):
    name = models.CharField("name", max_length=200)
    address = models.CharField("address", max_length=200, blank=True)
    secret = models.CharField("secret", max_length=200, blank=True)
    age = models.IntegerField(null=True)

    def shout(self):
        return self.name.upper()


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="books")
    readers = models.ManyToManyField(Person, blank=True, related_name="reads")
    cover = models.FileField(upload_to="covers", blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    published_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20, default="draft")


class Novel(Book):
    pages = models.IntegerField(default=0)


class Neighbour(Person):
    class Meta:
        proxy = True


class Parcel(models.Model):
    """Fields of kinds that JSON has no word for."""

    content = models.BinaryField(default=b"")
    took = models.DurationField(null=True)
    number = models.UUIDField(null=True)
    sent_on = models.DateField(null=True)
    labels = models.JSONField(default=list)
    size = models.CharField(max_length=1, choices=[("s", "small"), ("l", "large")], default="s")
    created = models.DateTimeField(null=True)

    def colours(self):
        return {"red", "blue"}

    def in_parts(self, count):
        return count

    @staticmethod
    def unit():
        return "kg"

    @property
    def heavy(self):
        return True


class Shape(models.Model):
    class Meta:
        abstract = True
