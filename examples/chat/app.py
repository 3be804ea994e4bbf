"""A chat: an ordinary, synchronous Bottle application that Hookbox makes realtime.

Nothing in here is asynchronous. The browsers keep their connections open to Hookbox, not to us.
Before anything happens there, Hookbox asks: it posts a form to us, with the browser's own cookies,
and a function below answers yes with options, or no with a reason for the user to read. So the
users, the rooms, the messages and the rules all stay where they belong: here.

`python run.py` starts this file and Hookbox together.
"""

import hmac
import json
import os
import re
import secrets
import unicodedata
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socketserver import ThreadingMixIn
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIServer, make_server

import store
from bottle import Bottle, abort, redirect, request, response, static_file, template

HERE = Path(__file__).parent
INTERFACE = os.environ.get("CHAT_INTERFACE", "127.0.0.1")
PORT = int(os.environ.get("CHAT_PORT", "8000"))
HOOKBOX_PORT = int(os.environ.get("HOOKBOX_PORT", "8001"))
HOOKBOX_API = os.environ.get("CHAT_HOOKBOX_API") or f"127.0.0.1:{HOOKBOX_PORT}"
SECRET = os.environ.get("HOOKBOX_WEBHOOK_SECRET", "")  # shows us that it is Hookbox who asks
TOKEN = os.environ.get("HOOKBOX_API_SECURITY_TOKEN", "")  # shows Hookbox that it is us who call

LONGEST = 500  # characters in a message
SWEARING = re.compile(r"\b(darn|heck|crikey)\b", re.IGNORECASE)
ADVERTISING = re.compile(r"casino|free money|buy now", re.IGNORECASE)

app = Bottle()


class Refused(Exception):
    """The answer is no; the text is the reason, for the user to read."""


# ---- What browsers ask of us: pages and forms, as in any web application ------------------------


@app.get("/")
def index():
    if user := current_user():
        return page("index.html", user=user, hookbox=hookbox_address(), longest=LONGEST)
    return page("login.html", name="", error="")


@app.post("/login")
def login():
    name = " ".join(unicodedata.normalize("NFKC", request.forms.name).split())
    session = secrets.token_urlsafe(32)
    try:
        check_name(name)
        if not store.add_user(name, session):
            raise Refused(f"Somebody here is already called {name}.")
    except Refused as refusal:
        response.status = 409
        return page("login.html", name=name, error=str(refusal))
    is_https = request.urlparts.scheme == "https"
    options = {"path": "/", "httponly": True, "samesite": "lax", "secure": is_https, "max_age": 30 * 86400}
    response.set_cookie("chat_session", session, **options)
    return redirect("/", 303)


def check_name(name):
    if not (1 <= len(name) <= 24 and name.isprintable()):
        raise Refused("A name has 1 to 24 characters.")
    if name.casefold() in ("null", "admin", "moderator", "hookbox"):
        raise Refused("That name is reserved.")


@app.post("/logout")
def logout():
    if user := current_user():
        store.remove_user(user)
        call_hookbox("disconnect_user", name=user)
    response.delete_cookie("chat_session", path="/")
    return redirect("/", 303)


@app.post("/rooms")
def create_room():
    room = "-".join(re.findall(r"\w+", request.forms.name.lower()))[:24]
    topic = request.forms.topic.strip()[:80]
    if not (room and current_user()):
        abort(400, "A room needs a name with letters in it.")
    if store.add_room(room, topic):
        call_hookbox("state_set_key", channel_name="rooms", key=room, val=json.dumps(topic))
    return {"room": room}


@app.get("/static/<path:path>")
def static(path):
    return static_file(path, HERE / "static")


def page(file, **values):
    return template(file, values, template_lookup=[str(HERE / "pages")])


def current_user():
    return store.user_of(request.get_cookie("chat_session"))


def hookbox_address():
    """Tell where a browser finds Hookbox: on the host name of our own page, so that it gets our cookie."""
    host = re.match(r"[\w.-]+|\[[0-9a-f:]+\]", request.get_header("Host", "")) or ["localhost"]
    return os.environ.get("CHAT_HOOKBOX_URL") or f"http://{host[0]}:{HOOKBOX_PORT}"


@app.hook("before_request")
def refuse_forms_of_other_sites():
    if request.method == "POST" and request.get_header("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(403, "This form was not sent from our own page.")


@app.hook("after_request")
def set_security_headers():
    hookbox = "/".join(hookbox_address().split("/")[:3])  # without a path, which would mean that path alone
    response.set_header(
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self' {hookbox}; "
        f"connect-src 'self' {hookbox} {hookbox.replace('http', 'ws', 1)}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    response.set_header("X-Content-Type-Options", "nosniff")
    response.set_header("Referrer-Policy", "no-referrer")


# ---- What we ask of Hookbox: its HTTP API -------------------------------------------------------


def call_hookbox(method, **parameters):
    """Call a method, and return what it answers: `[True, {...}]`, or `[False, {...}]` (no such user, say)."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-www-form-urlencoded"}
    with closing(HTTPConnection(HOOKBOX_API, timeout=5)) as link:
        link.request("POST", f"/web/{method}", urlencode(parameters), headers)
        return json.load(link.getresponse())


# ---- What Hookbox asks of us: the webhooks ------------------------------------------------------


def webhook(handler):
    """Serve `handler(form)` as /hookbox/<its name>: it returns the options of a yes, or raises Refused."""

    def answer():
        if not hmac.compare_digest(request.forms.secret.encode(), SECRET.encode()):
            abort(403, "Only our own Hookbox may ask.")
        response.content_type = "application/json"
        try:
            return json.dumps([True, handler(request.forms) or {}], ensure_ascii=False)
        except Refused as refusal:
            return json.dumps([False, {"error": str(refusal)}], ensure_ascii=False)

    app.post(f"/hookbox/{handler.__name__}", callback=answer)
    return handler


def logged_in():
    """Name the user whose cookie came with the question."""
    if user := current_user():
        return user
    raise Refused("Please log in.")


@webhook
def connect(form):
    user = logged_in()
    store.set_away(user, False)
    keys = ("id", "from", "to", "text", "datetime")
    private = [dict(zip(keys, row, strict=True)) for row in store.private_of(user)]
    return {"name": user, "auto_subscribe": ["rooms", "room:lobby"], "override_payload": {"private": private}}


@webhook
def create_channel(form):
    """Say what a channel is like; Hookbox asks this when its first user comes."""
    kind, _, room = form.channel_name.partition(":")
    rooms = store.rooms()
    if form.channel_name == "rooms":  # its state, which Hookbox shows to all its users, lists the rooms
        return {"state": rooms}
    if kind == "typing" and room in rooms:  # nobody asks us about these, and nobody keeps them
        return {"moderated": False, "reflective": False, "recovery_size": 0}
    if kind == "room" and room in rooms:
        history = [
            ["PUBLISH", {"payload": {"id": number, "text": text}, "user": author, "datetime": sent}]
            for number, author, text, sent in store.recent(room)
        ]
        size = {"history_size": store.RECENT, "history_publish_only": True}
        return {"presenceful": True, "set_history": history, **size}
    raise Refused("There is no such room.")


@webhook
def subscribe(form):
    logged_in()
    kind, _, room = form.channel_name.partition(":")
    return {"auto_subscribe": [f"typing:{room}"]} if kind == "room" else {}


@webhook
def unsubscribe(form):
    kind, _, room = form.channel_name.partition(":")
    return {"auto_unsubscribe": [f"typing:{room}"]} if kind == "room" else {}


@webhook
def publish(form):
    """Moderate a message and keep it; what we return is what everybody sees."""
    author, text = logged_in(), moderate(json.loads(form.payload))
    kind, _, room = form.channel_name.partition(":")
    if kind != "room":
        raise Refused("Messages go to rooms.")
    return {"override_payload": {"id": store.keep(room, author, text), "text": text}}


@webhook
def message(form):
    """Moderate a private message and keep it; its recipient may be away just now."""
    sender, text = logged_in(), moderate(json.loads(form.payload))
    number = store.keep_private(sender, form.recipient, text)
    if number is None:
        raise Refused(f"Nobody here is called {form.recipient}.")
    return {"override_payload": {"id": number, "to": form.recipient, "text": text}}


@webhook
def disconnect(form):
    store.set_away(form.name, True)


@webhook
def destroy_channel(form):
    """Let an empty channel go: we have its messages."""


def moderate(text):
    if not isinstance(text, str) or not text.strip():
        raise Refused("There is nothing in that message.")
    if len(text) > LONGEST:
        raise Refused(f"That is {len(text)} characters long, and {LONGEST} is the most.")
    if ADVERTISING.search(text):
        raise Refused("No advertising in here, please.")
    return SWEARING.sub(lambda word: "*" * len(word[0]), text.strip())


# ---- The server: plain threads ------------------------------------------------------------------


class ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    store.prepare()
    make_server(INTERFACE, PORT, app, ThreadedServer).serve_forever()
