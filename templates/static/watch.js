// Runs in a hidden frame of the application's own pages. Notices that the session may be over, here
// or at the provider, and lets a navigation find out; does nothing by itself but reload the page.
"use strict";

(() => {
  const told = document.body.dataset;
  const page = window.parent;
  // Whoever frames the page itself could not show the provider in there.
  if (page === window || page !== window.top) {
    return;
  }

  const POLL = 5000; // milliseconds between two questions to the provider's page
  const APART = 60000; // milliseconds between two navigations that this script causes
  const WENT = "dify_oauth_went";
  const SEEN = "dify_oauth_seen";

  // Storage may be forbidden; then nothing is remembered, and nothing is caused twice in one page.
  function recall(store, name) {
    try {
      return window[store].getItem(name);
    } catch {
      return null;
    }
  }

  function remember(store, name, value) {
    try {
      window[store].setItem(name, value);
    } catch {
      // see above
    }
  }

  // Whether the person would lose what they have entered.
  function busy() {
    const changed = (field) => {
      if (field.type === "checkbox" || field.type === "radio") {
        return field.checked !== field.defaultChecked;
      }
      if (field.localName === "select") {
        const first = Array.from(field.options).findIndex((option) => option.defaultSelected);
        return field.selectedIndex > Math.max(0, first) || (first > 0 && field.selectedIndex < first);
      }
      return field.value !== field.defaultValue;
    };
    const fields = page.document.querySelectorAll("input:not([type=hidden]), select, textarea");
    return page.document.documentElement.dataset.unsaved !== undefined || Array.from(fields).some(changed);
  }

  let gone = false;

  function go(address) {
    const last = Number(recall("sessionStorage", WENT));
    if (gone || busy() || Date.now() - last < APART) {
      return;
    }
    gone = true;
    remember("sessionStorage", WENT, String(Date.now()));
    page.location.replace(address);
  }

  const here = () => page.location.pathname + page.location.search;
  const check = () => go(`${told.check}?${new URLSearchParams({ next: here() })}`);

  // Asks the application itself: cheap, and true.
  async function look() {
    let answer;
    try {
      const sent = await fetch(told.state, { headers: { Accept: "application/json" }, cache: "no-store" });
      answer = await sent.json();
    } catch {
      return; // it is down, which says nothing about the session
    }
    if (answer.signed_in === false) {
      go(here());
    } else if (answer.due === true) {
      check();
    }
  }

  const post = (address, fields) =>
    fetch(address, {
      method: "POST",
      body: new URLSearchParams({ token: told.token, ...fields }),
      redirect: "manual",
      keepalive: true,
    });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      look();
    }
  });
  page.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      look();
    }
  });

  if (!told.iframe) {
    return;
  }

  // OpenID Connect Session Management 1.0, section 3.1. A browser that hides the provider's cookies
  // from it lets the provider's page say "changed", or "error", for ever. So its word counts only
  // once it has said "unchanged" of this very state.
  const provider = document.createElement("iframe");
  let timer;

  window.addEventListener("message", async (event) => {
    if (event.source !== provider.contentWindow || event.origin !== told.origin) {
      return;
    }
    if (event.data === "unchanged") {
      remember("localStorage", SEEN, told.message);
      return;
    }
    if (event.data !== "changed" && event.data !== "error") {
      return;
    }
    clearInterval(timer);
    if (recall("localStorage", SEEN) !== told.message) {
      return;
    }
    try {
      await (event.data === "changed" ? post(told.state, {}) : post(told.logout, { scope: "here" }));
    } catch {
      return;
    }
    if (event.data === "changed") {
      check();
    } else {
      go(here());
    }
  });

  const ask = () => {
    if (!document.hidden) {
      provider.contentWindow.postMessage(told.message, told.origin);
    }
  };
  provider.addEventListener("load", () => {
    clearInterval(timer);
    timer = setInterval(ask, POLL);
    ask();
  });
  provider.src = told.iframe;
  document.body.append(provider);
})();
