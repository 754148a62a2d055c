// A certified OpenID provider with every flow that fob speaks, a CI system that gives
// its jobs an identity, and an API. What happens is printed as lines of JSON, so that
// the tests can look at the server's side of things: node server.mjs OPTIONS
import http from 'node:http';
import https from 'node:https';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Provider, { errors } from 'oidc-provider';
import * as jose from 'jose';

// accessTokenSeconds; deviceCodeSeconds; tls: the files key, cert and ca; clients: more
// of them, as RFC 7591 writes them; requirePushed; dpopNonce.
const options = JSON.parse(process.argv[2]);
const say = (event) => console.log(JSON.stringify(event));

const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const native = {
  application_type: 'native', // its redirect_uris name the issuer: see below
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  response_types: ['code'],
};
const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
const clients = () => [
  { ...native, client_id: 'fob-e2e', token_endpoint_auth_method: 'none' },
  { ...native, client_id: 'fob-secret', client_secret: 'e2e +%: secret of sufficient length', token_endpoint_auth_method: 'client_secret_basic' },
  { ...machine, client_id: 'fob-machine', client_secret: 'e2e +%: secret of sufficient length', token_endpoint_auth_method: 'client_secret_basic' },
  { ...machine, client_id: 'fob-ci', token_endpoint_auth_method: 'none', grant_types: [exchange, jwtBearer] },
  ...(options.clients ?? []).map((client) => ({ ...(client.grant_types ? machine : native), ...client })),
];

const keyFor = async (alg) => {
  const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true });
  const more = { alg, use: 'sig', kid: alg };
  return {
    sign: privateKey,
    jwk: { ...await jose.exportJWK(privateKey), ...more },
    known: jose.createLocalJWKSet({ keys: [{ ...await jose.exportJWK(publicKey), ...more }] }),
  };
};
const [own, ci] = await Promise.all([keyFor('RS256'), keyFor('ES256')]);

const start = (server) => new Promise((resolve) => {
  server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${server.address().port}`));
});
const tls = options.tls && { key: readFileSync(options.tls.key), cert: readFileSync(options.tls.cert) };
const server = tls ? https.createServer(tls) : http.createServer();
const issuer = `${tls ? 'https' : 'http'}://${await start(server)}`;
native.redirect_uris = [`http://127.0.0.1/callback/${createHash('sha256').update(issuer).digest('hex').slice(0, 20)}`];
const servers = [server];
let aliases;
if (tls) { // clients with a certificate have a port of their own (RFC 8705 section 5)
  const mutual = https.createServer({ ...tls, ca: readFileSync(options.tls.ca), requestCert: true, rejectUnauthorized: false });
  const base = `https://${await start(mutual)}`;
  aliases = {
    token_endpoint: `${base}/token`, revocation_endpoint: `${base}/token/revocation`, userinfo_endpoint: `${base}/me`,
    pushed_authorization_request_endpoint: `${base}/request`, device_authorization_endpoint: `${base}/device/auth`,
  };
  servers.push(mutual);
}

// Tokens for the first API and for one are JWTs, those for two are opaque.
const resources = {
  [`${issuer}/api`]: { scope: 'read write', accessTokenFormat: 'jwt' },
  'https://api.example.com/one': { scope: 'read write', accessTokenFormat: 'jwt' },
  'https://api.example.com/two': { scope: 'read', accessTokenFormat: 'opaque' },
};
const resource = (name) => {
  if (!Object.hasOwn(resources, name)) throw new errors.InvalidTarget();
  return { audience: name, ...resources[name] };
};

const provider = new Provider(issuer, {
  clients: clients(),
  jwks: { keys: [own.jwk] },
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  discovery: { mtls_endpoint_aliases: aliases },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1), requireNonce: () => options.dpopNonce === true },
    introspection: { enabled: true, allowedPolicy: () => true },
    mTLS: {
      enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
      certificateAuthorized: (ctx) => ctx.socket.authorized === true,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn'
        && ctx.socket.getPeerX509Certificate().subject === expected,
    },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: options.requirePushed === true },
    registration: { enabled: true },
    registrationManagement: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // A login for several APIs that does not say which one a token is for is refused.
      defaultResource: (ctx, client, granted) => granted,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, name) => resource(name),
    },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: 'Ada Lovelace', email: 'ada@example.com' }),
  }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  cookies: { keys: ['e2e'] },
  ttl: {
    AccessToken: options.accessTokenSeconds, ClientCredentials: options.accessTokenSeconds, RefreshToken: 86400, Session: 3600,
    Interaction: 600, Grant: 86400, IdToken: 3600, DeviceCode: options.deviceCodeSeconds ?? 600,
  },
});

// identified gives an access token to the subject of a CI job's identity, which must be
// for this server (RFC 8693 section 2, RFC 7523 section 3).
const identified = (parameter) => async (ctx) => {
  const { client, params } = ctx.oidc;
  const { payload } = await jose.jwtVerify(params[parameter] ?? '', ci.known, {
    issuer: `${issuer}/ci`, audience: issuer, requiredClaims: ['exp', 'sub'], algorithms: ['ES256'],
  }).catch((error) => { throw new errors.InvalidGrant(error.message); });
  const grant = new provider.Grant({ accountId: payload.sub, clientId: client.clientId });
  const token = new provider.AccessToken({
    accountId: payload.sub, client, grantId: await grant.save(), gty: params.grant_type, scope: params.scope,
  });
  const named = params.resource ?? params.audience;
  if (named) token.resourceServer = new provider.ResourceServer(named, resource(named));
  ctx.body = {
    access_token: await token.save(), token_type: token.tokenType, expires_in: token.expiration, scope: token.scope,
    issued_token_type: params.grant_type === exchange ? 'urn:ietf:params:oauth:token-type:access_token' : undefined,
  };
};
const jwtSubject = async (ctx) => {
  if (ctx.oidc.params.subject_token_type !== 'urn:ietf:params:oauth:token-type:jwt') throw new errors.InvalidRequest('subject_token_type');
  await identified('subject_token')(ctx);
};
provider.registerGrantType(exchange, jwtSubject, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope']);
provider.registerGrantType(jwtBearer, identified('assertion'), ['assertion', 'audience', 'resource', 'scope']);

const told = (ctx, event, more) => say({ event, client: ctx.oidc?.client?.clientId, ...more });
provider.on('pushed_authorization_request.success', (ctx) => told(ctx, 'pushed', {
  method: ctx.oidc.params.code_challenge_method, key: ctx.oidc.params.dpop_jkt,
}));
provider.on('authorization.success', (ctx) => (ctx.oidc.entities.DeviceCode
  ? told(ctx, 'approved') : told(ctx, 'authorized', { method: ctx.oidc.params.code_challenge_method })));
provider.on('device_authorization.success', (ctx) => told(ctx, 'device'));
provider.on('grant.success', (ctx) => told(ctx, ctx.oidc.params.grant_type, {
  type: ctx.body.token_type,
  tokens: [ctx.body.access_token, ctx.body.refresh_token, ctx.body.id_token].filter(Boolean),
}));
provider.on('grant.error', (ctx, error) => told(ctx, 'refused', { error: error.error, detail: error.error_detail }));
provider.on('grant.revoked', (ctx) => told(ctx, 'revoked'));
provider.on('registration_create.success', (ctx) => told(ctx, 'registered'));
provider.on('registration_delete.success', (ctx) => told(ctx, 'unregistered'));
provider.on('session.destroyed', () => say({ event: 'session ended' }));
provider.on('server_error', (ctx, error) => told(ctx, 'server error', { detail: error.stack }));

// What is here beside the provider: the CI's identities, as GitHub gives them, and the API.
const identity = async (req, url) => {
  if (req.headers.authorization !== 'bearer TEST-REQUEST-TOKEN') return [401, {}];
  const value = await new jose.SignJWT({ repository: 'acme/app' }).setProtectedHeader({ alg: 'ES256', kid: 'ES256', typ: 'JWT' })
    .setIssuer(`${issuer}/ci`).setSubject('repo:acme/app:ref:refs/heads/main').setAudience(url.searchParams.getAll('audience'))
    .setIssuedAt().setExpirationTime('5m').sign(ci.sign);
  return [200, { count: 1, value }];
};
const api = async (req, url) => {
  const audience = url.searchParams.get('audience') ?? `${issuer}/api`;
  try {
    const token = req.headers.authorization?.replace(/^Bearer /, '') ?? '';
    return [200, (await jose.jwtVerify(token, own.known, { issuer, audience, typ: 'at+jwt' })).payload];
  } catch (error) {
    return [401, { error: error.message }];
  }
};
const metadata = () => [200, { resource: `${issuer}/api`, authorization_servers: [issuer], scopes_supported: ['read', 'write'] }];
const beside = { '/ci/identity': identity, '/api': api, '/.well-known/oauth-protected-resource/api': metadata };

const answer = provider.callback();
servers.forEach((each) => each.on('request', async (req, res) => {
  const url = new URL(req.url, issuer);
  if (req.headers['user-agent']?.startsWith('fob/')) say({ event: 'request', path: `${req.method} ${url.pathname}`, port: req.socket.localPort });
  if (!beside[url.pathname]) return answer(req, res);
  const [status, body] = await beside[url.pathname](req, url);
  return res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}));
say({ event: 'ready', issuer });
