"use strict";
// A room. The page comes complete from Django; this keeps it up to date, and sends what is written. The rules are
// in live.py and moderation.py. What people write is only ever put into the page as text.

const { me, channel, longest } = document.body.dataset;
const $ = (id) => document.getElementById(id);
const log = $("log"), field = $("text");
const ENDED_BY_DJANGO = 4504; // a logout in another tab, or disconnect(user)
const LOG_IN = "Please log in.";

// `connection` is what the tag hookbox_connect makes, as soon as the page is read
document.addEventListener("DOMContentLoaded", () => {
  if (!window.connection) return show("closed");
  connection.on("state", (state, { code }) => {
    show(state);
    if (state === "refused") $("ended").showModal();
    // Another tab has logged out, and in again perhaps: ask again, with the cookies of now
    if (state === "closed" && code === ENDED_BY_DJANGO) connection.reconnect();
  });
  connection.on("reconnected", ({ name }) => name === me || location.reload()); // somebody else has logged in
  follow("announcements", announce);
  follow("rooms", addRoom);
  if (channel) follow(channel, addMessage).then(showPeople, (error) => tell(error.msg));
});

/** Subscribe, and do something with each thing that came before, and with all that come. */
async function follow(name, each) {
  const subscription = await connection.subscribe(name);
  const catchUp = () => subscription.history.forEach(([, { payload }]) => each(payload, false));
  subscription.on("publish", ({ payload }) => each(payload, true));
  subscription.on("recovered", ({ recovered }) => recovered || catchUp());
  catchUp(); // with what was said since Django made the page
  return subscription;
}

// ---- What comes ----

function addMessage({ id, author, text, sent_at }, isNew) {
  if (log.querySelector(`[data-id="${id}"]`)) return;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const item = $("message-template").content.firstElementChild.cloneNode(true);
  Object.assign(item.dataset, { id, author });
  item.querySelector("b").textContent = author;
  item.querySelector("time").dateTime = sent_at;
  item.querySelector(".text").textContent = text;
  item.classList.toggle("fresh", isNew);
  log.append(item);
  settle(item);
  if (atEnd || author === me) log.scrollTop = log.scrollHeight;
}

function announce({ id, text }) {
  const banner = $("announcement");
  banner.dataset.id = id;
  banner.querySelector("span").textContent = text;
  banner.hidden = false;
}

function addRoom({ name, slug }) {
  const others = [...$("rooms").children];
  const href = `/rooms/${slug}/`;
  let link = others.map((other) => other.querySelector("a")).find((each) => each.pathname === href);
  if (!link) {
    const item = $("room-template").content.firstElementChild.cloneNode(true);
    const nameOf = (other) => other.querySelector(".name").textContent;
    $("rooms").insertBefore(item, others.find((other) => nameOf(other).localeCompare(name) > 0) ?? null);
    link = item.querySelector("a");
    link.href = href;
    link.classList.add("new");
  }
  link.querySelector(".name").textContent = name;
}

function showPeople(subscription) {
  const update = () => {
    const names = [...new Set(subscription.presence)].sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
    const items = names.map((name) => make("li", "", avatarOf(name), name === me ? `${name} (you)` : name));
    $("people").querySelector("ul").replaceChildren(...items);
    $("present").replaceChildren(...names.slice(0, 4).map(avatarOf), String(names.length));
    $("present").hidden = !names.length;
  };
  for (const event of ["subscribe", "unsubscribe", "recovered"]) subscription.on(event, update);
  update();
}

// ---- How it looks ----

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const TOGETHER = 5 * 60e3; // messages of one person within five minutes stand together
const words = { connecting: "Connecting…", connected: "Live", waiting: "Reconnecting…", offline: "Offline" };

/** Fit a message to the one before it. */
function settle(item) {
  const time = item.querySelector("time");
  const at = new Date(time.dateTime);
  const before = item.previousElementSibling;
  const last = before && new Date(before.querySelector("time").dateTime);
  time.textContent = clock.format(at);
  paint(item.querySelector(".avatar"), item.dataset.author);
  if (last?.toDateString() !== at.toDateString()) item.dataset.day = calendar.format(at);
  else item.classList.toggle("follows", before.dataset.author === item.dataset.author && at - last < TOGETHER);
}

function paint(avatar, name) {
  const hue = [...name].reduce((sum, letter) => (sum * 37 + letter.codePointAt(0)) % 360, 40);
  avatar.textContent = [...name][0].toUpperCase();
  avatar.style.setProperty("--hue", hue);
  return avatar;
}

function avatarOf(name) {
  return paint(make("span", "avatar"), name);
}

function make(tag, className, ...children) {
  const element = Object.assign(document.createElement(tag), { className });
  element.append(...children);
  return element;
}

function show(state) {
  $("state").dataset.state = state;
  $("state").textContent = words[state] ?? "Not live";
}

function tell(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}

// ---- What people do ----

async function say() {
  const text = field.value;
  field.value = "";
  written();
  tell("");
  try {
    await connection.publish(channel, text);
  } catch (error) {
    field.value ||= text;
    written();
    tell(error.msg);
    if (error.msg === LOG_IN) connection.reconnect(); // another tab may have logged in anew, with a new session
  }
}

function written() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  const left = longest - field.value.length;
  $("left").textContent = left < 100 ? left : "";
  $("left").classList.toggle("over", left < 0);
  $("send").disabled = !field.value.trim();
}

field?.addEventListener("input", written);
field?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (field.value.trim()) say();
});
$("composer")?.addEventListener("submit", (event) => (event.preventDefault(), say()));
$("announcement").querySelector("button").addEventListener("click", () => {
  localStorage.setItem("dismissed", $("announcement").dataset.id);
  $("announcement").hidden = true;
});

if (localStorage.getItem("dismissed") === $("announcement").dataset.id) $("announcement").hidden = true;
paint(document.querySelector(".me .avatar"), me);
for (const item of log.children) settle(item);
log.scrollTop = log.scrollHeight;
if (matchMedia("(hover: hover)").matches) field?.focus();
