// The single-page front end. It holds no token: the session's cookie goes along by itself.

const list = document.querySelector("#notes");
const problem = document.querySelector("#problem");

// Ask the API. Who is no longer signed in is sent to sign in, and comes back to this page; what they
// were writing is not lost, since then the way to sign in is a link that opens another tab.
async function ask(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({})); // a proxy may answer in its own way
  if (answer.status === 401) {
    const login = new URL(told.login ?? "/login", location);
    login.searchParams.set("next", location.pathname);
    if (method !== "GET") throw Object.assign(new Error("You are not signed in any more."), { login });
    location.assign(login);
    return new Promise(() => {}); // the page goes away
  }
  if (!answer.ok) throw new Error(told.detail ?? `This did not work (${answer.status}).`);
  return told;
}

function wayIn(login) {
  const link = document.createElement("a");
  link.textContent = "Sign in in a new tab, then try again here.";
  Object.assign(link, { href: login, target: "_blank", rel: "noopener" });
  return link;
}

// Do something, and say what went wrong if it did.
async function attempt(action) {
  problem.hidden = true;
  try {
    await action();
  } catch (error) {
    problem.textContent = error.message;
    if (error.login) problem.append(" ", wayIn(error.login));
    problem.hidden = false;
  }
}

function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => attempt(action));
  return made;
}

function shown(note) {
  const item = document.createElement("li");
  const text = document.createElement("p");
  text.textContent = note.text; // text, never HTML: others have written it
  const by = document.createElement("small");
  by.textContent = note.mine ? "by you" : `by ${note.author}`;
  item.append(text, by);
  if (note.may_change) item.append(button("Change", () => change(note, item)));
  if (note.mine) item.append(" ", button("Delete", () => remove(note)));
  return item;
}

function change(note, item) {
  const field = document.createElement("textarea");
  field.value = note.text;
  field.setAttribute("aria-label", "The note's text");
  const save = async () => {
    await ask("PUT", `/api/notes/${note.id}`, { text: field.value });
    await load();
  };
  item.replaceChildren(field, button("Save", save), " ", button("Cancel", load));
  field.focus();
}

async function remove(note) {
  await ask("DELETE", `/api/notes/${note.id}`);
  await load();
}

async function load() {
  const told = await ask("GET", "/api/notes");
  list.replaceChildren(...told.notes.map(shown));
}

document.querySelector("#new").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = document.querySelector("#text");
  attempt(async () => {
    await ask("POST", "/api/notes", { text: field.value });
    field.value = "";
    await load();
  });
});

attempt(async () => {
  const me = await ask("GET", "/me");
  const roles = me.roles.length ? ` (${me.roles.join(", ")})` : "";
  document.querySelector("#who").textContent = `${me.name}${roles}`;
  await load();
});
