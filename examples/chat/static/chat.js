"use strict";
// The page of the chat. It shows what Hookbox sends; the rules are in app.py. What people write is only
// ever put into the page as text.

const { user: me, hookbox: server, longest } = document.documentElement.dataset;
const $ = (id) => document.getElementById(id);
const log = $("log"), field = $("text");
const places = new Map(); // id -> Place
const lobby = "#lobby";
let connection;
let here = null; // the place that is shown
let leaving = false; // we are logging out
let typedAt = 0; // when we last told that we are typing

// ---- Places: a room, "#kitchen", or a private talk with somebody, "#@Ann" ----------------------

class Place {
  constructor(id) {
    this.id = id;
    this.isRoom = !id.startsWith("#@");
    this.name = id.slice(this.isRoom ? 1 : 2);
    this.channel = `room:${this.name}`;
    this.topic = "";
    this.subscription = null; // Hookbox's, while we are in the room
    this.messages = new Map(); // number -> message: one that comes twice is shown once
    this.typing = new Map(); // name -> timer
    this.draft = "";
    this.item = listItem(addressOf(id), this.name, this.isRoom);
  }

  /** Keep a message, and return it, or null if we have it already. */
  keep({ id: number, text }, from, datetime) {
    if (this.messages.has(number)) return null;
    const message = { number, text, from, at: new Date(`${datetime}Z`) };
    this.messages.set(number, message);
    return message;
  }

  get unread() {
    const last = memory.seen[this.id] ?? 0;
    return [...this.messages.values()].filter((message) => message.number > last && message.from !== me);
  }

  get people() {
    return [...new Set(this.subscription?.presence)];
  }

  send(text) {
    return this.isRoom ? connection.publish(this.channel, text) : connection.message(this.name, text);
  }
}

function place(id) {
  if (!places.has(id)) places.set(id, new Place(id));
  return places.get(id);
}

// What this browser remembers: the number of the last message seen in each place we are in.
const memory = {
  key: `chat of ${me}`,
  seen: JSON.parse(localStorage.getItem(`chat of ${me}`) ?? "{}"),
  see(place) {
    if (place.isRoom && !place.subscription) return; // we do not know its messages yet
    this.seen[place.id] = Math.max(0, ...place.messages.keys());
    localStorage.setItem(this.key, JSON.stringify(this.seen));
  },
  forget(place) {
    delete this.seen[place.id];
    localStorage.setItem(this.key, JSON.stringify(this.seen));
  },
};

// ---- What Hookbox tells us ---------------------------------------------------------------------

function connect() {
  if (!window.hookbox) return showState("closed", { reason: "Hookbox does not answer." });
  connection = hookbox.connect(server);
  connection.onState = showState;
  connection.onOpen = connection.onReconnected = ({ payload }) => {
    for (const { id, from, to, text, datetime } of payload.private) {
      const talk = place(`#@${from === me ? to : from}`);
      if (here) receive(talk, { id, text }, from, datetime);
      else talk.keep({ id, text }, from, datetime);
    }
    for (const id of Object.keys(memory.seen)) if (place(id).isRoom) join(place(id));
    if (!here) open(place(idInAddress()));
  };
  connection.onSubscribed = (channel, subscription) => {
    const [kind, room] = channel.split(":");
    if (kind === "rooms") followRooms(subscription);
    if (kind === "room") followRoom(place(`#${room}`), subscription);
    if (kind === "typing") subscription.onPublish = ({ user }) => showTyping(place(`#${room}`), user, true);
  };
  connection.onUnsubscribed = ({ channelName }) => {
    const [kind, room] = channelName.split(":");
    if (kind === "room") place(`#${room}`).subscription = null;
    showPlaces();
  };
  connection.onMessaged = ({ sender, payload, datetime }) =>
    receive(place(`#@${sender === me ? payload.to : sender}`), payload, sender, datetime);
}

function followRooms(subscription) {
  const update = () => {
    for (const [room, topic] of Object.entries(subscription.state)) place(`#${room}`).topic = topic;
    showPlaces();
  };
  subscription.onState = subscription.onRecovered = update;
  update();
}

function followRoom(room, subscription) {
  const update = () => {
    for (const [, { payload, user, datetime }] of subscription.history) room.keep(payload, user, datetime);
    if (!(room.id in memory.seen)) memory.see(room);
    if (room === here) showMessages();
    showPlaces();
  };
  room.subscription = subscription;
  subscription.onPublish = ({ payload, user, datetime }) => receive(room, payload, user, datetime);
  subscription.onSubscribe = subscription.onUnsubscribe = showPlaces;
  subscription.onRecovered = update; // after a reconnect
  update();
}

function receive(place, payload, from, datetime) {
  const message = place.keep(payload, from, datetime);
  if (!message) return;
  showTyping(place, from, false);
  if (place === here) {
    const follow = atBottom || from === me;
    const isFirstUnread = !document.hasFocus() && from !== me && !log.querySelector(".new");
    append(message, isFirstUnread).classList.add("fresh");
    if (follow) toBottom();
    else $("jump").hidden = false;
    if (document.hasFocus()) memory.see(place);
  }
  if (from !== me) announce(place, message);
  showPlaces();
}

function join(room) {
  if (room.subscription) return;
  connection.subscribe(room.channel).catch((error) => {
    memory.forget(room);
    places.delete(room.id);
    if (room === here) goBackToLobby();
    refuse(error.message);
  });
}

// ---- What people do ----------------------------------------------------------------------------

function addressOf(id) {
  return `#${encodeURIComponent(id.slice(1))}`;
}

function idInAddress() {
  const id = `#${decodeURIComponent(location.hash.slice(1))}`;
  return id === "#" || id === `#@${me}` ? lobby : id;
}

function goBackToLobby() {
  history.replaceState(null, "", addressOf(lobby));
  open(place(lobby));
}

function open(next) {
  if (here) here.draft = field.value;
  here = next;
  typedAt = 0;
  field.value = here.draft;
  refuse("");
  fieldChanged();
  $("places").hidePopover?.();
  $("people").hidePopover?.();
  if (here.isRoom) join(here);
  showMessages();
  showTyping(here);
  if (matchMedia("(hover: hover)").matches) field.focus();
}

async function send() {
  const [place, text] = [here, field.value];
  if (!text.trim()) return;
  if (!connection.connected) return refuse("Not connected just now. Your message stays here.");
  field.value = "";
  typedAt = 0;
  fieldChanged();
  refuse("");
  try {
    await place.send(text);
  } catch (error) {
    if (place === here && !field.value) field.value = text;
    else place.draft ||= text;
    fieldChanged();
    refuse(error.message);
  }
}

function tellTyping() {
  if (!here.subscription || !connection.connected || !field.value || Date.now() - typedAt < 2000) return;
  typedAt = Date.now();
  connection.publish(`typing:${here.name}`, true).catch(() => {}); // nobody needs to hear that it failed
}

async function createRoom(form) {
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  const problem = form.querySelector(".refusal");
  problem.hidden = answer.ok;
  if (!answer.ok) return (problem.textContent = "A room needs a name with letters in it.");
  form.reset();
  $("new-room").close();
  location.hash = addressOf(`#${(await answer.json()).room}`); // which opens it
}

// ---- What people see ---------------------------------------------------------------------------

const ENDED_BY_APPLICATION = 4504; // why a connection was closed: `disconnect_user`, at logout
const TOGETHER = 5 * 60e3; // messages of one person within five minutes stand together
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
let last = null; // the last message in the log
let atBottom = true;

function showMessages() {
  const [firstUnread] = here.unread;
  log.replaceChildren();
  log.dataset.empty = here.isRoom && !here.subscription ? "" : "Nobody has said anything here yet.";
  last = null;
  for (const message of here.messages.values()) append(message, message === firstUnread);
  memory.see(here);
  toBottom();
  showPlaces();
}

function append(message, isFirstUnread) {
  const item = $("message-template").content.firstElementChild.cloneNode(true);
  if (last?.at.toDateString() !== message.at.toDateString()) log.append(mark(dayOf(message.at)));
  if (isFirstUnread) log.append(mark("New", "new"));
  const follows =
    log.lastElementChild.matches(".message") && last.from === message.from && message.at - last.at < TOGETHER;
  item.classList.toggle("follows", follows);
  item.classList.toggle("mine", message.from === me);
  paintAvatar(item.querySelector(".avatar"), message.from);
  item.querySelector("b").textContent = message.from;
  item.querySelector("time").textContent = clock.format(message.at);
  item.querySelector("time").dateTime = message.at.toISOString();
  item.querySelector(".text").append(...withLinks(message.text));
  log.append(item);
  last = message;
  return item;
}

function withLinks(text) {
  return text.split(/(https?:\/\/[^\s<>"]+)/).map((part, index) => {
    if (index % 2 === 0) return part;
    return Object.assign(document.createElement("a"), {
      href: part, textContent: part, target: "_blank", rel: "noopener noreferrer nofollow",
    });
  });
}

function mark(text, kind = "day") {
  return Object.assign(document.createElement("li"), { className: `mark ${kind}`, textContent: text });
}

function dayOf(at) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 864e5);
  return ["Today", "Yesterday"][days] ?? calendar.format(at);
}

function toBottom() {
  log.scrollTop = log.scrollHeight;
  $("jump").hidden = true;
}

function showPlaces() {
  const all = [...places.values()].sort((a, b) => (b.id === lobby) - (a.id === lobby) || a.name.localeCompare(b.name));
  const talks = all.filter((place) => !place.isRoom && (place.messages.size || place === here));
  for (const place of all) showItem(place);
  arrange($("rooms"), all.filter((place) => place.isRoom).map((place) => place.item));
  arrange($("private"), talks.map((place) => place.item));
  $("nobody").hidden = talks.length > 0;
  const elsewhere = all.filter((place) => place !== here).reduce((sum, place) => sum + place.unread.length, 0);
  const unread = elsewhere + (here?.unread.length ?? 0);
  $("elsewhere").hidden = !elsewhere;
  $("elsewhere").textContent = elsewhere;
  document.title = `${unread ? `(${unread}) ` : ""}${here?.name ?? "Chat"} – Chat`;
  if (here) showTop();
}

function showItem(place) {
  const unread = place === here ? 0 : place.unread.length;
  const link = place.item.firstElementChild;
  const isInside = place.isRoom ? place.subscription : isAround(place.name);
  link.classList.toggle("outside", !isInside);
  link.classList.toggle("unread", unread > 0);
  link.toggleAttribute("aria-current", place === here);
  const badge = link.querySelector(".badge");
  badge.textContent = unread || "";
  badge.ariaLabel = unread ? `${unread} unread` : null;
}

function showTop() {
  const room = here.isRoom ? here : place(lobby);
  const away = isAround(here.name) ? "" : `, and ${here.name} will read it on coming back`;
  $("title").textContent = here.isRoom ? `# ${here.name}` : here.name;
  $("topic").textContent = here.isRoom ? here.topic : `Only the two of you can read this${away}`;
  $("label").textContent = field.placeholder = `Message to ${here.name}`;
  $("count").textContent = room.people.length;
  $("leave").hidden = !here.isRoom || here.id === lobby;
  arrange($("present"), room.people.sort((a, b) => a.localeCompare(b)).map(personItem));
}

const isAround = (name) => [...places.values()].some((place) => place.people.includes(name));

const personItems = new Map();
function personItem(name) {
  if (!personItems.has(name)) personItems.set(name, listItem(addressOf(`#@${name}`), name, false));
  const link = personItems.get(name).firstElementChild;
  if (name === me) link.removeAttribute("href");
  else link.title = `Talk to ${name} in private`;
  return personItems.get(name);
}

function listItem(href, name, isRoom) {
  const item = $("link-template").content.firstElementChild.cloneNode(true);
  const sign = item.querySelector(".sign");
  item.firstElementChild.href = href;
  item.querySelector(".name").textContent = name === me ? `${name} (you)` : name;
  if (isRoom) sign.textContent = "#";
  else sign.className = "avatar", paintAvatar(sign, name);
  return item;
}

/** Make a list hold exactly these items, moving none without need, so that the focus stays where it is. */
function arrange(list, items) {
  items.forEach((item, index) => list.children[index] !== item && list.insertBefore(item, list.children[index]));
  while (list.children.length > items.length) list.lastElementChild.remove();
}

function paintAvatar(avatar, name) {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  avatar.textContent = [...name][0].toUpperCase();
  avatar.style.setProperty("--hue", hue);
}

function showTyping(place, name, isTyping) {
  if (name && name !== me) {
    clearTimeout(place.typing.get(name));
    if (isTyping) place.typing.set(name, setTimeout(showTyping, 4000, place, name, false));
    else place.typing.delete(name);
  }
  if (place !== here) return;
  const names = [...here.typing.keys()];
  const few = names.length < 3 ? names.join(" and ") : "Several people";
  $("typing").textContent = names.length ? `${few} ${names.length === 1 ? "is" : "are"} typing…` : "";
}

function showState(state, { code, reason, msg } = {}) {
  const words = {
    connecting: "Connecting…",
    connected: connection?.transport === "comet" ? "Live (comet)" : "Live",
    waiting: "Reconnecting…",
    offline: "Offline",
    refused: "Refused",
    closed: "Ended",
  };
  $("connection").dataset.state = state;
  $("connection").firstElementChild.textContent = words[state];
  if ((state !== "refused" && state !== "closed") || leaving) return;
  $("ended-reason").textContent = code === ENDED_BY_APPLICATION ? "You have logged out." : msg ?? reason;
  $("ended").showModal();
}

function announce(place, { from, text }) {
  const where = place.isRoom ? `New message in ${place.name}` : `Private message from ${from}`;
  $("announcer").textContent = place === here ? `${from}: ${text}` : where;
}

function refuse(reason) {
  $("refusal").textContent = reason;
  $("refusal").hidden = !reason;
}

function fieldChanged() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  const left = longest - field.value.length;
  $("room-left").textContent = left < 100 ? left : "";
  $("room-left").classList.toggle("over", left < 0);
  $("send").disabled = !field.value.trim();
}

// ---- Wires -------------------------------------------------------------------------------------

addEventListener("hashchange", () => open(place(idInAddress())));
addEventListener("focus", () => here && (memory.see(here), showPlaces()));
log.addEventListener("scroll", () => {
  atBottom = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  if (atBottom) $("jump").hidden = true;
});
new ResizeObserver(() => atBottom && toBottom()).observe(log);
$("jump").addEventListener("click", toBottom);
field.addEventListener("input", () => (fieldChanged(), tellTyping()));
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("composer").addEventListener("submit", (event) => (event.preventDefault(), send()));
$("open-new-room").addEventListener("click", () => $("new-room").showModal());
$("close-new-room").addEventListener("click", () => $("new-room").close());
$("new-room").addEventListener("submit", (event) => (event.preventDefault(), createRoom(event.target)));
$("log-out").addEventListener("submit", () => (leaving = true));
$("leave").addEventListener("click", () => {
  memory.forget(here);
  here.subscription?.cancel();
  goBackToLobby();
});

paintAvatar($("my-avatar"), me);
connect();
