// Asks /api/time and shows the answer; explains a 401 and offers the way to sign in.
"use strict";

const button = document.querySelector("[data-clock]");
const reply = document.getElementById("clock-reply");

async function ask() {
  const texts = button.dataset;
  reply.className = "reply";
  reply.textContent = texts.asking;
  let answer;
  try {
    answer = await fetch(texts.clock, {
      headers: { Accept: "application/json" },
      redirect: "error",
      cache: "no-store",
    });
  } catch {
    return say(texts.down, "bad");
  }
  if (answer.status === 401) {
    say(texts.unknown + " ", "bad");
    const link = document.createElement("a");
    link.href = texts.login;
    link.textContent = texts.loginText;
    reply.append(link);
    return;
  }
  if (!answer.ok) {
    return say(texts.down, "bad");
  }
  const body = await answer.json();
  const values = { time: new Date(body.time).toLocaleTimeString(document.documentElement.lang), name: body.name };
  say(texts.answer.replace(/\{(time|name)\}/g, (_, key) => values[key]), "good");
}

function say(text, mood) {
  reply.className = `reply ${mood}`;
  reply.textContent = text;
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", ask);
}
