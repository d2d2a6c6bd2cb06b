// A certified OpenID provider (the npm package oidc-provider) for the tests, on loopback alone.
// Started as: node oidc_provider.mjs '{"port": 0, "clients": [...]}'; its first line names the issuer.
//
// The tests steer it through POST /control/<command> with a JSON body:
//   configure {clients}           other clients; sessions and grants stay
//   rotate {keep}                 a new signing key; the old ones stay published when keep is true
//   fault {path, times, ...}      what `path` answers instead: status, headers, body, repeat,
//                                 pad (spaces), delay (ms), drop
//   claims {name, claims}         what else, or otherwise, is told of a person from now on
//   sign {claims}                 a JWT with these claims by the newest key
//   reset                         no faults, empty lists, people as at first
//   log                           the requests seen since the last reset
//   events                        what oidc-provider told of grants since then
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import Provider from 'oidc-provider';

const options = JSON.parse(process.argv[2] ?? '{}');
const accounts = {
  alice: { name: 'Alice Example', groups: ['staff', 'engineering'], roles: ['admin', 'editor'] },
  bob: { name: 'Bob Example', groups: ['staff'], roles: ['reader'] },
};

function claimsOf(name) {
  return {
    sub: `${name}-0001`,
    preferred_username: name,
    email: `${name}@example.com`,
    email_verified: true,
    ...accounts[name],
    ...state.claims[name],
  };
}

async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const kid = `key-${Math.random().toString(36).slice(2)}`;
  return { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid };
}

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>${title}</title>
<body><main><h1>${title}</h1>${body}</main>`;

// APIs that tokens may be asked for (RFC 8707); those below /opaque get tokens that are no JWTs.
const RESOURCE_SCOPES = 'notes:read notes:write';
const resourceIndicators = {
  enabled: true,
  defaultResource: () => undefined,
  useGrantedResource: () => true,
  getResourceServerInfo: (ctx, resource) => ({
    scope: RESOURCE_SCOPES,
    audience: resource,
    accessTokenTTL: 300,
    accessTokenFormat: resource.includes('/opaque') ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'RS256' } },
  }),
};

// Consent is given beforehand: the tests are about the relying party.
async function loadExistingGrant(ctx) {
  const { client, session, provider } = ctx.oidc;
  const known = ctx.oidc.result?.consent?.grantId || session.grantIdFor(client.clientId);
  if (known) return provider.Grant.find(known);
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid profile email groups offline_access');
  for (const resource of [ctx.oidc.params.resource ?? []].flat()) {
    grant.addResourceScope(resource, RESOURCE_SCOPES);
  }
  await grant.save();
  return grant;
}

const state = { clients: options.clients ?? [], keys: [await newKey()], claims: {}, faults: [], log: [], events: [] };
const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    response.statusCode = 500;
    response.end(String(error));
  });
});
await new Promise((ready) => { server.listen(options.port ?? 0, '127.0.0.1', ready); });
const issuer = `http://127.0.0.1:${server.address().port}`;

// A rebuilt provider finds the sessions of the one before: oidc-provider's store is per process.
function build() {
  const provider = new Provider(issuer, {
    clients: state.clients,
    jwks: { keys: state.keys },
    cookies: { keys: ['a key that signs the cookies of this test provider'] },
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups', 'roles'],
    },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    findAccount: (ctx, sub) => {
      const name = sub.split('-')[0];
      return accounts[name] && { accountId: sub, claims: () => claimsOf(name) };
    },
    loadExistingGrant,
    pkce: { required: () => true },
    enabledJWA: {
      idTokenEncryptionAlgValues: ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW', 'dir'],
      userinfoEncryptionAlgValues: ['RSA-OAEP-256', 'ECDH-ES+A256KW'],
    },
    rotateRefreshToken: () => true,
    features: {
      devInteractions: { enabled: false },
      jwtUserinfo: { enabled: true },
      encryption: { enabled: true },
      backchannelLogout: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators,
      dPoP: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = page('Sign out at the provider?', `${form}
            <button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
        },
      },
    },
    ttl: { Session: 3600, Grant: 3600, Interaction: 600, AccessToken: 300, IdToken: 300 },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    // Its guard against requests into private networks refuses loopback; here that is meant.
    fetch: (url, { dispatcher, ...init }) => globalThis.fetch(url, init),
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  for (const event of ['grant.success', 'grant.error', 'grant.revoked']) {
    provider.on(event, (ctx, error) => {
      state.events.push({ event, grant: ctx.oidc?.params?.grant_type, error: error?.error });
    });
  }
  return provider;
}
let provider = build();
let handle = provider.callback();

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function interact(request, response, path) {
  const { prompt, uid, params } = await provider.interactionDetails(request, response);
  const finish = (result) => provider.interactionFinished(request, response, result);
  if (path.endsWith('/cancel')) {
    return finish({ error: 'access_denied', error_description: 'The person <b>declined</b>.' });
  }
  if (prompt.name === 'consent') return finish({ consent: {} });
  let hint = '';
  if (request.method === 'POST') {
    const form = new URLSearchParams(await read(request));
    const name = form.get('username');
    if (accounts[name] && form.get('password') === `${name}-password`) {
      return finish({ login: { accountId: claimsOf(name).sub, remember: true, amr: ['pwd'] } });
    }
    hint = '<p role="alert">Wrong name or password.</p>';
  }
  response.setHeader('content-type', 'text/html; charset=utf-8');
  const login = String(params.login_hint ?? '').replace(/[^\w@.-]/g, '');
  return response.end(page('Sign in at the provider', `${hint}<form method="post">
    <label>Name <input name="username" value="${login}" autocomplete="username"></label>
    <label>Password <input name="password" type="password"></label>
    <button type="submit">Sign in</button></form>
    <p data-reasons="${prompt.reasons.join(' ')}"><a href="/interaction/${uid}/cancel">Cancel</a></p>`));
}

async function sign(claims) {
  const [key] = state.keys;
  const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid });
  return jwt.sign(await importJWK(key));
}

async function control(command, body) {
  if (command === 'configure') state.clients = body.clients;
  else if (command === 'rotate') {
    state.keys = [await newKey(), ...(body.keep ? state.keys : [])];
  } else if (command === 'fault') state.faults.push({ times: Infinity, ...body });
  else if (command === 'sign') return sign(body.claims);
  else if (command === 'claims') state.claims[body.name] = body.claims;
  else if (command === 'reset') Object.assign(state, { claims: {}, faults: [], log: [], events: [] });
  else if (command === 'log') return state.log;
  else if (command === 'events') return state.events;
  else throw new Error(`no such command: ${command}`);
  if (command === 'configure' || command === 'rotate') {
    provider = build();
    handle = provider.callback();
  }
  return { keys: state.keys.map((key) => key.kid) };
}

async function disturb(fault, request, response) {
  fault.times -= 1;
  await read(request);
  if (fault.delay) await sleep(fault.delay);
  if (fault.drop) return request.socket.destroy();
  response.writeHead(fault.status ?? 200, { 'content-type': 'application/json', ...fault.headers });
  return response.end((fault.body ?? '').repeat(fault.repeat ?? 1) + ' '.repeat(fault.pad ?? 0));
}

async function answer(request, response) {
  const path = new URL(request.url, issuer).pathname;
  if (path.startsWith('/control/')) {
    const result = await control(path.slice('/control/'.length), JSON.parse((await read(request)) || '{}'));
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify(result));
  }
  const { authorization = '' } = request.headers;
  state.log.push({ method: request.method, url: request.url, scheme: authorization.split(' ')[0] });
  const fault = state.faults.find((one) => one.path === path && one.times > 0);
  if (fault) return disturb(fault, request, response);
  if (path.startsWith('/interaction/')) return interact(request, response, path);
  return handle(request, response);
}

console.log(`listening on ${issuer}`);
