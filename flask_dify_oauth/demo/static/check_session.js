// Answers "client_id session_state" with unchanged, changed or error
// (OpenID Connect Session Management 1.0, section 4.2).
"use strict";

function browserState() {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith("demo_provider_state="));
  return found ? found.slice(found.indexOf("=") + 1) : "";
}

async function hash(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

window.addEventListener("message", async (event) => {
  if (event.source !== window.parent || typeof event.data !== "string") {
    return;
  }
  let status = "error";
  const [, clientId, told, salt] = event.data.match(/^(\S+) (\S+)\.(\S+)$/) || [];
  if (clientId) {
    // The origin is the sender's own, as the browser says: another page's hash never fits.
    const now = await hash(`${clientId} ${event.origin} ${browserState()} ${salt}`);
    status = now === told ? "unchanged" : "changed";
  }
  event.source.postMessage(status, event.origin);
});
